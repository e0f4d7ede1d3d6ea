/* The constructor and the shim's only loop. */
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shim_config config;
static struct shim_log logs[2];

static struct {
	int signals, report, launch, status_record, exit_record; /* descriptors, -1 = closed */
	pid_t task, launcher;
	int ended, wait_status, childless, stragglers;
	int64_t ended_ms, alone_ms;
	char line[2048]; /* of the launcher's report */
	size_t line_len;
	int64_t early[16]; /* pid << 32 | status, of children reaped before the */
	size_t nearly;     /* launcher said which of them is the task */
} shim;

static void report_failure(int stage, int err)
{
	char b[64];
	size_t at = put_str(b, 0, sizeof b, "err ");
	at = put_num(b, at, sizeof b, (uint64_t)stage);
	at = put_str(b, at, sizeof b, " ");
	at = put_num(b, at, sizeof b, (uint64_t)err);
	at = put_str(b, at, sizeof b, "\n");
	write_all(shim.report, b, at);
	_exit(1);
}

/* Tells the driver and the disk that the task runs. */
static void report_started(pid_t pid)
{
	char b[96];
	uint64_t start = process_start(pid), time_ns = clock_ns(CLOCK_REALTIME);
	shim.task = pid;
	if (record_status(&config, shim.status_record, pid, start, time_ns) < 0) {
		int err = errno;
		kill_stragglers(config.kill_dir);
		kill(pid, SIGKILL);
		report_failure(STAGE_CONTROL_DIR, err);
	}
	size_t at = put_str(b, 0, sizeof b, "ok ");
	at = put_num(b, at, sizeof b, (uint64_t)pid);
	at = put_str(b, at, sizeof b, " ");
	at = put_num(b, at, sizeof b, start);
	at = put_str(b, at, sizeof b, " ");
	at = put_num(b, at, sizeof b, time_ns);
	at = put_str(b, at, sizeof b, "\n");
	write_all(shim.report, b, at);
	close(shim.report);
	shim.report = -1;
	close(shim.status_record);
	config_release(&config);
}

static void task_ended(int status)
{
	shim.ended = 1;
	shim.wait_status = status;
	shim.ended_ms = now_ms();
}

/* A child that ended before the launcher named the task may be the task. */
static void remember(pid_t pid, int status)
{
	size_t cap = sizeof shim.early / sizeof shim.early[0];
	shim.early[shim.nearly % cap] = (int64_t)pid << 32 | (uint32_t)status;
	shim.nearly++;
}

static void recall(void)
{
	size_t cap = sizeof shim.early / sizeof shim.early[0];
	for (size_t i = 0; i < cap && i < shim.nearly; i++)
		if ((pid_t)(shim.early[i] >> 32) == shim.task)
			task_ended((int)(uint32_t)shim.early[i]);
}

static void reap(void)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;
	while (read(shim.signals, &info, sizeof info) == (ssize_t)sizeof info)
		;
	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == shim.launcher)
			shim.launcher = 0;
		else if (shim.task == 0)
			remember(pid, status);
		else if (pid == shim.task)
			task_ended(status);
	}
	shim.childless = pid < 0 && errno == ECHILD;
}

/* One line of the launcher: "pid N" names the task, anything else goes to the
 * driver as it is ("warn ...", "text ..."). */
static void launcher_line(char *line, size_t n)
{
	if (n > 4 && memcmp(line, "pid ", 4) == 0) {
		close(shim.launch);
		shim.launch = -1;
		report_started((pid_t)strtol(line + 4, NULL, 10));
		recall();
		return;
	}
	write_all(shim.report, line, n);
	if (n > 5 && memcmp(line, "text ", 5) == 0) {
		kill_stragglers(config.kill_dir);
		_exit(1);
	}
}

static void launcher_report(void)
{
	size_t room = sizeof shim.line - shim.line_len;
	ssize_t n = read(shim.launch, shim.line + shim.line_len, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* gone without a word, or a line beyond all bounds */
		kill_stragglers(config.kill_dir);
		report_failure(STAGE_LAUNCHER, n < 0 ? errno : 0);
	}
	shim.line_len += (size_t)n;
	while (shim.launch >= 0) {
		char *nl = memchr(shim.line, '\n', shim.line_len);
		if (!nl)
			return;
		size_t len = (size_t)(nl - shim.line) + 1;
		launcher_line(shim.line, len);
		memmove(shim.line, shim.line + len, shim.line_len - len);
		shim.line_len -= len;
	}
}

/* After the task's end: kills what is left, and says when all is over. */
static int finished(void)
{
	int64_t now = now_ms();
	int drained = logs[0].pipe < 0 && logs[1].pipe < 0;
	int found = kill_stragglers(config.kill_dir);
	if (found > shim.stragglers)
		shim.stragglers = found;
	if (found) {
		reap();
		shim.alone_ms = 0;
		return now - shim.ended_ms > SHIM_SWEEP_MS;
	}
	if (!shim.childless)
		return now - shim.ended_ms > SHIM_SWEEP_MS;
	if (drained)
		return 1;
	if (shim.alone_ms == 0)
		shim.alone_ms = now;
	return now - shim.alone_ms > SHIM_DRAIN_MS;
}

static void finish(void)
{
	int ws = shim.wait_status;
	uint64_t dropped = logs[0].dropped + logs[1].dropped;
	if (record_exit(config.dir, shim.exit_record, ws, shim.stragglers, dropped) == 0)
		_exit(0);
	/* No record: a driver that is our parent learns it from our own status. */
	_exit(WIFEXITED(ws) ? WEXITSTATUS(ws) : 128 + WTERMSIG(ws));
}

