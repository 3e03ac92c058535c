/* SPDX-License-Identifier: Apache-2.0 */
/* `mast upgrade`: a running server becomes the program that now lies at its path. */
#include "app/api_call.h"
#include "app/command.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/model.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define VERSION  "/api/v1/version"
#define WAIT_NS  (120 * NS_PER_S) /* its programs and sessions end first */
#define AGAIN_US (100 * 1000)

struct version {
    char *version;
    int64_t started;
};

static const struct model_field version_fields[] = {
    MODEL_STRING(struct version, version, .required = true),
    MODEL_TIME(struct version, started),
};
static const struct model version_model =
    MODEL("ServerVersion", struct version, version_fields, .unknown = MODEL_IGNORE);

static bool collect(void *user, struct bytes data)
{
    struct out *o = user;
    out_bytes(o, data);
    return o->len < API_REPLY_MAX;
}

/* quiet: nothing is said when nobody answers. */
static enum api_result ask_version(const struct api_call *call, bool quiet, struct version *ret)
{
    _cleanup_(out_done) struct out reply = {0};
    enum api_result r = api_stream(call, VERSION, NULL, quiet, collect, &reply);
    return r == API_OK && api_read(&version_model, ret, out_view(&reply)) != 0 ? API_REFUSED : r;
}

/* Until another start answers; 0, or an exit code. */
static int wait_for_other(const struct api_call *call, const struct version *before,
                          struct version *ret)
{
    const int64_t give_up = clock_mono_ns() + WAIT_NS;
    while (clock_mono_ns() < give_up) {
        enum api_result r = ask_version(call, true, ret);
        if (r == API_REFUSED) {
            return 1;
        }
        if (r == API_OK && ret->started != before->started) {
            return 0;
        }
        if (r == API_OK) {
            model_done(&version_model, ret);
        }
        usleep(AGAIN_US);
    }
    fprintf(stderr,
            "mast: the other program does not answer after %lld s; the server's log says more\n",
            (long long)(WAIT_NS / NS_PER_S));
    return 1;
}

static void print_result(const struct version *before, const struct version *after, bool as_json)
{
    if (!as_json) {
        printf("%s -> %s\n", before->version, after->version);
        return;
    }
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "before", before->version);
    json_put_str(&j, "after", after->version);
    json_object_end(&j);
    puts(out_str(&o));
}

static int run(const struct args *a)
{
    struct api_call call = api_call_options(a);
    _cleanup_(out_done) struct out reply = {0};
    struct version before;
    struct version after;
    if (ask_version(&call, false, &before) != API_OK) {
        return 1;
    }
    int r = api_call(&call, "POST", "/api/v1/upgrade", "", &reply);
    r = r == 0 ? wait_for_other(&call, &before, &after) : r;
    if (r == 0) {
        print_result(&before, &after, args_flag(a, "--json"));
        model_done(&version_model, &after);
    }
    model_done(&version_model, &before);
    return r;
}

static const struct command_option options[] = {
    COMMAND_SERVER,
    COMMAND_JSON,
    {.name = NULL},
};

const struct command command_upgrade = {
    .name = "upgrade",
    .summary = "Makes a running server become the version that was installed over it",
    .about =
        "The program that now lies at the server's path checks the configuration first; when it refuses, the command fails "
        "and the server goes on as it was. Otherwise sessions end and come back, and nobody who connects is refused. Returns when "
        "the other program answers.",
    .options = options,
    .run = run,
};
