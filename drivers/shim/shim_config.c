/* Reads the configuration that the driver sends: after a 4-byte length, fields
 * of one tag byte, a 4-byte length and a value that ends in a zero byte.
 * Written by wire.go; numbers are decimal text. */
#define _GNU_SOURCE
#include "shim.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static void *region;
static size_t region_len;
static void *vectors;
static size_t vectors_len;

static int read_full(int fd, char *b, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = read(fd, b + done, n - done);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -1;
		done += (size_t)r;
	}
	return 0;
}

static uint32_t u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int add_rlimit(struct shim_config *c, const char *v)
{
	if (c->nrlimits == SHIM_MAX_RLIMIT)
		return -1;
	struct shim_rlimit *r = &c->rlimits[c->nrlimits++];
	char *end;
	r->resource = (int)strtol(v, &end, 10);
	r->soft = strtoull(end, &end, 10);
	r->hard = strtoull(end, &end, 10);
	return 0;
}

static int add_path(char *dst, size_t cap, const char *v, size_t n)
{
	if (n > cap)
		return -1;
	memcpy(dst, v, n);
	return 0;
}

static int take_limit_field(struct shim_config *c, char tag, const char *v)
{
	switch (tag) {
	case 'u': c->set_user = 1; c->uid = (uid_t)strtoul(v, NULL, 10); return 0;
	case 'g': c->gid = (gid_t)strtoul(v, NULL, 10); return 0;
	case 'G':
		if (c->ngroups == SHIM_MAX_GROUPS)
			return -1;
		c->groups[c->ngroups++] = (gid_t)strtoul(v, NULL, 10);
		return 0;
	case 'p':
		if (c->njoin == SHIM_MAX_JOIN)
			return -1;
		c->join[c->njoin++] = v;
		return 0;
	case 'r': return add_rlimit(c, v);
	case 'o': c->set_oom = 1; c->oom_score_adj = (int)strtol(v, NULL, 10); return 0;
	default: return -1;
	}
}

static int take_field(struct shim_config *c, char tag, const char *v, size_t n)
{
	switch (tag) {
	case 'd': return add_path(c->dir, sizeof c->dir, v, n);
	case 'K': return add_path(c->kill_dir, sizeof c->kill_dir, v, n);
	case 'c': c->path = v; return 0;
	case 'w': c->cwd = v; return 0;
	case 'b': c->boot_id = v; return 0;
	case 'n': c->netns = v; return 0;
	case 'a': c->argv[c->argc++] = (char *)v; return 0;
	case 'e': c->envp[c->envc++] = (char *)v; return 0;
	case 'L': c->log_dir = v; return 0;
	case 'N': c->log_name = v; return 0;
	case 'F': c->log_max_files = strtoll(v, NULL, 10); return 0;
	case 'B': c->log_max_bytes = strtoll(v, NULL, 10); return 0;
	case 'O': c->out_path = v; return 0;
	case 'E': c->err_path = v; return 0;
	case 'l': c->payload = v; c->payload_len = n - 1; return 0;
	default: return take_limit_field(c, tag, v);
	}
}

/* Calls take_field for each field, or only counts argv and env. */
static int walk(struct shim_config *c, size_t *nargs, size_t *nenv)
{
	unsigned char *p = region, *end = p + region_len;
	while (p < end) {
		if (end - p < 6)
			return -1;
		char tag = (char)p[0];
		size_t n = u32(p + 1);
		p += 5;
		if (n == 0 || n > (size_t)(end - p) || p[n - 1] != 0)
			return -1;
		if (nargs) {
			*nargs += tag == 'a';
			*nenv += tag == 'e';
		} else if (take_field(c, tag, (const char *)p, n) < 0) {
			return -1;
		}
		p += n;
	}
	return 0;
}

static void *map(size_t n)
{
	void *m = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return m == MAP_FAILED ? NULL : m;
}

int config_read(struct shim_config *c, int fd)
{
	unsigned char head[4];
	size_t nargs = 0, nenv = 0;
	if (read_full(fd, (char *)head, 4) < 0)
		return -1;
	region_len = u32(head);
	if (region_len == 0 || region_len > SHIM_MAX_CONFIG)
		return -1;
	region = map(region_len);
	if (!region || read_full(fd, region, region_len) < 0)
		return -1;
	if (walk(c, &nargs, &nenv) < 0)
		return -1;
	vectors_len = (nargs + nenv + 2) * sizeof(char *);
	vectors = map(vectors_len);
	if (!vectors)
		return -1;
	c->argv = vectors;
	c->envp = c->argv + nargs + 1;
	if (walk(c, NULL, NULL) < 0)
		return -1;
	return c->path && c->cwd && c->dir[0] && c->argc ? 0 : -1;
}

void config_release(struct shim_config *c)
{
	munmap(region, region_len);
	munmap(vectors, vectors_len);
	c->path = c->cwd = c->boot_id = c->netns = c->payload = NULL;
	c->log_dir = c->log_name = c->out_path = c->err_path = NULL;
	c->argv = c->envp = NULL;
}
