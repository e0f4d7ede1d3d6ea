/*
 * The task shim: one tiny process per task that outlives agent and driver.
 *
 * It is C in a constructor so that a process started as "<binary> __shim" never
 * starts the Go runtime: it costs some dozens of kilobytes instead of some
 * megabytes. It has one thread, no heap to speak of, and static buffers.
 *
 *   driver --config--> shim --fork--> task              (plain mode)
 *   driver --config--> shim --fork--> launcher --...--> task   (launch mode)
 *   driver --config--> program                         (enter mode, no shim)
 *
 * Enter mode runs a program beside a task: in its cgroup, as its user.
 *
 * Invariants:
 *   - the task's exit is recorded before the shim ends (or was killed itself);
 *   - the shim ends only when the task and all its descendants are gone, or
 *     after the bounds named below;
 *   - nothing that happens to a log file ever blocks or kills the task.
 */
#ifndef STEPPE_SHIM_H
#define STEPPE_SHIM_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* The configuration arrives on this descriptor; start reports leave by it. */
#define SHIM_CONTROL_FD 3
/* A launcher reports to the shim on this descriptor. */
#define SHIM_LAUNCH_FD 3
/* Largest accepted configuration: argv and environment are bounded by the
 * kernel at 6 MiB, the launcher's payload holds them once more. */
#define SHIM_MAX_CONFIG (32u << 20)
/* Most cgroups to join, rlimits to set and supplementary groups to take. */
#define SHIM_MAX_JOIN 16
#define SHIM_MAX_RLIMIT 16
#define SHIM_MAX_GROUPS 1024
/* How long stragglers are chased after the task's exit, and how long a foreign
 * holder of the log pipes is waited for when none is left. Milliseconds. */
#define SHIM_SWEEP_MS 5000
#define SHIM_DRAIN_MS 500
/* Between two sweeps, milliseconds. */
#define SHIM_SWEEP_STEP_MS 20

/* Stages of a start, as reported to the driver; keep in step with errors.go. */
enum shim_stage {
	STAGE_CONFIG = 1,
	STAGE_CONTROL_DIR,
	STAGE_OUTPUT,
	STAGE_FORK,
	STAGE_CGROUP,
	STAGE_OOM_SCORE,
	STAGE_RLIMIT,
	STAGE_GROUPS,
	STAGE_USER,
	STAGE_WORK_DIR,
	STAGE_EXEC,
	STAGE_LAUNCHER,
	STAGE_NETWORK,
};

struct shim_rlimit {
	int resource;
	uint64_t soft, hard;
};

/* One task, as the driver described it. Strings point into the received
 * configuration and are gone after the start (config_release). */
struct shim_config {
	const char *path, *cwd, *boot_id, *netns;
	char **argv, **envp;
	size_t argc, envc;
	int set_user;
	uid_t uid;
	gid_t gid;
	gid_t groups[SHIM_MAX_GROUPS];
	size_t ngroups;
	const char *join[SHIM_MAX_JOIN];
	size_t njoin;
	struct shim_rlimit rlimits[SHIM_MAX_RLIMIT];
	size_t nrlimits;
	int set_oom, oom_score_adj;
	const char *log_dir, *log_name;
	int64_t log_max_files, log_max_bytes;
	const char *out_path, *err_path;
	const char *payload;
	size_t payload_len;
	/* kept after the start */
	char dir[4096];
	char kill_dir[4096];
};

/* A rotated log and the pipe that feeds it. */
struct shim_log {
	int pipe;     /* read end, -1 at end of file */
	int dir;      /* descriptor of the log directory */
	int file;     /* current file, -1 while it cannot be opened */
	int line_start;
	int64_t size, max_bytes, max_files, index, oldest;
	uint64_t dropped;
	char prefix[300]; /* "<name>.stdout." */
};

/* shim_config.c */
int config_read(struct shim_config *c, int fd);
void config_release(struct shim_config *c);

/* shim_child.c */
struct shim_child {
	pid_t pid;
	int stage, err; /* of a failed start */
};
struct shim_warning {
	int stage, err;
};
/* Starts the task or its launcher. fds: stdin, stdout, stderr, launcher report
 * (-1 in plain mode). Warnings of the child are passed on to report. */
int child_start(const struct shim_config *c, const int fds[4], int report, struct shim_child *out);
/* Enter mode: no shim, no fork. Failures are told to notes; no return. */
void child_enter(const struct shim_config *c, int notes);
void child_refuse(int notes, int stage, int err);

/* shim_log.c */
int log_open(struct shim_log *l, const struct shim_config *c, const char *stream, int pipe);
void log_pump(struct shim_log *l);

/* shim_kill.c */
int kill_stragglers(const char *cgroup_dir);

/* shim_record.c */
int record_reserve(const char *dir, const char *name);
int record_status(const struct shim_config *c, int fd, pid_t pid, uint64_t start, uint64_t time_ns);
int record_exit(const char *dir, int fd, int wait_status, int stragglers, uint64_t dropped);
uint64_t process_start(pid_t pid);
size_t put_str(char *b, size_t at, size_t cap, const char *s);
size_t put_num(char *b, size_t at, size_t cap, uint64_t n);
uint64_t clock_ns(clockid_t id);
int64_t now_ms(void);
ssize_t write_all(int fd, const void *buf, size_t n);
void path_join(char *out, size_t cap, const char *dir, const char *name);

#endif
