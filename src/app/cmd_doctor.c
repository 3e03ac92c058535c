/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mast doctor`: what is installed, what is missing, and what that disables. It looks and does not change anything; the
 * exit code is 1 when something that `mast serve` needs is wrong, 0 when only extras are missing.
 */
#include "app/api_call.h"
#include "app/command.h"
#include "app/config.h"
#include "app/pages.h"
#include "app/where.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum verdict {
    FINE,
    MISSING, /* something optional is not there */
    WRONG,   /* `mast serve` cannot run like this */
    VERDICT_N,
};

struct finding {
    const char *what;
    enum verdict verdict;
    char *found;      /* what was seen; owned */
    const char *then; /* what it disables, or what to do; NULL when fine */
};

#define FINDINGS_MAX     32
#define READY_PATIENCE_S 4

struct report {
    struct finding items[FINDINGS_MAX];
    unsigned n;
};

static void add(struct report *r, const char *what, enum verdict verdict, char *found,
                const char *then)
{
    if (r->n < FINDINGS_MAX) {
        r->items[r->n++] = (struct finding){what, verdict, found, verdict == FINE ? NULL : then};
    } else {
        free(found);
    }
}

/* The full name of a program in PATH; NULL when there is none. */
static char *find_in_path(const char *name)
{
    const char *path = getenv("PATH"); /* NOLINT(concurrency-mt-unsafe): commands have one thread */
    _cleanup_free_ char *copy = mem_strdup(path ? path : "/usr/local/bin:/usr/bin:/bin");
    char *save = NULL;
    for (char *dir = strtok_r(copy, ":", &save); dir; dir = strtok_r(NULL, ":", &save)) {
        char *full = mem_printf("%s/%s", dir, name);
        if (access(full, X_OK) == 0) {
            return full;
        }
        free(full);
    }
    return NULL;
}

static void look_for_programs(struct report *r)
{
    static const struct {
        const char *name;
        const char *then;
    } programs[] = {
        {"ffmpeg", "no --demo; apt-get install ffmpeg"},
        {"ffprobe", "the tests cannot check containers; apt-get install ffmpeg"},
        {"gst-launch-1.0", "only the tests need it; apt-get install gstreamer1.0-tools"},
        {"chromium", "only the tests need it; apt-get install chromium"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(programs); i++) {
        char *full = find_in_path(programs[i].name);
        add(r, programs[i].name, full ? FINE : MISSING, full ? full : mem_strdup("not found"),
            programs[i].then);
    }
}

static void look_for_own_files(struct report *r)
{
    char helper[4096];
    struct error err = {0};
    struct pages *pages = pages_open(NULL, &err);
    add(r, "page", pages ? FINE : MISSING, mem_strdup(pages ? pages_dir(pages) : err.text),
        "no page at /; make web");
    pages_close(pages);
    bool found = proc_find_program("mast-spawn", helper, sizeof(helper), &err) >= 0;
    add(r, "mast-spawn", found ? FINE : MISSING, mem_strdup(found ? helper : err.text),
        "no children can be started: no --demo; make install puts it in its place");
}

/* What a program prints first when it is asked for its version; NULL when it does not run, for want of a library. */
static char *version_of(const char *program)
{
    char line[128] = "";
    char *const argv[] = {(char *)program, "--version", NULL};
    posix_spawn_file_actions_t actions;
    int fds[2];
    int status = -1;
    pid_t pid;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return NULL;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    bool started = posix_spawn(&pid, program, &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    ssize_t n = started ? read(fds[0], line, sizeof(line) - 1) : 0;
    close(fds[0]);
    if (!started || waitpid(pid, &status, 0) != pid || status != 0 || n <= 0) {
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return mem_strdup(line);
}

static void look_for_av(struct report *r)
{
    char program[4096];
    struct error err = {0};
    if (proc_find_program("mast-av", program, sizeof(program), &err) < 0) {
        add(r, "mast-av", MISSING, mem_strdup(err.text),
            "no sound is converted: build with libavcodec-dev, libavutil-dev, libswresample-dev");
        return;
    }
    _cleanup_free_ char *version = version_of(program);
    add(r, "mast-av", version ? FINE : MISSING,
        version ? mem_printf("%s, %s", program, version) : mem_printf("%s does not run", program),
        "no sound is converted; apt-get install libavcodec59 libswresample4");
}

static bool port_is_free(const char *address, uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool six = strchr(address, ':') != NULL;
    int on = 1;
    if (inet_pton(six ? AF_INET6 : AF_INET, address,
                  six ? (void *)&in6.sin6_addr : (void *)&in4.sin_addr) != 1) {
        return false;
    }
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int r = six ? bind(fd, (struct sockaddr *)&in6, sizeof(in6))
                : bind(fd, (struct sockaddr *)&in4, sizeof(in4));
    close(fd);
    return r == 0;
}

static void look_at_port(struct report *r, const char *what, const char *address, uint16_t port)
{
    bool is_free = port == 0 || port_is_free(address, port);
    add(r, what, is_free ? FINE : WRONG,
        mem_printf("%s port %u %s", address, port, is_free ? "is free" : "is taken"),
        "another program (or a running mast) has it: end that, or choose another port in mast.yml");
}

static void look_at_config(struct report *r)
{
    _cleanup_free_ char *file = where_config_file();
    struct config c;
    struct error err = {0};
    if (config_load(&c, file, environ, &err) < 0) {
        add(r, "configuration", WRONG, mem_printf("%s: %s", err.where, err.text),
            "correct it; mast check FILE");
        return;
    }
    add(r, "configuration", FINE, mem_strdup(file ? file : "none, the defaults"), NULL);
    look_at_port(r, "http", c.http.address, c.http.port);
    if (c.rtmp.enabled) {
        look_at_port(r, "rtmp", c.rtmp.address, c.rtmp.port);
    }
    if (c.rtmps.enabled) {
        look_at_port(r, "rtmps", c.rtmps.address, c.rtmps.port);
    }
    _cleanup_free_ char *dir = c.state_dir ? mem_strdup(c.state_dir) : where_state_dir();
    bool usable = access(dir, F_OK) < 0 || access(dir, W_OK | X_OK) == 0;
    add(r, "state folder", usable ? FINE : WRONG, mem_strdup(dir),
        "it cannot be written: change its owner, or state_dir");
    config_done(&c);
}

static void look_at_limits(struct report *r)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    add(r, "open files", limit.rlim_max >= 4096 ? FINE : MISSING,
        mem_printf("at most %llu", (unsigned long long)limit.rlim_max),
        "only that many connections at once; LimitNOFILE= of the unit, or ulimit -Hn");
    uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    add(r, "memory", FINE,
        mem_printf("%llu MiB, a quarter of it for media unless streams.memory_max says otherwise",
                   (unsigned long long)(ram >> 20)),
        NULL);
}

static const char *const verdict_names[VERDICT_N] = {"ok", "missing", "wrong"};

static void print_text(const struct report *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        const struct finding *f = &r->items[i];
        printf("%-8s %-15s %s\n", verdict_names[f->verdict], f->what, f->found);
        if (f->then) {
            printf("%-8s %-15s -> %s\n", "", "", f->then);
        }
    }
}

static void print_json(const struct report *r)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_array_begin(&j);
    for (unsigned i = 0; i < r->n; i++) {
        json_object_begin(&j);
        json_put_str(&j, "what", r->items[i].what);
        json_put_str(&j, "verdict", verdict_names[r->items[i].verdict]);
        json_put_str(&j, "found", r->items[i].found);
        if (r->items[i].then) {
            json_put_str(&j, "then", r->items[i].then);
        }
        json_object_end(&j);
    }
    json_array_end(&j);
    puts(out_str(&o));
}

/* Where the configuration says that the server listens, as seen from this machine. */
static char *own_url(void)
{
    _cleanup_free_ char *file = where_config_file();
    struct config c;
    struct error err = {0};
    if (config_load(&c, file, environ, &err) < 0) {
        fprintf(stderr, "mast: %s: %s\n", err.where, err.text);
        return NULL;
    }
    bool six = strchr(c.http.address, ':') != NULL;
    const char *host = c.http.address;
    if (strcmp(host, "0.0.0.0") == 0) {
        host = "127.0.0.1";
    } else if (strcmp(host, "::") == 0) {
        host = "::1";
    }
    char *url = mem_printf("http%s://%s%s%s:%u", c.http.tls.enabled && !c.http.tls.plain ? "s" : "",
                           six ? "[" : "", host, six ? "]" : "", c.http.port);
    config_done(&c);
    return url;
}

/*
 * For health checks. The server is on this machine, where its certificate bears another name; as nothing secret is sent, none is
 * asked for.
 */
static int ask_whether_ready(const struct args *a)
{
    _cleanup_(out_done) struct out body = {0};
    _cleanup_free_ char *own = NULL;
    struct api_call call = api_call_options(a);
    call.patience_s = READY_PATIENCE_S;
    if (!call.given) {
        own = own_url();
        if (!own) {
            return 1;
        }
        call.url = own;
        call.any_certificate = true;
    }
    return api_call(&call, "GET", "/readyz", NULL, &body);
}

static int run(const struct args *a)
{
    struct report report = {.n = 0};
    int code = 0;
    if (args_flag(a, "--ready")) {
        return ask_whether_ready(a);
    }
    look_at_config(&report);
    look_for_own_files(&report);
    look_for_av(&report);
    look_for_programs(&report);
    look_at_limits(&report);
    if (args_flag(a, "--json")) {
        print_json(&report);
    } else {
        print_text(&report);
    }
    for (unsigned i = 0; i < report.n; i++) {
        code = report.items[i].verdict == WRONG ? 1 : code;
        free(report.items[i].found);
    }
    return code;
}

static const struct command_option options[] = {
    {"--ready", NULL,
     "Only asks whether the server is ready, and says nothing when it is: for health checks. Without --url and $MAST_URL it is "
     "the one of this machine's configuration"},
    COMMAND_SERVER,
    COMMAND_JSON,
    {.name = NULL},
};

const struct command command_doctor = {
    .name = "doctor",
    .summary = "What is installed, what is missing, what that disables",
    .about =
        "Looks at this machine and changes nothing. It fails when something that `mast serve` needs is wrong: the "
        "configuration, a port that another program has, a state folder that cannot be written. What is only missing "
        "disables the part that is named beside it.",
    .options = options,
    .run = run,
};
