/* SPDX-License-Identifier: Apache-2.0 */
#include "../await.h"

#include "base/log.h"
#include "io/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the callbacks saw of one child. */
struct seen {
    struct proc *proc;
    bool started;
    bool ended;
    bool free_on_line;
    struct out output;
    struct out lines;
    struct proc_exit exit;
    unsigned n_lines;
    char last_line[PROC_LINE_MAX + 1];
};

static void on_started(void *user)
{
    ((struct seen *)user)->started = true;
}

static void on_output(void *user, struct bytes chunk)
{
    out_bytes(&((struct seen *)user)->output, chunk);
}

static void on_line(void *user, const char *line)
{
    struct seen *s = user;
    out_printf(&s->lines, "%s\n", line);
    if (s->free_on_line) {
        s->proc = proc_free(s->proc);
    }
}

static void redact(void *user, char *line)
{
    proc_redact(line, "topsecret");
}

static void on_exit_seen(void *user, const struct proc_exit *e)
{
    struct seen *s = user;
    assert_false(s->ended);
    s->ended = true;
    s->exit = *e;
    s->n_lines = e->n_lines;
    snprintf(s->last_line, sizeof(s->last_line), "%s",
             e->n_lines > 0 ? e->lines[e->n_lines - 1] : "");
    s->proc = proc_free(s->proc);
}

static const struct proc_ops ops = {
    .on_started = on_started,
    .on_output = on_output,
    .on_line = on_line,
    .redact = redact,
    .on_exit = on_exit_seen,
};

static const struct proc_ops ops_without_stdout = {.on_exit = on_exit_seen};

struct fixture {
    struct loop *loop;
    struct seen seen;
};

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->loop = loop_new("control", LOOP_CONTROL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    proc_free(f->seen.proc);
    loop_free(f->loop);
    assert_int_equal(proc_live(), 0);
    out_done(&f->seen.output);
    out_done(&f->seen.lines);
    free(f);
    return 0;
}

static void start(struct fixture *f, const struct proc_spec *spec)
{
    struct error err = {0};
    if (proc_start(f->loop, spec, &ops, &f->seen, &f->seen.proc, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
}

/* Tests write children as shell scripts; the server itself never uses one. */
static void start_script(struct fixture *f, const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    struct proc_spec spec = {.name = "script", .argv = argv, .stdin_pipe = true};
    start(f, &spec);
}

static void test_output_lines_and_exit_code_are_reported(void **state)
{
    struct fixture *f = *state;
    start_script(f, "echo out; echo first >&2; printf 'pro\\rgress' >&2; exit 3");
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_true(f->seen.started);
    assert_string_equal(out_str(&f->seen.output), "out\n");
    assert_string_equal(out_str(&f->seen.lines), "first\npro\ngress\n");
    assert_int_equal(f->seen.exit.code, 3);
    assert_int_equal(f->seen.exit.signal, 0);
    assert_false(f->seen.exit.asked);
    assert_int_equal(f->seen.n_lines, 3);
    assert_string_equal(f->seen.last_line, "gress");
    assert_int_equal(f->seen.exit.err.code, -ECHILD);
    assert_string_equal(f->seen.exit.err.text, "ended with code 3: gress");
    assert_true(f->seen.exit.run_ns > 0);
    assert_true(f->seen.exit.usage.ru_maxrss > 0);
}

static void test_a_missing_program_is_named(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"no-such-program-here", NULL};
    start(f, &(struct proc_spec){.argv = argv});
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_false(f->seen.started);
    assert_int_equal(f->seen.exit.err.code, -ENOENT);
    assert_string_equal(f->seen.exit.err.text, "no-such-program-here: not found");
    assert_int_equal(f->seen.exit.code, -1);
}

static void test_a_missing_working_directory_is_named(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"true", NULL};
    start(f, &(struct proc_spec){.argv = argv, .dir = "/nonexistent"});
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.exit.err.code, -ENOENT);
    assert_non_null(strstr(f->seen.exit.err.text, "cannot enter the working directory"));
}

static void test_a_missing_helper_is_named(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    const char *argv[] = {"true", NULL};
    char *saved = mem_strdup(getenv("MAST_LIBEXEC_DIR"));
    setenv("MAST_LIBEXEC_DIR", "/nonexistent", 1);
    int r =
        proc_start(f->loop, &(struct proc_spec){.argv = argv}, &ops, &f->seen, &f->seen.proc, &err);
    setenv("MAST_LIBEXEC_DIR", saved, 1);
    free(saved);
    assert_int_equal(r, -ENOENT);
    assert_string_equal(err.where, "mast-spawn");
    assert_non_null(strstr(err.text, "/nonexistent"));
}

