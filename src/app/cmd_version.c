/* SPDX-License-Identifier: Apache-2.0 */
/* `mast version`: what this build is and runs with. */
#include "api/system.h"
#include "app/command.h"
#include "base/mem.h"

#include <mast/version.h>

#include <stdio.h>

static int run(const struct args *a)
{
    if (args_flag(a, "--json")) {
        _cleanup_(out_done) struct out o = {0};
        struct json j = json_init(&o);
        system_version_write(&j);
        puts(out_str(&o));
    } else {
        printf("mast %s\n", mast_version());
    }
    return 0;
}

static const struct command_option options[] = {
    {"--json", NULL, "Prints JSON, with the versions of the libraries"},
    {.name = NULL},
};

const struct command command_version = {
    .name = "version",
    .summary = "What this build is, and the libraries it runs with",
    .options = options,
    .run = run,
};
