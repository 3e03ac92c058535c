/* SPDX-License-Identifier: Apache-2.0 */
/* `mast help`: what the commands' tables say. */
#include "app/command.h"

static int run(const struct args *a)
{
    const char *name = args_value(a, 0);
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

const struct command command_help = {
    .name = "help",
    .args = "[COMMAND]",
    .summary = "Lists the commands, or explains one",
    .run = run,
};
