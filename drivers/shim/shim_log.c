/* Pumps a pipe into files that rotate: <name>.<stream>.N, N rising. */
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One read; also the buffer of directory scans, which happen before any read. */
static char buf[32 << 10];

struct dirent64_raw {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* The index of a file of this log, -1 for any other name. */
static int64_t index_of(const struct shim_log *l, const char *name)
{
	size_t n = strlen(l->prefix);
	if (strncmp(name, l->prefix, n) != 0 || name[n] == 0)
		return -1;
	int64_t v = 0;
	for (const char *p = name + n; *p; p++) {
		if (*p < '0' || *p > '9' || v > (int64_t)1 << 40)
			return -1;
		v = v * 10 + (*p - '0');
	}
	return v;
}

/* Finds the files of earlier runs, so that a restarted task appends. */
static int scan(struct shim_log *l)
{
	int fd = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	l->index = -1;
	l->oldest = -1;
	for (;;) {
		long n = syscall(SYS_getdents64, fd, buf, sizeof buf);
		if (n <= 0)
			break;
		for (long at = 0; at < n;) {
			struct dirent64_raw *d = (struct dirent64_raw *)(buf + at);
			int64_t i = index_of(l, d->name);
			if (i > l->index)
				l->index = i;
			if (i >= 0 && (l->oldest < 0 || i < l->oldest))
				l->oldest = i;
			at += d->len;
		}
	}
	close(fd);
	if (l->index < 0)
		l->index = l->oldest = 0;
	return 0;
}

static void file_name(const struct shim_log *l, int64_t index, char *out, size_t cap)
{
	size_t at = put_str(out, 0, cap, l->prefix);
	put_num(out, at, cap, (uint64_t)index);
}

static int open_current(struct shim_log *l)
{
	char name[330];
	struct stat st;
	file_name(l, l->index, name, sizeof name);
	l->file = openat(l->dir, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (l->file < 0)
		return -1;
	l->size = fstat(l->file, &st) == 0 ? st.st_size : 0;
	l->line_start = 1;
	return 0;
}

static void delete_old(struct shim_log *l)
{
	char name[330];
	for (; l->oldest <= l->index - l->max_files; l->oldest++) {
		file_name(l, l->oldest, name, sizeof name);
		unlinkat(l->dir, name, 0);
	}
}

int log_open(struct shim_log *l, const struct shim_config *c, const char *stream, int pipe)
{
	memset(l, 0, sizeof *l);
	l->pipe = pipe;
	l->file = -1;
	l->max_bytes = c->log_max_bytes > 0 ? c->log_max_bytes : 10 << 20;
	l->max_files = c->log_max_files > 0 ? c->log_max_files : 10;
	size_t at = put_str(l->prefix, 0, sizeof l->prefix, c->log_name);
	at = put_str(l->prefix, at, sizeof l->prefix, stream);
	if (at + 1 >= sizeof l->prefix) {
		errno = ENAMETOOLONG;
		return -1;
	}
	l->dir = open(c->log_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (l->dir < 0 || scan(l) < 0 || open_current(l) < 0)
		return -1;
	delete_old(l);
	return 0;
}

static void rotate(struct shim_log *l)
{
	close(l->file);
	l->file = -1;
	l->index++;
	if (open_current(l) == 0)
		delete_old(l);
}

/* Writes into the current file; what does not fit on the disk is dropped and
 * counted, because a task must not hang on its log. */
static void append(struct shim_log *l, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(l->file, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			l->dropped += n;
			return;
		}
		l->size += w;
		l->line_start = p[w - 1] == '\n';
		p += w;
		n -= (size_t)w;
	}
}

/* How much of the n bytes belongs in the current file, which has room for room:
 * whole lines if any fits, nothing if a fresh file would hold the line better,
 * else all that fits. */
static size_t split(const struct shim_log *l, const char *p, size_t n, int64_t room)
{
	if ((int64_t)n <= room)
		return n;
	if (room <= 0)
		return 0;
	const char *nl = memrchr(p, '\n', (size_t)room);
	if (nl)
		return (size_t)(nl - p) + 1;
	return l->line_start && l->size > 0 ? 0 : (size_t)room;
}

static void store(struct shim_log *l, const char *p, size_t n)
{
	while (n > 0) {
		if (l->file < 0 && open_current(l) < 0) {
			l->dropped += n;
			return;
		}
		size_t part = split(l, p, n, l->max_bytes - l->size);
		if (part > 0)
			append(l, p, part);
		p += part;
		n -= part;
		if (n > 0)
			rotate(l);
	}
}

/* One read of the pipe; at its end l->pipe becomes -1. */
void log_pump(struct shim_log *l)
{
	ssize_t n = read(l->pipe, buf, sizeof buf);
	if (n > 0) {
		store(l, buf, (size_t)n);
		return;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close(l->pipe);
	l->pipe = -1;
}
