/* From fork to execve. */
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child writes into its close-on-exec pipe: fatal ends the start. */
struct child_note {
	int fatal, stage, err;
};

static void note(int fd, int fatal, int stage, int err)
{
	struct child_note n = {fatal, stage, err};
	write_all(fd, &n, sizeof n);
	if (fatal)
		_exit(127);
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t w = write(fd, text, strlen(text));
	int err = errno;
	close(fd);
	errno = err;
	return w < 0 ? -1 : 0;
}

/* The kernel's form of a default disposition: all zero. The C library's sigaction
   refuses the signals that it keeps for itself (32, 33), and those are inherited
   ignored from some parents. */
struct default_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

/* last_signal is the kernel's highest. */
enum { last_signal = 64 };

static void reset_signals(void)
{
	struct default_action def;
	memset(&def, 0, sizeof def);
	for (int s = 1; s <= last_signal; s++)
		if (s != SIGKILL && s != SIGSTOP)
			syscall(SYS_rt_sigaction, s, &def, NULL, sizeof def.mask);
	unsigned long none = 0;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

static void set_oom(const struct shim_config *c, int notes)
{
	char num[24];
	size_t at = 0;
	int v = c->set_oom ? c->oom_score_adj : 0;
	if (v < 0)
		at = put_str(num, at, sizeof num, "-");
	put_num(num, at, sizeof num, (uint64_t)(v < 0 ? -v : v));
	/* Only what the job's author asked for is worth a warning. */
	if (write_file("/proc/self/oom_score_adj", num) < 0 && c->set_oom)
		note(notes, 0, STAGE_OOM_SCORE, errno);
}

static void set_limits(const struct shim_config *c, int notes)
{
	for (size_t i = 0; i < c->njoin; i++)
		if (write_file(c->join[i], "0") < 0)
			note(notes, 1, STAGE_CGROUP, errno);
	set_oom(c, notes);
	for (size_t i = 0; i < c->nrlimits; i++) {
		struct rlimit r = {c->rlimits[i].soft, c->rlimits[i].hard};
		if (setrlimit((__rlimit_resource_t)c->rlimits[i].resource, &r) < 0)
			note(notes, 0, STAGE_RLIMIT, errno);
	}
}

static void join_network(const struct shim_config *c, int notes)
{
	if (!c->netns)
		return;
	int fd = open(c->netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		note(notes, 1, STAGE_NETWORK, errno);
	close(fd);
}

static void set_user(const struct shim_config *c, int notes)
{
	if (!c->set_user)
		return;
	if (setgroups(c->ngroups, c->groups) < 0)
		note(notes, 1, STAGE_GROUPS, errno);
	if (setresgid(c->gid, c->gid, c->gid) < 0)
		note(notes, 1, STAGE_GROUPS, errno);
	if (setresuid(c->uid, c->uid, c->uid) < 0)
		note(notes, 1, STAGE_USER, errno);
}

static void die_with_parent(pid_t parent)
{
	/* A change of user clears it, so this is called again after set_user. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
}

static void child(const struct shim_config *c, const int fds[4], int notes, pid_t parent)
{
	reset_signals();
	setsid();
	die_with_parent(parent);
	for (int i = 0; i < 4; i++)
		if (fds[i] >= 0 && dup2(fds[i], i) < 0)
			note(notes, 1, STAGE_OUTPUT, errno);
	set_limits(c, notes);
	join_network(c, notes);
	set_user(c, notes);
	die_with_parent(parent);
	if (chdir(c->cwd) < 0)
		note(notes, 1, STAGE_WORK_DIR, errno);
	execve(c->path, c->argv, c->envp);
	note(notes, 1, STAGE_EXEC, errno);
}

/* Turns this very process into a program beside the task, as described by c. */
void child_enter(const struct shim_config *c, int notes)
{
	reset_signals();
	set_limits(c, notes);
	join_network(c, notes);
	set_user(c, notes);
	if (chdir(c->cwd) < 0)
		note(notes, 1, STAGE_WORK_DIR, errno);
	execve(c->path, c->argv, c->envp);
	note(notes, 1, STAGE_EXEC, errno);
}

void child_refuse(int notes, int stage, int err)
{
	note(notes, 1, stage, err);
}

static void report_warning(int report, const struct child_note *n)
{
	char b[64];
	size_t at = put_str(b, 0, sizeof b, "warn ");
	at = put_num(b, at, sizeof b, (uint64_t)n->stage);
	at = put_str(b, at, sizeof b, " ");
	at = put_num(b, at, sizeof b, (uint64_t)n->err);
	at = put_str(b, at, sizeof b, "\n");
	write_all(report, b, at);
}

static int fail(struct shim_child *out, int stage, int err)
{
	out->stage = stage;
	out->err = err;
	return -1;
}

int child_start(const struct shim_config *c, const int fds[4], int report, struct shim_child *out)
{
	int notes[2], moved;
	pid_t self = getpid();
	if (pipe2(notes, O_CLOEXEC) < 0)
		return fail(out, STAGE_FORK, errno);
	/* Above the descriptors that the child dup2s onto 0 to 3. */
	moved = fcntl(notes[1], F_DUPFD_CLOEXEC, 16);
	close(notes[1]);
	if (moved < 0)
		return fail(out, STAGE_FORK, errno);
	pid_t pid = fork();
	if (pid < 0)
		return fail(out, STAGE_FORK, errno);
	if (pid == 0)
		child(c, fds, moved, self);
	close(moved);
	struct child_note n;
	for (;;) {
		ssize_t r = read(notes[0], &n, sizeof n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r != (ssize_t)sizeof n)
			break; /* end of file: the program runs */
		if (n.fatal) {
			waitpid(pid, NULL, 0);
			close(notes[0]);
			return fail(out, n.stage, n.err);
		}
		report_warning(report, &n);
	}
	close(notes[0]);
	out->pid = pid;
	return 0;
}
