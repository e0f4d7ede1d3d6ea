/* Small formatting and the records that outlive the shim: status and exit. */
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Room for any record, of which the longest part is the path of a cgroup. */
#define RECORD_BYTES 5000

size_t put_str(char *b, size_t at, size_t cap, const char *s)
{
	while (*s && at + 1 < cap)
		b[at++] = *s++;
	if (at < cap)
		b[at] = 0;
	return at;
}

size_t put_num(char *b, size_t at, size_t cap, uint64_t n)
{
	char digits[24];
	size_t i = sizeof digits;
	digits[--i] = 0;
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	return put_str(b, at, cap, digits + i);
}

static size_t put_field(char *b, size_t at, const char *key, uint64_t n)
{
	at = put_str(b, at, RECORD_BYTES, key);
	at = put_num(b, at, RECORD_BYTES, n);
	return put_str(b, at, RECORD_BYTES, "\n");
}

void path_join(char *out, size_t cap, const char *dir, const char *name)
{
	size_t at = put_str(out, 0, cap, dir);
	at = put_str(out, at, cap, "/");
	put_str(out, at, cap, name);
}

ssize_t write_all(int fd, const void *buf, size_t n)
{
	const char *p = buf;
	size_t done = 0;
	while (done < n) {
		ssize_t w = write(fd, p + done, n - done);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return -1;
		done += (size_t)w;
	}
	return (ssize_t)done;
}

uint64_t clock_ns(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t now_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000u);
}

/* The start time of a process in clock ticks since boot, 0 when it is gone:
 * with the pid it names a process for the whole life of the machine. */
uint64_t process_start(pid_t pid)
{
	char path[64], buf[1024];
	size_t at = put_str(path, 0, sizeof path, "/proc/");
	at = put_num(path, at, sizeof path, (uint64_t)pid);
	put_str(path, at, sizeof path, "/stat");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, buf, sizeof buf - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = 0;
	/* field 2 is the name in parentheses and may hold anything; 22 is wanted */
	char *p = strrchr(buf, ')');
	for (int field = 2; p && field < 22; field++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	uint64_t v = 0;
	for (; p && *p >= '0' && *p <= '9'; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	return v;
}

/* Opens "<name>.tmp" and fills it, so that the record to come needs no space:
 * a disk that the task fills up cannot swallow its exit code. */
int record_reserve(const char *dir, const char *name)
{
	char path[4200], blank[RECORD_BYTES];
	path_join(path, sizeof path, dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	memset(blank, '\n', sizeof blank);
	if (write_all(fd, blank, sizeof blank) < 0) {
		int err = errno;
		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

int record_status(const struct shim_config *c, int fd, pid_t pid, uint64_t start, uint64_t time_ns)
{
	char b[RECORD_BYTES], tmp[4200], final[4200];
	size_t at = put_field(b, 0, "pid=", (uint64_t)pid);
	at = put_field(b, at, "start=", start);
	at = put_field(b, at, "shim=", (uint64_t)getpid());
	at = put_field(b, at, "shimstart=", process_start(getpid()));
	at = put_field(b, at, "time=", time_ns);
	at = put_str(b, at, sizeof b, "boot=");
	at = put_str(b, at, sizeof b, c->boot_id ? c->boot_id : "");
	at = put_str(b, at, sizeof b, "\ncgroup=");
	at = put_str(b, at, sizeof b, c->kill_dir);
	at = put_str(b, at, sizeof b, "\n.\n");
	path_join(tmp, sizeof tmp, c->dir, "status.tmp");
	path_join(final, sizeof final, c->dir, "status");
	if (pwrite(fd, b, at, 0) != (ssize_t)at)
		return -1;
	return rename(tmp, final);
}

int record_exit(const char *dir, int fd, int ws, int stragglers, uint64_t dropped)
{
	char b[RECORD_BYTES], tmp[4200], final[4200];
	size_t at = put_field(b, 0, "code=", WIFEXITED(ws) ? (uint64_t)WEXITSTATUS(ws) : 0);
	at = put_field(b, at, "signal=", WIFSIGNALED(ws) ? (uint64_t)WTERMSIG(ws) : 0);
	at = put_field(b, at, "time=", clock_ns(CLOCK_REALTIME));
	at = put_field(b, at, "stragglers=", (uint64_t)stragglers);
	at = put_field(b, at, "dropped=", dropped);
	b[at++] = '.'; /* marks a record that is whole */
	b[at++] = '\n';
	if (pwrite(fd, b, at, 0) != (ssize_t)at || fsync(fd) < 0)
		return -1;
	path_join(tmp, sizeof tmp, dir, "exit.tmp");
	path_join(final, sizeof final, dir, "exit");
	return rename(tmp, final);
}
