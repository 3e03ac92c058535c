/* SPDX-License-Identifier: Apache-2.0 */
/* `mast version`: what this build is and runs with. */
#include "api/system.h"
#include "app/command.h"
#include "base/mem.h"

#include <mast/version.h>

#include <stdio.h>

static int run(int argc, char **argv)
{
    bool as_json = command_flag(&argc, argv, "--json");
    if (argc != 1) {
        return command_usage(&command_version);
    }
    if (as_json) {
        _cleanup_(out_done) struct out o = {0};
        struct json j = json_init(&o);
        system_version_write(&j);
        puts(out_str(&o));
    } else {
        printf("mast %s\n", mast_version());
    }
    return 0;
}

const struct command command_version = {
    .name = "version",
    .usage = "[--json]",
    .summary = "What this build is, and the libraries it runs with",
    .run = run,
};
