/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publisher of a VideoRoom becomes a Streaming mountpoint:
 *
 *     videoroom_to_mountpoint ws://127.0.0.1:8188 ROOM PUBLISHER MOUNTPOINT
 *
 * Runs until Ctrl-C, then undoes what it made: the mountpoint and the forward. The room was not ours and stays.
 */
#include <mast/mast.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void on_state_change(void *user, const char *broadcast, const char *state,
                            const char *reason)
{
    (void)user;
    printf("%s: %s %s\n", broadcast, state, reason);
    fflush(stdout);
}

static int run(struct mast_orchestrator *orchestrator, char *argv[])
{
    struct mast_broadcast_request request;
    struct mast_error err = {0};
    char *result = NULL;

    mast_broadcast_request_init(&request);
    request.source_kind = "videoroom";
    request.relay_kind = "none";
    request.room_id = atoll(argv[2]);
    request.publisher_id = atoll(argv[3]);
    request.mountpoint_id = atoll(argv[4]);
    request.owned_by_app = true;
    request.mountpoint_spec =
        "{\"media\": [{\"type\": \"video\", \"mid\": \"v\", \"port\": 0, \"pt\": 96,"
        " \"codec\": \"h264\"},"
        " {\"type\": \"audio\", \"mid\": \"a\", \"port\": 0, \"pt\": 111, \"codec\": \"opus\"}]}";

    char *json = mast_broadcast_request_json(&request);
    int r = mast_broadcast_start_wait(orchestrator, json, &result, &err);
    free(json);
    if (result) {
        puts(result); /* a failed broadcast has one too */
        free(result);
    }
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", err.where, err.text);
    }
    return r;
}

int main(int argc, char *argv[])
{
    struct mast_orchestrator *orchestrator = NULL;
    struct mast_error err = {0};
    sigset_t ends;
    int signal_number;

    if (argc != 5) {
        fprintf(stderr, "usage: %s JANUS-URL ROOM PUBLISHER MOUNTPOINT\n", argv[0]);
        return 2;
    }
    /* Before any thread is made, so that only sigwait() below gets them. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);

    struct mast *mast = mast_new(NULL);
    if (!mast) {
        perror("mast_new");
        return 1;
    }
    const struct mast_janus_server janus = {.url = argv[1],
                                            .api_secret = getenv("JANUS_API_SECRET"),
                                            .admin_key = getenv("JANUS_STREAMING_KEY"),
                                            .room_admin_key = getenv("JANUS_ROOM_KEY")};
    const struct mast_orchestrator_config config = {
        .janus = &janus,
        .n_janus = 1,
        .observer = {.on_state_change = on_state_change},
    };
    int r = mast_orchestrator_new(mast, &config, &orchestrator, &err);
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", err.where, err.text);
    } else {
        r = run(orchestrator, argv);
    }
    if (r == 0) {
        sigwait(&ends, &signal_number);
    }
    r = mast_orchestrator_free_wait(orchestrator, 0, &err) < 0 ? -1 : r;
    mast_free(mast);
    return r < 0 ? 1 : 0;
}
