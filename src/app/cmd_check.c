/* SPDX-License-Identifier: Apache-2.0 */
/* `mast check`: is this configuration right? Also prints the documented example. */
#include "app/command.h"
#include "app/config.h"
#include "app/where.h"
#include "base/mem.h"

#include <stdio.h>

static int print_example(void)
{
    _cleanup_(out_done) struct out o = {0};
    config_write_example(&o);
    fputs(out_str(&o), stdout);
    return 0;
}

static int report(const char *file, int r, const struct error *err, bool as_json)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    if (!as_json) {
        if (r < 0) {
            fprintf(stderr, "%s%s%s\n", err->where, err->where[0] ? ": " : "", err->text);
        } else {
            printf("%s: ok\n", file ? file : "the defaults");
        }
        return r < 0 ? 1 : 0;
    }
    json_object_begin(&j);
    json_put_bool(&j, "ok", r >= 0);
    json_put_str(&j, "file", file);
    if (r < 0) {
        json_put_str(&j, "where", err->where);
        json_put_str(&j, "text", err->text);
    }
    json_object_end(&j);
    puts(out_str(&o));
    return r < 0 ? 1 : 0;
}

static int run(int argc, char **argv)
{
    bool as_json = command_flag(&argc, argv, "--json");
    if (command_flag(&argc, argv, "--example")) {
        return argc == 1 ? print_example() : command_usage(&command_check);
    }
    if (argc > 2) {
        return command_usage(&command_check);
    }
    _cleanup_free_ char *found = argc == 2 ? mem_strdup(argv[1]) : where_config_file();
    struct config config;
    struct error err = {0};
    int r = config_load(&config, found, environ, &err);
    if (r >= 0) {
        config_done(&config);
    }
    return report(found, r, &err, as_json);
}

const struct command command_check = {
    .name = "check",
    .usage = "[FILE] [--json] | --example",
    .summary = "Says what is wrong with a configuration, and where",
    .run = run,
};
