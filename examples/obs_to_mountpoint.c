/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OBS publishes to SRS, ffmpeg relays from there to a Streaming mountpoint of Janus:
 *
 *     OBS_PASSWORD=... obs_to_mountpoint ws://127.0.0.1:8188 rtmp://127.0.0.1 STREAM-KEY MOUNTPOINT
 *
 * OBS listens on 127.0.0.1:4455 (Tools > WebSocket Server Settings). Runs until Ctrl-C; then the stream is stopped, OBS has its own
 * settings back, and the mountpoint is gone.
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
    request.source_kind = "obs";
    request.relay_kind = "ffmpeg";
    request.mountpoint_id = atoll(argv[4]);
    request.host = "127.0.0.1";
    request.video_port = 6004;
    request.audio_port = 6006;
    request.srs_rtmp_url = argv[2];
    request.srs_app = "live";
    request.srs_stream_key = argv[3];
    request.obs_host = "127.0.0.1";
    request.obs_port = getenv("OBS_PORT") ? atoi(getenv("OBS_PORT")) : 4455;
    request.obs_password = getenv("OBS_PASSWORD");

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
        fprintf(stderr, "usage: %s JANUS-URL SRS-URL STREAM-KEY MOUNTPOINT\n", argv[0]);
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
