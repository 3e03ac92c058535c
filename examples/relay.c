/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One part alone: an RTMP source relayed by ffmpeg to two UDP ports, as a Janus mountpoint listens on.
 *
 *     relay rtmp://127.0.0.1/live/cam-01 5004 5006
 *     relay test 5004 5006
 *
 * This one has an event loop of its own: callbacks wait until it calls mast_dispatch(), so it needs no locks.
 */
#include <mast/mast.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t ending;
static int stopped;

static void on_signal(int number)
{
    (void)number;
    ending = 1;
}

static void on_state_change(void *user, const char *name, const char *state, const char *reason)
{
    (void)user;
    printf("%s: %s %s\n", name, state, reason);
    fflush(stdout);
}

static void on_started(void *user, const struct mast_reply *reply)
{
    (void)user;
    printf("start: %s\n", reply->r < 0 ? reply->text : "it runs");
    fflush(stdout);
}

static void on_stopped(void *user, const struct mast_reply *reply)
{
    (void)user;
    (void)reply;
    stopped = 1;
}

static struct mast_relay *make(struct mast *mast, char *argv[])
{
    const struct mast_relay_output outputs[] = {
        {.codec = "h264", .port = atoi(argv[2]), .pt = 96},
        {.audio = true, .codec = "opus", .port = atoi(argv[3]), .pt = 111},
    };
    struct mast_relay_config config = {
        .name = argv[1],
        .kind = MAST_RELAY_FFMPEG,
        .spec = {.input = MAST_RELAY_RTMP, .url = argv[1], .outputs = outputs, .n_outputs = 2},
        .observer = {.on_state_change = on_state_change},
    };
    struct mast_relay *relay = NULL;
    struct mast_error err = {0};
    char *command = NULL;

    if (strcmp(argv[1], "test") == 0) {
        config.spec.input = MAST_RELAY_TEST;
        config.spec.url = NULL;
        config.spec.width = 320;
        config.spec.height = 180;
    }
    if (mast_relay_command(config.kind, &config.spec, &command, &err) == 0) {
        puts(command);
        free(command);
    }
    if (mast_relay_new(mast, &config, &relay, &err) < 0) {
        fprintf(stderr, "%s: %s\n", err.where, err.text);
    }
    return relay;
}

static void run(struct mast *mast)
{
    struct pollfd p = {.fd = mast_fd(mast), .events = POLLIN};
    if (poll(&p, 1, 500) > 0) {
        mast_dispatch(mast);
    }
}

int main(int argc, char *argv[])
{
    const struct mast_config config = {.queue = true};
    struct sigaction action = {.sa_handler = on_signal};
    if (argc != 4) {
        fprintf(stderr, "usage: %s RTMP-URL|test VIDEO-PORT AUDIO-PORT\n", argv[0]);
        return 2;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    struct mast *mast = mast_new(&config);
    struct mast_relay *relay = mast ? make(mast, argv) : NULL;
    if (!relay) {
        mast_free(mast);
        return 1;
    }
    mast_relay_start(relay, on_started, NULL);
    while (!ending) {
        run(mast);
    }
    mast_relay_stop(relay, on_stopped, NULL);
    while (!stopped) {
        run(mast);
    }
    mast_relay_free_wait(relay, 0, NULL);
    return mast_free(mast) < 0;
}
