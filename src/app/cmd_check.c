/* SPDX-License-Identifier: Apache-2.0 */
/* `mast check`: is this configuration right? Also prints the documented example. */
#include "app/command.h"
#include "app/config.h"
#include "app/where.h"
#include "base/mem.h"

#include <stdio.h>

static int print(void (*write)(struct out *o))
{
    _cleanup_(out_done) struct out o = {0};
    write(&o);
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

static int run(const struct args *a)
{
    if (args_flag(a, "--example")) {
        return print(config_write_example);
    }
    if (args_flag(a, "--reference")) {
        return print(config_write_reference);
    }
    const char *given = args_value(a, 0);
    _cleanup_free_ char *found = given ? mem_strdup(given) : where_config_file();
    struct config config;
    struct error err = {0};
    int r = config_load(&config, found, environ, &err);
    if (r >= 0) {
        config_done(&config);
    }
    return report(found, r, &err, args_flag(a, "--json"));
}

static const struct command_option options[] = {
    COMMAND_JSON,
    {"--example", NULL, "Prints a configuration with every key, its default and what it does"},
    {"--reference", NULL,
     "Prints every key with its type, range and when a change takes effect (Markdown)"},
    {.name = NULL},
};

static const char *const examples[] = {
    "mast check /etc/mast/mast.yml",
    "before a reload",
    "mast check --example > mast.yml",
    "a file to begin with",
    NULL,
};

const struct command command_check = {
    .name = "check",
    .args = "[FILE]",
    .summary = "Says what is wrong with a configuration, and where",
    .about =
        "Reads the file as `mast serve` would, with the MAST_ variables of the environment laid over it, and changes nothing. "
        "Without FILE it is the one that `mast serve` would find.",
    .options = options,
    .examples = examples,
    .run = run,
};
