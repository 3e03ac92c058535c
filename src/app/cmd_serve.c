/* SPDX-License-Identifier: Apache-2.0 */
/* `mast serve`: reads the configuration and runs the server until a signal. */
#include "app/command.h"
#include "app/config.h"
#include "app/serve.h"
#include "app/where.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>

static int complain(const char *what, const struct error *err)
{
    fprintf(stderr, "mast: %s: %s%s%s\n", what, err->where, err->where[0] ? ": " : "", err->text);
    return 1;
}

static int serve(const struct config *config, const char *file, bool demo)
{
    struct error err = {0};
    (void)log_configure(config->log.level, config->log.json);
    struct serve *s = serve_start(config, file, demo, &err);
    if (!s) {
        return complain("cannot start", &err);
    }
    serve_print_addresses(s);
    serve_run(s);
    serve_free(s);
    return 0;
}

static int run(int argc, char **argv)
{
    bool demo = command_flag(&argc, argv, "--demo");
    const char *given = command_option(&argc, argv, "--config");
    if (argc != 1) {
        return command_usage(&command_serve);
    }
    _cleanup_free_ char *file = given ? mem_strdup(given) : where_config_file();
    struct config config;
    struct error err = {0};
    if (config_load(&config, file, environ, &err) < 0) {
        return complain("configuration", &err);
    }
    int code = serve(&config, file, demo);
    config_done(&config);
    return code;
}

const struct command command_serve = {
    .name = "serve",
    .usage = "[--config FILE] [--demo]",
    .summary = "Runs the server; --demo publishes a test picture",
    .run = run,
};