static void test_bad_specs_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *none[] = {NULL};
    const char *argv[] = {"true", NULL};
    struct proc_fd twice[] = {{0, 3}, {1, 3}};
    struct proc_fd taken[] = {{0, 2}};
    struct proc_fd high[] = {{0, 16}};
    struct proc_fd closed[] = {{999, 3}};
    struct proc_spec bad[] = {
        {.argv = none},
        {.argv = argv, .fds = twice, .n_fds = 2},
        {.argv = argv, .fds = taken, .n_fds = 1},
        {.argv = argv, .fds = high, .n_fds = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(proc_start(f->loop, &bad[i], &ops, &f->seen, &f->seen.proc, NULL),
                         -EINVAL);
    }
    struct proc_spec spec = {.argv = argv, .fds = closed, .n_fds = 1};
    assert_int_equal(proc_start(f->loop, &spec, &ops, &f->seen, &f->seen.proc, NULL), -EBADF);
}

static void test_the_environment_is_an_allow_list(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"env", NULL};
    const char *env[] = {"GIVEN=1", "HOME=/given", NULL};
    setenv("PRIVATE_TOKEN", "x", 1);
    setenv("HOME", "/ours", 1);
    setenv("TZ", "UTC", 1);
    start(f, &(struct proc_spec){.argv = argv, .env = env});
    RUN_UNTIL(f->loop, f->seen.ended);
    const char *text = out_str(&f->seen.output);
    assert_non_null(strstr(text, "GIVEN=1\n"));
    assert_non_null(strstr(text, "HOME=/given\n"));
    assert_non_null(strstr(text, "TZ=UTC\n"));
    assert_null(strstr(text, "/ours"));
    assert_null(strstr(text, "PRIVATE_TOKEN"));
}

static void test_the_child_has_only_its_descriptors(void **state)
{
    struct fixture *f = *state;
    /* Not CLOEXEC: what a library of the embedder may have left open, low and high. */
    int leaked = open("/dev/zero", O_RDONLY);
    int high = fcntl(leaked, F_DUPFD, 200);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    struct proc_fd fds[] = {{pipe_fds[1], 5}, {leaked, 4}};
    const char *argv[] = {
        "/bin/sh", "-c",
        "echo hello >&5; i=0; while [ $i -lt 300 ]; do [ -e /proc/self/fd/$i ] && echo $i; i=$((i+1)); done;"
        "head -c 2 <&4 | wc -c",
        NULL};
    start(f, &(struct proc_spec){.argv = argv, .fds = fds, .n_fds = 2});
    RUN_UNTIL(f->loop, f->seen.ended);
    char buf[16] = "";
    assert_int_equal(read(pipe_fds[0], buf, sizeof(buf)), 6);
    assert_memory_equal(buf, "hello\n", 6);
    assert_string_equal(out_str(&f->seen.output), "0\n1\n2\n4\n5\n2\n");
    close(leaked);
    close(high);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void test_descriptors_that_swap_numbers_arrive_right(void **state)
{
    struct fixture *f = *state;
    int a[2];
    int b[2];
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    /* 3 and 4 of ours become 4 and 3 of the child. */
    int three = fcntl(a[1], F_DUPFD_CLOEXEC, 3);
    int four = fcntl(b[1], F_DUPFD_CLOEXEC, three + 1);
    struct proc_fd fds[] = {{three, 4}, {four, 3}};
    const char *argv[] = {"/bin/sh", "-c", "echo A >&4; echo B >&3", NULL};
    start(f, &(struct proc_spec){.argv = argv, .fds = fds, .n_fds = 2});
    RUN_UNTIL(f->loop, f->seen.ended);
    char c = 0;
    assert_int_equal(read(a[0], &c, 1), 1);
    assert_int_equal(c, 'A');
    assert_int_equal(read(b[0], &c, 1), 1);
    assert_int_equal(c, 'B');
    int all[] = {a[0], a[1], b[0], b[1], three, four};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        close(all[i]);
    }
}

