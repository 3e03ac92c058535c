/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One part alone: OBS publishes to an RTMP server, and has its own settings back when this ends.
 *
 *     OBS_PASSWORD=... obs_bridge rtmp://127.0.0.1/live STREAM-KEY
 */
#include <mast/mast.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void on_state_change(void *user, const char *name, const char *state, const char *reason)
{
    (void)user;
    printf("%s: %s %s\n", name, state, reason);
    fflush(stdout);
}

static int run(struct mast_obs *obs, const char *server, const char *key)
{
    struct mast_error err = {0};
    char *status = NULL;
    if (mast_obs_ready_wait(obs, &err) < 0 ||
        mast_obs_start_stream_wait(obs, server, key, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    if (mast_obs_ask_wait(obs, "GetStreamStatus", NULL, &status, &err) == 0) {
        puts(status);
        fflush(stdout);
        free(status);
    }
    return 0;
}

int main(int argc, char *argv[])
{
    const struct mast_obs_config config = {
        .port = getenv("OBS_PORT") ? atoi(getenv("OBS_PORT")) : 4455,
        .password = getenv("OBS_PASSWORD"),
        .observer = {.on_state_change = on_state_change},
    };
    struct mast_obs *obs = NULL;
    struct mast_error err = {0};
    sigset_t ends;
    int signal_number;

    if (argc != 3) {
        fprintf(stderr, "usage: %s RTMP-SERVER STREAM-KEY\n", argv[0]);
        return 2;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    struct mast *mast = mast_new(NULL);
    int r = mast ? mast_obs_new(mast, &config, &obs, &err) : -1;
    if (r == 0) {
        r = run(obs, argv[1], argv[2]);
    }
    if (r == 0) {
        sigwait(&ends, &signal_number);
        r = mast_obs_free_wait(obs, 0, &err); /* stops, and puts back */
    }
    mast_free(mast);
    return r < 0;
}
