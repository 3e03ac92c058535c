/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Child processes: posix_spawn() of a tiny helper (mast-spawn) that arranges the child and becomes it, a pidfd to learn of
 * its end, pipes for its output. Never a shell: argv arrays only. The child leads a session and process group of its own;
 * whatever lives in that group is killed with it or after it, and the kernel kills the child when our thread dies.
 *
 * Control loop only (the death signal is bound to the thread that spawns). A proc is owned by who started it, until
 * proc_free(). It keeps no policy: restarts are io/supervisor.h. The environment is PATH, LANG, TZ and HOME of ours plus
 * what the spec gives; descriptors are 0 to 2 and those the spec lists; core dumps are off. In a program that ignores
 * SIGCHLD exit codes are unknown, and a child that ends at once may count as a failed start (-ESRCH).
 */
#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

struct proc;

#define PROC_FDS_MAX      12        /* inherited descriptors, child numbers 3 to 15 */
#define PROC_LINE_MAX     1024      /* bytes kept of one stderr line */
#define PROC_LINES_KEPT   20        /* last stderr lines for the exit report */
#define PROC_STDIN_QUEUED (1 << 20) /* bytes that proc_write() keeps at most */

/* A descriptor of ours (stays ours, is only duplicated) and the number the child finds it under. */
struct proc_fd {
    int ours;
    int child; /* 3 to 15 */
};

/* Read during proc_start() only. */
struct proc_spec {
    const char *name;        /* for logs: "ffmpeg live/cam-1"; NULL = argv[0] */
    const char *const *argv; /* NULL-terminated; argv[0] without a slash is looked up in PATH */
    const char *const *env;  /* "NAME=value", NULL-terminated; may be NULL; wins over ours */
    const char *dir;         /* working directory, NULL = ours */
    const struct proc_fd *fds;
    unsigned n_fds;
    bool stdin_pipe; /* else /dev/null */
    int niceness;    /* 0 = ours */
};

struct proc_exit {
    int code;   /* exit code; -1 when a signal ended it or it never ran */
    int signal; /* 0 = none */
    bool asked; /* proc_stop() came first */
    int64_t run_ns;
    struct rusage usage;
    const char *const
        *lines; /* the last stderr lines, redacted, oldest first; valid during the call */
    unsigned n_lines;
    /* One sentence of what happened: "ffmpeg: not found", "ended with code 1: Connection refused", "killed by SIGSEGV". */
    /* err.code is 0 for a normal end (code 0), negative errno when it never ran, else -ECHILD */
    struct error err;
};

/* All on the control loop; each may be NULL. proc_free() is allowed in all of them. */
struct proc_ops {
    void (*on_started)(void *user); /* the program itself runs (exec succeeded) */
    void (*on_output)(void *user, struct bytes chunk); /* stdout; NULL = stdout is /dev/null */
    void (*on_line)(void *user, const char *line);     /* a stderr line, redacted, printable */
    /* Takes secrets out of a line before anybody sees it, in place; see proc_redact(). */
    void (*redact)(void *user, char *line);
    /* Once, unless proc_free() came first. Everything it wrote was delivered before. The owner then calls proc_free(). */
    void (*on_exit)(void *user, const struct proc_exit *e);
};

/*
 * Starts. A missing program is known only later and comes by on_exit. Errors now: -EINVAL for a bad spec, -ENOENT when
 * mast-spawn is not found, what posix_spawn or the kernel says otherwise. ops stays valid as long as the proc.
 */
int proc_start(struct loop *l, const struct proc_spec *spec, const struct proc_ops *ops, void *user,
               struct proc **ret, struct error *err);
/* SIGTERM to the group, SIGKILL after grace_ms (0 = at once); on_exit follows. A second call can only shorten the grace. */
void proc_stop(struct proc *p, unsigned grace_ms);
/* Kills what still runs and frees; no callback comes any more. Returns NULL. */
struct proc *proc_free(struct proc *p);
pid_t proc_pid(const struct proc *p);

/* Queues bytes for its stdin. -ENOBUFS over PROC_STDIN_QUEUED, -EPIPE when it closed its end or has none. */
int proc_write(struct proc *p, struct bytes data);
/* Ends its stdin after what is queued. */
void proc_write_end(struct proc *p);

/* Replaces each occurrence of secret (ignored below 4 bytes) in line by "***". */
void proc_redact(char *line, const char *secret);

/*
 * Finds a program that belongs to Mast: in MAST_LIBEXEC_DIR when that is set, else beside our own program as it lies in a
 * build folder, else in the installed libexec folder. -ENOENT with a sentence that names the places.
 */
int proc_find_program(const char *name, char *path, size_t size, struct error *err);

/* Gauge: children that are not reaped yet. */
unsigned proc_live(void);