static void test_limits_signals_and_session_are_arranged(void **state)
{
    struct fixture *f = *state;
    sigset_t mask;
    sigset_t old;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigprocmask(SIG_BLOCK, &mask, &old);
    signal(SIGPIPE, SIG_IGN);
    const char *argv[] = {
        "/bin/sh", "-c",
        "ulimit -c; grep SigBlk /proc/self/status; read p c s x g i r < /proc/self/stat;"
        "echo session $i self $$; nice; kill -PIPE $$; echo SIGPIPE is ignored",
        NULL};
    start(f, &(struct proc_spec){.argv = argv, .niceness = 5});
    pid_t pid = proc_pid(f->seen.proc);
    RUN_UNTIL(f->loop, f->seen.ended);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    char expected[256];
    snprintf(expected, sizeof(expected), "0\nSigBlk:\t0000000000000000\nsession %d self %d\n5\n",
             (int)pid, (int)pid);
    assert_string_equal(out_str(&f->seen.output), expected);
}

static void test_stdin_is_written_and_ended(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *block = mem_alloc(100000);
    memset(block, 'x', 100000);
    start_script(f, "sleep 0.05; wc -c");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(proc_write(f->seen.proc, BYTES(block, 100000)), 0);
    }
    proc_write_end(f->seen.proc);
    assert_int_equal(proc_write(f->seen.proc, BYTES(block, 1)), -EPIPE);
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_string_equal(out_str(&f->seen.output), "500000\n");
}

static void test_stdin_is_bounded_and_survives_a_closed_reader(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *block = mem_zalloc(PROC_STDIN_QUEUED);
    start_script(f, "exec <&-; echo closed; read x <&1; sleep 60");
    RUN_UNTIL(f->loop, f->seen.output.len > 0);
    /* The write that meets the closed pipe must not end us by SIGPIPE. */
    assert_int_equal(proc_write(f->seen.proc, BYTES(block, 10)), 0);
    assert_int_equal(proc_write(f->seen.proc, BYTES(block, 10)), -EPIPE);
    proc_stop(f->seen.proc, 0);
    RUN_UNTIL(f->loop, f->seen.ended);

    f->seen.ended = false;
    start_script(f, "sleep 60");
    assert_int_equal(proc_write(f->seen.proc, BYTES(block, PROC_STDIN_QUEUED)), 0);
    assert_int_equal(proc_write(f->seen.proc, BYTES(block, PROC_STDIN_QUEUED)), -ENOBUFS);
    proc_stop(f->seen.proc, 0);
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.exit.signal, SIGKILL);
    assert_true(f->seen.exit.asked);
}

/* A pipe that every process of a family inherits as 3: it ends when the last of them is gone. */
static void start_family(struct fixture *f, const char *script, int *alive)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    struct proc_fd inherit[] = {{fds[1], 3}};
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    start(f, &(struct proc_spec){.argv = argv, .fds = inherit, .n_fds = 1});
    close(fds[1]);
    *alive = fds[0];
}

static bool all_gone(int alive)
{
    char c;
    return read(alive, &c, 1) == 0;
}

#define GRANDCHILDREN "(trap '' TERM; sleep 1000 & sleep 1000) & (sleep 1000) & "

static void test_stop_ends_a_family_that_ignores_sigterm(void **state)
{
    struct fixture *f = *state;
    int alive;
    start_family(f, GRANDCHILDREN "trap '' TERM; echo ready; while :; do sleep 1; done", &alive);
    RUN_UNTIL(f->loop, f->seen.output.len > 0);
    assert_false(all_gone(alive));
    proc_stop(f->seen.proc, 60000);
    proc_stop(f->seen.proc, 30); /* a shorter deadline counts */
    proc_stop(f->seen.proc, 60000);
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.exit.signal, SIGKILL);
    RUN_UNTIL(f->loop, all_gone(alive));
    close(alive);
}

static void test_a_family_goes_with_its_leader(void **state)
{
    struct fixture *f = *state;
    int alive;
    start_family(f, GRANDCHILDREN "exit 0", &alive);
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.exit.code, 0);
    assert_int_equal(f->seen.exit.err.code, 0);
    RUN_UNTIL(f->loop, all_gone(alive));
    close(alive);
}

static void test_a_stopped_child_hears_sigterm(void **state)
{
    struct fixture *f = *state;
    start_script(
        f, "trap 'echo bye; exit 7' TERM; echo ready; kill -STOP $$; while :; do sleep 0.01; done");
    RUN_UNTIL(f->loop, f->seen.output.len > 0);
    proc_stop(f->seen.proc, 20000);
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.exit.code, 7);
    assert_true(f->seen.exit.asked);
}

