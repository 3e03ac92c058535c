/* SPDX-License-Identifier: Apache-2.0 */
/* `mast serve`: reads the configuration and runs the server until a signal. */
#include "app/command.h"
#include "app/config.h"
#include "app/serve.h"
#include "app/upgrade.h"
#include "app/where.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/inherit.h"

#include <stdio.h>

static int complain(const char *what, const struct error *err)
{
    fprintf(stderr, "mast: %s: %s%s%s\n", what, err->where, err->where[0] ? ": " : "", err->text);
    return 1;
}

/* What `mast serve` was called with; the next program is called with the same. */
struct call {
    const char *file;
    const char *given; /* --config; NULL when the file was found */
    bool demo;
};

static int make_way(struct upgrade *u, const struct call *call, const int *fds, unsigned n_fds)
{
    const char *args[5] = {"serve"};
    unsigned n = 1;
    if (call->given) {
        args[n++] = "--config";
        args[n++] = call->given;
    }
    if (call->demo) {
        args[n++] = "--demo";
    }
    int r = upgrade_exec(u, args, fds, n_fds);
    fprintf(stderr, "mast: the other program cannot be started: %s\n", error_name(r));
    return 1;
}

static int serve(const struct config *config, const struct call *call, struct upgrade *u)
{
    int fds[INHERIT_MAX];
    struct error err = {0};
    (void)log_configure(config->log.level, config->log.json);
    struct serve *s = serve_start(config, call->file, u, call->demo, &err);
    if (!s) {
        return complain("cannot start", &err);
    }
    serve_print_addresses(s);
    serve_run(s);
    bool upgrades = serve_upgrades(s);
    unsigned n_fds = upgrades ? serve_keep_sockets(s, fds, INHERIT_MAX) : 0;
    serve_free(s);
    return upgrades ? make_way(u, call, fds, n_fds) : 0;
}

static int run(const struct args *a)
{
    struct upgrade *u = upgrade_new();
    const char *given = args_option(a, "--config");
    _cleanup_free_ char *file = given ? mem_strdup(given) : where_config_file();
    const struct call call = {.file = file, .given = given, .demo = args_flag(a, "--demo")};
    struct config config;
    struct error err = {0};
    int code;
    if (config_load(&config, file, environ, &err) < 0) {
        code = complain("configuration", &err);
    } else {
        code = serve(&config, &call, u);
        config_done(&config);
    }
    upgrade_free(u);
    return code;
}

static const struct command_option options[] = {
    {"--config", "FILE",
     "The configuration; else $MAST_CONFIG, ./mast.yml or /etc/mast/mast.yml, the first that is there, else the defaults"},
    {"--demo", NULL, "Publishes a test picture (needs ffmpeg)"},
    {.name = NULL},
};

static const char *const examples[] = {
    "mast serve --demo",
    "something to look at, at http://127.0.0.1:8888/",
    NULL,
};

const struct command command_serve = {
    .name = "serve",
    .summary = "Runs the server",
    .about =
        "Listens where mast.yml says; without a configuration on this machine only, HTTP at 8888, RTMP at 1935, RTMPS at 1936. It "
        "stays in the foreground and logs to standard error.\n\n"
        "SIGTERM and SIGINT end it. SIGHUP makes it read the configuration and the certificates again. SIGUSR2 makes "
        "it become the program that is installed by then, without a refused connection.",
    .options = options,
    .examples = examples,
    .run = run,
};
