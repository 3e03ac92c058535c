/* SPDX-License-Identifier: Apache-2.0 */
/* `mast help`: what the commands' tables say; for our own build and scripts also as manual pages and as completion. */
#include "app/command.h"
#include "app/complete.h"
#include "app/manual.h"
#include "base/mem.h"

static int print_page(const char *name)
{
    _cleanup_(out_done) struct out o = {0};
    if (manual_write(&o, name) < 0) {
        fprintf(stderr, "mast: there is no manual page for '%s'\n", name);
        return 1;
    }
    fputs(out_str(&o), stdout);
    return 0;
}

static int run(const struct args *a)
{
    const char *name = args_value(a, 0);
    if (args_option(a, "--man")) {
        return print_page(args_option(a, "--man"));
    }
    const struct command *c = name ? command_find(name) : NULL;
    if (!name) {
        command_print_list(stdout);
        return 0;
    }
    if (!c) {
        fprintf(stderr, "mast: there is no command '%s'; `mast help` lists them\n", name);
        return 2;
    }
    command_print_help(stdout, NULL, c);
    return 0;
}

static const struct command_option options[] = {
    {"--man", "NAME", NULL},
    {.name = NULL},
};

const struct command command_help = {
    .name = "help",
    .args = "[COMMAND]",
    .summary = "Lists the commands, or explains one",
    .options = options,
    .run = run,
};
