/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Relays: ffmpeg or gst-launch-1.0 reads one source and sends RTP to the ports of a Janus mountpoint, with what is known to work towards
 * WebRTC viewers (no B pictures, a key frame a second, parameter sets before each, a new SSRC at each start). The program is kept
 * running as mast/process.h does it, and replaced when nothing passes. Threads, ownership and errors: mast/core.h.
 */
#include <mast/core.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mast_relay;

enum mast_relay_kind {
    MAST_RELAY_FFMPEG,
    MAST_RELAY_GSTREAMER,
};

enum mast_relay_input {
    MAST_RELAY_RTMP,
    MAST_RELAY_RTSP,
    MAST_RELAY_URL,  /* anything else that the program reads: http, srt, udp */
    MAST_RELAY_FILE, /* ffmpeg only: an absolute path, read at the speed it plays at */
    MAST_RELAY_TEST, /* picture and tone made by the program */
};

/* Where one track goes. */
struct mast_relay_output {
    bool audio;        /* else video */
    const char *codec; /* as Janus calls it: "h264", "vp8", "vp9"; "opus", "pcmu", "pcma", "g722" */
    unsigned index;    /* the nth source track of its kind */
    const char *host;  /* numeric; NULL = 127.0.0.1 */
    int port;          /* UDP */
    int pt;            /* RTP payload type, 0 to 127 */
    bool copy;         /* audio: it is in that codec already */
};

/* Zero is the default given. */
struct mast_relay_spec {
    enum mast_relay_input input;
    /* May hold credentials. ffmpeg gets it by a pipe; gst-launch knows only its arguments, where others on the machine see it. */
    const char *url;
    bool rtsp_udp;       /* else RTSP over TCP */
    bool copy_video;     /* the source has no B pictures and is in the codec wanted */
    unsigned fps;        /* pictures a second; as the source */
    unsigned width;      /* pixels; as the source */
    unsigned height;     /* pixels; as the source */
    unsigned video_kbps; /* kbit/s; 2500 */
    unsigned audio_kbps; /* kbit/s; 64 */
    const char *
        pipeline; /* GStreamer: the caller's own, split without a shell; the rest is ignored then */
    const struct mast_relay_output *outputs;
    unsigned n_outputs; /* at most 16 */
};

struct mast_relay_config {
    const char *name; /* for logs and the observer; NULL = "relay" */
    enum mast_relay_kind kind;
    struct mast_relay_spec spec;
    unsigned stall_ms; /* nothing passed for so long: it is replaced; 0 = 10000 */
    void *user;
    void (*on_line)(void *user,
                    const char *line); /* what it says, secrets taken out. May be NULL */
    struct mast_observer observer;     /* as of mast/process.h; the phase is "relay" */
};

/* The command that would run, as a JSON array of its arguments, to be released by free(). Any thread, at once. -EINVAL. */
MAST_API int mast_relay_command(enum mast_relay_kind kind, const struct mast_relay_spec *spec,
                                char **ret, struct mast_error *err);

/* Nothing is started yet. -EINVAL: err names the field. -EDEADLK: on a thread of another instance. */
MAST_API int mast_relay_new(struct mast *m, const struct mast_relay_config *config,
                            struct mast_relay **ret, struct mast_error *err);
/* As mast_process_free(). */
MAST_API int mast_relay_free(struct mast_relay *r, unsigned deadline_ms, mast_done_fn done,
                             void *user);
MAST_API int mast_relay_free_wait(struct mast_relay *r, unsigned deadline_ms,
                                  struct mast_error *err);
/* As mast_process_start() and _stop(). */
MAST_API int mast_relay_start(struct mast_relay *r, mast_done_fn done, void *user);
MAST_API int mast_relay_start_wait(struct mast_relay *r, struct mast_error *err);
MAST_API int mast_relay_stop(struct mast_relay *r, mast_done_fn done, void *user);
MAST_API int mast_relay_stop_wait(struct mast_relay *r, struct mast_error *err);
/*
 * data: as mast_process_status(), and of ffmpeg "progress": {"out_time_ms":, "frames":, "fps":, "speed":} once it has told; of
 * GStreamer "secret_visible": credentials of url are among the arguments that others on the machine see.
 */
MAST_API int mast_relay_status(struct mast_relay *r, mast_done_fn done, void *user);
MAST_API int mast_relay_status_wait(struct mast_relay *r, char **ret, struct mast_error *err);

#ifdef __cplusplus
}
#endif