/* How long to sleep at most: the dying need a moment, rarely a long one. */
static int step(void)
{
	if (!shim.ended)
		return -1;
	return now_ms() - shim.ended_ms < SHIM_SWEEP_STEP_MS ? 1 : SHIM_SWEEP_STEP_MS;
}

static void loop(void)
{
	for (;;) {
		struct pollfd p[4] = {
			{shim.signals, POLLIN, 0},
			{logs[0].pipe, POLLIN, 0},
			{logs[1].pipe, POLLIN, 0},
			{shim.launch, POLLIN, 0},
		};
		int n = poll(p, 4, step());
		if (n < 0 && errno != EINTR)
			_exit(1);
		for (int i = 0; i < 2 && n > 0; i++)
			if (logs[i].pipe >= 0 && p[i + 1].revents)
				log_pump(&logs[i]);
		if (n > 0 && p[3].revents && shim.launch >= 0)
			launcher_report();
		if (n > 0 && p[0].revents)
			reap();
		if (shim.ended && finished())
			finish();
	}
}

/* Makes one output: a pumped pipe when logs rotate, else the given path. A FIFO
 * is opened for both ways so that the open cannot block and the task survives
 * the loss of its reader. Returns the task's end. */
static int open_output(const char *path, struct shim_log *l, const char *stream)
{
	int ends[2], fd;
	l->pipe = -1;
	if (!config.log_dir) {
		fd = open(path ? path : "/dev/null", O_RDWR | O_APPEND | O_CLOEXEC);
	} else {
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		fcntl(ends[0], F_SETFL, O_NONBLOCK);
		if (log_open(l, &config, stream, ends[0]) < 0)
			return -1;
		fd = ends[1];
	}
	if (fd < 0)
		return -1;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 16);
	int err = errno;
	close(fd);
	errno = err;
	return high;
}

static int payload_file(void)
{
	int fd = memfd_create("steppe-launch", MFD_CLOEXEC);
	if (fd < 0 || write_all(fd, config.payload, config.payload_len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return fd;
}

static void start(void)
{
	struct shim_child child = {0};
	int fds[4] = {-1, -1, -1, -1}, launch[2] = {-1, -1};
	shim.status_record = record_reserve(config.dir, "status.tmp");
	shim.exit_record = record_reserve(config.dir, "exit.tmp");
	if (shim.status_record < 0 || shim.exit_record < 0)
		report_failure(STAGE_CONTROL_DIR, errno);
	fds[0] = config.payload ? payload_file() : open("/dev/null", O_RDONLY | O_CLOEXEC);
	fds[1] = open_output(config.out_path, &logs[0], ".stdout.");
	fds[2] = fds[1] < 0 ? -1 : open_output(config.err_path, &logs[1], ".stderr.");
	if (fds[0] < 0 || fds[1] < 0 || fds[2] < 0)
		report_failure(STAGE_OUTPUT, errno);
	if (config.payload) {
		if (pipe2(launch, O_CLOEXEC) < 0)
			report_failure(STAGE_FORK, errno);
		fds[3] = fcntl(launch[1], F_DUPFD_CLOEXEC, 16);
		close(launch[1]);
		fcntl(launch[0], F_SETFL, O_NONBLOCK);
	}
	if (child_start(&config, fds, shim.report, &child) < 0)
		report_failure(child.stage, child.err);
	for (int i = 0; i < 4; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	shim.launch = launch[0];
	if (config.payload)
		shim.launcher = child.pid;
	else
		report_started(child.pid);
}

static void close_inherited(void)
{
#ifdef SYS_close_range
	if (syscall(SYS_close_range, SHIM_CONTROL_FD + 1, ~0u, 0) == 0)
		return;
#endif
	for (int fd = SHIM_CONTROL_FD + 1; fd < 65536; fd++)
		close(fd);
}

static void shim_main(void)
{
	sigset_t all, wanted;
	close_inherited();
	/* High, so that the child's descriptors 0 to 3 are free. */
	shim.report = fcntl(SHIM_CONTROL_FD, F_DUPFD_CLOEXEC, 16);
	if (shim.report < 0)
		_exit(2);
	/* 3 stays taken, so that no later descriptor lands where the child dup2s. */
	dup3(0, SHIM_CONTROL_FD, O_CLOEXEC);
	shim.launch = -1;
	setsid();
	prctl(PR_SET_NAME, "steppe-shim");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	signal(SIGCHLD, SIG_DFL);
	shim.signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	if (shim.signals < 0 || config_read(&config, shim.report) < 0)
		report_failure(STAGE_CONFIG, errno);
	umask(022);
	start();
	if (chdir("/") < 0) /* hold no directory of the agent's busy */
		_exit(1);
	loop();
}

static void enter_main(void)
{
	fcntl(SHIM_CONTROL_FD, F_SETFD, FD_CLOEXEC);
	if (config_read(&config, SHIM_CONTROL_FD) < 0)
		child_refuse(SHIM_CONTROL_FD, STAGE_CONFIG, errno);
	child_enter(&config, SHIM_CONTROL_FD);
}

/* Runs before Go in every process of the binary and takes over only when it was
 * started as the shim. libcontainer's own constructor acts on an environment
 * variable that the shim never sees, so their order does not matter. */
__attribute__((constructor)) static void shim_constructor(int argc, char **argv)
{
	if (argc != 2 || !argv || !argv[1] || strncmp(argv[1], "__", 2) != 0)
		return;
	int shim_mode = strcmp(argv[1], "__shim") == 0;
	if (!shim_mode && strcmp(argv[1], "__enter") != 0)
		return;
	if (fcntl(SHIM_CONTROL_FD, F_GETFD) < 0)
		_exit(2);
	if (shim_mode)
		shim_main();
	enter_main();
}