static void test_free_kills_without_a_callback(void **state)
{
    struct fixture *f = *state;
    int alive;
    start_family(f, GRANDCHILDREN "echo ready; sleep 1000", &alive);
    RUN_UNTIL(f->loop, f->seen.output.len > 0);
    f->seen.proc = proc_free(f->seen.proc);
    RUN_UNTIL(f->loop, proc_live() == 0);
    assert_false(f->seen.ended);
    RUN_UNTIL(f->loop, all_gone(alive));
    close(alive);
}

static void test_free_inside_a_callback(void **state)
{
    struct fixture *f = *state;
    f->seen.free_on_line = true;
    start_script(f, "echo one >&2; echo two >&2; echo out; exit 1");
    RUN_UNTIL(f->loop, proc_live() == 0);
    assert_string_equal(out_str(&f->seen.lines), "one\n");
    assert_false(f->seen.ended);
}

static void test_free_at_once(void **state)
{
    struct fixture *f = *state;
    start_script(f, "echo never");
    f->seen.proc = proc_free(f->seen.proc);
    RUN_UNTIL(f->loop, proc_live() == 0);
    assert_int_equal(f->seen.output.len, 0);
}

static void test_stdout_is_null_when_nobody_reads_it(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"/bin/sh", "-c",
                          "for i in 0 1; do x=$(readlink /proc/$$/fd/$i); echo $x >&2; done", NULL};
    struct proc_spec spec = {.argv = argv};
    assert_int_equal(proc_start(f->loop, &spec, &ops_without_stdout, &f->seen, &f->seen.proc, NULL),
                     0);
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.n_lines, 2);
    assert_string_equal(f->seen.last_line, "/dev/null");
}

static char logged[8192];

static void sink(void *user, enum log_level level, const char *name, const char *text)
{
    size_t n = strlen(logged);
    snprintf(logged + n, sizeof(logged) - n, "%s\n", text);
}

static void test_secrets_and_control_bytes_stay_out(void **state)
{
    struct fixture *f = *state;
    log_configure("debug", false);
    log_set_sink(sink, NULL);
    start_script(f,
                 "printf '\\033[1mbold\\nopen rtmp://h/topsecret, again topsecret\\n' >&2; exit 1");
    RUN_UNTIL(f->loop, f->seen.ended);
    log_set_sink(NULL, NULL);
    log_configure(NULL, false);
    assert_string_equal(out_str(&f->seen.lines), "?[1mbold\nopen rtmp://h/***, again ***\n");
    assert_non_null(strstr(logged, "rtmp://h/***"));
    assert_null(strstr(logged, "topsecret"));
    assert_string_equal(f->seen.last_line, "open rtmp://h/***, again ***");
    assert_string_equal(f->seen.exit.err.text, "ended with code 1: open rtmp://h/***, again ***");
}

/* An embedder may have told the kernel to reap by itself: the end is still seen, only the code is lost. */
static void test_a_program_that_ignores_sigchld(void **state)
{
    struct fixture *f = *state;
    signal(SIGCHLD, SIG_IGN);
    start_script(f, "read go; echo $go; exit 3");
    assert_int_equal(proc_write(f->seen.proc, BYTES_STR("go\n")), 0);
    RUN_UNTIL(f->loop, f->seen.ended);
    signal(SIGCHLD, SIG_DFL);
    assert_int_equal(f->seen.exit.code, -1);
    assert_int_equal(f->seen.exit.err.code, -ECHILD);
    assert_non_null(strstr(f->seen.exit.err.text, "SIGCHLD"));
    assert_string_equal(out_str(&f->seen.output), "go\n");
}

static void test_long_lines_are_cut_between_words(void **state)
{
    struct fixture *f = *state;
    /* The secret lies across the bound: half of it must not be seen. */
    start_script(
        f,
        "head -c 1015 /dev/zero | tr '\\0' a >&2; echo ' topsecret and more' >&2; echo next >&2");
    RUN_UNTIL(f->loop, f->seen.ended);
    const char *text = out_str(&f->seen.lines);
    assert_null(strstr(text, "top"));
    assert_non_null(strstr(text, "a [cut]\nnext\n"));
}

