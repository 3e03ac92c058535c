/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Relays that gst-launch-1.0 runs: a pipeline made from what goes where (specs/janus-obs-reference.md 3.2), or the caller's
 * own string, split into words without a shell. gst-launch takes its pipeline in argv only, so a secret in a URL is visible to
 * who may see the process: gstreamer_command_make() says so, and the broadcast tells its owner. Control loop only.
 */
#include "base/error.h"
#include "io/supervisor.h"
#include "media/track.h"

enum gstreamer_input {
    GSTREAMER_RTMP,
    GSTREAMER_RTSP,
    GSTREAMER_URI, /* uridecodebin */
    GSTREAMER_TEST,
};

struct gstreamer_output {
    enum track_kind kind;
    char codec[16]; /* as Janus calls it */
    unsigned index; /* the nth of its kind; RTMP and RTSP: 0 */
    char host[64];
    uint16_t port;
    uint8_t pt;
};

#define GSTREAMER_OUTPUTS_MAX  16u
#define GSTREAMER_PIPELINE_MAX 16384u
#define GSTREAMER_WORDS_MAX    1024u

struct gstreamer_spec {
    enum gstreamer_input input;
    const char *url; /* without credentials when user is given, which only RTSP takes */
    const char *user, *password;
    bool rtsp_udp;
    unsigned latency_ms; /* RTSP; 0 = 100 */
    bool copy_video, copy_audio;
    unsigned fps, width, height, video_kbps, audio_kbps;
    unsigned n_outputs;
    struct gstreamer_output outputs[GSTREAMER_OUTPUTS_MAX];
    const char *pipeline; /* the caller's own; all the above is ignored then */
};

struct gstreamer_command {
    char **argv; /* NULL-terminated */
    unsigned n;
    bool secret_visible;
};
int gstreamer_command_make(const struct gstreamer_spec *s, struct gstreamer_command *ret,
                           struct error *err);
void gstreamer_command_done(struct gstreamer_command *c);
/* Words as gst-launch wants them: spaces part them, quotes and backslashes keep them together. -EINVAL, -E2BIG. */
int gstreamer_split(const char *pipeline, char ***ret_words, unsigned *ret_n, struct error *err);

/*
 * A relay. Any end of gst-launch is a failure, answered with another one after a wait. A generated pipeline tells each second
 * that something passes; when it does not for stall_ms (0 = 10 s) it is replaced. The caller's own tells nothing, and is
 * watched no further than that it runs.
 */
struct gstreamer_relay;
struct gstreamer_relay_ops {
    /* Each may be NULL. on_state: also STOPPED, before gstreamer_relay_stop()'s done. */
    void (*on_state)(void *user, enum supervisor_state state, const char *reason);
    void (*on_line)(void *user, const char *line); /* what it says, secrets taken out */
};
/* spec is copied. name: for logs. NULL and err when the spec makes no sense. */
struct gstreamer_relay *gstreamer_relay_new(struct loop *l, const char *name,
                                            const struct gstreamer_spec *spec, unsigned stall_ms,
                                            const struct gstreamer_relay_ops *ops, void *user,
                                            struct error *err);
/* -EBUSY while it is stopping. */
int gstreamer_relay_start(struct gstreamer_relay *r);
/* Other ports or another input: the child is replaced when it runs. On error nothing has changed. */
int gstreamer_relay_change(struct gstreamer_relay *r, const struct gstreamer_spec *spec,
                           struct error *err);
/* SIGTERM, then SIGKILL. done (may be NULL) comes once no child is left; -EALREADY as ffmpeg_relay_stop(). */
#define GSTREAMER_GRACE_MS 3000
int gstreamer_relay_stop(struct gstreamer_relay *r, void (*done)(void *user), void *user);
/* Kills what is left; no callback comes any more. NULL is fine; returns NULL. Allowed in all callbacks. */
struct gstreamer_relay *gstreamer_relay_free(struct gstreamer_relay *r);
/* The child gets on and does not do what it should: another one, at once. reason: as supervisor_restart(). */
void gstreamer_relay_replace(struct gstreamer_relay *r, const char *reason);
const struct supervisor *gstreamer_relay_supervisor(const struct gstreamer_relay *r);
bool gstreamer_relay_secret_visible(const struct gstreamer_relay *r);
/* Monotonic time when something was last seen to pass; 0: not yet, and never with the caller's own pipeline. */
int64_t gstreamer_relay_flowed_ns(const struct gstreamer_relay *r);
