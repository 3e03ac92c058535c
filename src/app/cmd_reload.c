/* SPDX-License-Identifier: Apache-2.0 */
/* `mast reload`: a running server reads its configuration again. */
#include "app/api_call.h"
#include "app/command.h"
#include "app/reload.h"

#include <stdio.h>

static int print_report(const struct out *body)
{
    struct reload_report report;
    int r = api_read(&reload_report_model, &report, out_view(body));
    if (r != 0) {
        return r;
    }
    for (size_t i = 0; i < report.changed.len; i++) {
        printf("changed        %s\n", report.changed.items[i]);
    }
    for (size_t i = 0; i < report.restart.len; i++) {
        printf("needs restart  %s\n", report.restart.items[i]);
    }
    if (report.changed.len + report.restart.len == 0) {
        puts("nothing changed; certificates were read again");
    }
    model_done(&reload_report_model, &report);
    return 0;
}

static int run(const struct args *a)
{
    struct api_call call = api_call_options(a);
    _cleanup_(out_done) struct out body = {0};
    int r = api_call(&call, "POST", "/api/v1/reload", "", &body);
    if (r == 0 && args_flag(a, "--json")) {
        puts(out_str(&body));
        return 0;
    }
    return r == 0 ? print_report(&body) : r;
}

static const struct command_option options[] = {
    COMMAND_SERVER,
    COMMAND_JSON,
    {.name = NULL},
};

const struct command command_reload = {
    .name = "reload",
    .summary = "Makes a running server read its configuration again",
    .about =
        "Prints which keys changed and which of them wait for a restart. A configuration with a mistake changes nothing, and the "
        "command fails. Nobody is disconnected.",
    .options = options,
    .run = run,
};