static void test_only_the_last_lines_are_kept(void **state)
{
    struct fixture *f = *state;
    start_script(f, "i=0; while [ $i -lt 100 ]; do echo line $i >&2; i=$((i+1)); done");
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.n_lines, PROC_LINES_KEPT);
    assert_string_equal(f->seen.last_line, "line 99");
}

static void test_much_output_arrives_whole(void **state)
{
    struct fixture *f = *state;
    start_script(f, "head -c 3000000 /dev/zero");
    RUN_UNTIL(f->loop, f->seen.ended);
    assert_int_equal(f->seen.output.len, 3000000);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

/* Descriptors run out at every point of a start: it fails with a sentence or works, and leaves nothing open. */
static void test_running_out_of_descriptors(void **state)
{
    struct fixture *f = *state;
    struct rlimit old;
    unsigned before = open_fds();
    unsigned failed = 0;
    const char *argv[] = {"true", NULL};
    struct proc_fd inherit[] = {{1, 3}};
    struct proc_spec spec = {.argv = argv, .stdin_pipe = true, .fds = inherit, .n_fds = 1};
    getrlimit(RLIMIT_NOFILE, &old);
    for (unsigned limit = before; limit < 40; limit++) {
        struct rlimit tight = {limit, old.rlim_max};
        struct error err = {0};
        setrlimit(RLIMIT_NOFILE, &tight);
        int r = proc_start(f->loop, &spec, &ops, &f->seen, &f->seen.proc, &err);
        setrlimit(RLIMIT_NOFILE, &old);
        if (r < 0) {
            failed++;
            assert_true(err.text[0]);
        } else {
            f->seen.ended = false;
            RUN_UNTIL(f->loop, f->seen.ended);
            assert_int_equal(f->seen.exit.code, 0);
        }
        RUN_UNTIL(f->loop, proc_live() == 0);
        loop_run_once(f->loop, 0);
        assert_int_equal(open_fds(), before);
    }
    assert_in_range(failed, 5, 39 - before);
}

/* A server that dies takes its child along. The test becomes the reaper of what its own child leaves behind. */
static void test_the_child_dies_with_the_server(void **state)
{
    struct fixture *f = *state;
    int fds[2];
    int ready[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    assert_int_equal(pipe2(ready, 0), 0);
    fflush(NULL);
    pid_t server = fork();
    if (server == 0) {
        struct loop *l = loop_new("control", LOOP_CONTROL);
        struct seen seen = {0};
        struct proc_fd inherit[] = {{fds[1], 3}};
        const char *argv[] = {"sleep", "1000", NULL};
        struct proc_spec spec = {.argv = argv, .fds = inherit, .n_fds = 1};
        if (proc_start(l, &spec, &ops, &seen, &seen.proc, NULL) < 0) {
            _exit(1);
        }
        while (!seen.started) {
            loop_run_once(l, 50);
        }
        close(fds[1]);
        (void)!write(ready[1], "r", 1);
        pause();
        _exit(0);
    }
    close(fds[1]);
    char c;
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_false(all_gone(fds[0]));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    RUN_UNTIL(f->loop, all_gone(fds[0]));
    close(fds[0]);
    close(ready[0]);
    close(ready[1]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_output_lines_and_exit_code_are_reported),
        T(test_a_missing_program_is_named),
        T(test_a_missing_working_directory_is_named),
        T(test_a_missing_helper_is_named),
        T(test_bad_specs_are_refused),
        T(test_the_environment_is_an_allow_list),
        T(test_the_child_has_only_its_descriptors),
        T(test_descriptors_that_swap_numbers_arrive_right),
        T(test_limits_signals_and_session_are_arranged),
        T(test_stdin_is_written_and_ended),
        T(test_stdin_is_bounded_and_survives_a_closed_reader),
        T(test_stop_ends_a_family_that_ignores_sigterm),
        T(test_a_family_goes_with_its_leader),
        T(test_a_stopped_child_hears_sigterm),
        T(test_free_kills_without_a_callback),
        T(test_free_inside_a_callback),
        T(test_free_at_once),
        T(test_stdout_is_null_when_nobody_reads_it),
        T(test_secrets_and_control_bytes_stay_out),
        T(test_long_lines_are_cut_between_words),
        T(test_only_the_last_lines_are_kept),
        T(test_much_output_arrives_whole),
        T(test_a_program_that_ignores_sigchld),
        T(test_running_out_of_descriptors),
        T(test_the_child_dies_with_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
