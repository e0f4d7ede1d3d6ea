/* Ends whatever a task left behind: by its cgroup where there is one, and by
 * the process tree, of which the shim is the reaper. */
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[8 << 10];

/* SIGKILL to every pid listed in a file of white-space separated numbers; the
 * shim itself is never in such a list. Returns how many, -1 if unreadable. */
static int kill_listed(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int count = 0;
	pid_t pid = 0;
	for (;;) {
		ssize_t n = read(fd, text, sizeof text);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			if (pid > 1 && pid != getpid() && kill(pid, SIGKILL) == 0)
				count++;
			pid = 0;
		}
	}
	if (pid > 1 && pid != getpid() && kill(pid, SIGKILL) == 0)
		count++;
	close(fd);
	return count;
}

static int put_file(const char *dir, const char *name, const char *value)
{
	char path[4200];
	path_join(path, sizeof path, dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t w = write(fd, value, strlen(value));
	close(fd);
	return w < 0 ? -1 : 0;
}

static int kill_cgroup(const char *dir)
{
	char path[4200];
	path_join(path, sizeof path, dir, "cgroup.procs");
	int n = kill_listed(path);
	if (n <= 0)
		return 0;
	/* Someone was there: now all at once, so that nobody forks away. */
	if (put_file(dir, "cgroup.kill", "1") == 0)
		return n;
	int frozen = put_file(dir, "freezer.state", "FROZEN") == 0;
	kill_listed(path);
	if (frozen)
		put_file(dir, "freezer.state", "THAWED");
	return n;
}

static pid_t parent_of(const char *pid)
{
	char path[64], *p;
	size_t at = put_str(path, 0, sizeof path, "/proc/");
	at = put_str(path, at, sizeof path, pid);
	put_str(path, at, sizeof path, "/stat");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	char line[512];
	ssize_t n = read(fd, line, sizeof line - 1);
	close(fd);
	if (n <= 0)
		return 0;
	line[n] = 0;
	p = strrchr(line, ')');
	return p && strlen(p) > 4 ? (pid_t)strtol(p + 4, NULL, 10) : 0;
}

struct dirent64_raw {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* For kernels without /proc/<pid>/task/<tid>/children. */
static int kill_children_by_scan(void)
{
	static char entries[8 << 10];
	int count = 0, fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	for (;;) {
		long n = syscall(SYS_getdents64, fd, entries, sizeof entries);
		if (n <= 0)
			break;
		for (long at = 0; at < n;) {
			struct dirent64_raw *d = (struct dirent64_raw *)(entries + at);
			at += d->len;
			if (d->name[0] < '1' || d->name[0] > '9' || parent_of(d->name) != getpid())
				continue;
			if (kill((pid_t)strtol(d->name, NULL, 10), SIGKILL) == 0)
				count++;
		}
	}
	close(fd);
	return count;
}

/* Kills all that can be found now. Grandchildren become children as their
 * parents die, so the caller repeats this until nobody is left. Returns how
 * many were found. */
int kill_stragglers(const char *cgroup_dir)
{
	char path[64];
	int in_group = cgroup_dir[0] ? kill_cgroup(cgroup_dir) : 0;
	size_t at = put_str(path, 0, sizeof path, "/proc/self/task/");
	at = put_num(path, at, sizeof path, (uint64_t)getpid());
	put_str(path, at, sizeof path, "/children");
	int children = kill_listed(path);
	if (children < 0)
		children = kill_children_by_scan();
	return children > in_group ? children : in_group;
}
