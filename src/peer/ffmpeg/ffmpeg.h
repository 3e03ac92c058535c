/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Relays that the ffmpeg program runs: one input (RTMP, RTSP, HTTP, file, test picture) to RTP ports of a Janus mountpoint,
 * with what is known to work towards WebRTC viewers (specs/janus-obs-reference.md 3.1): no B pictures, a key frame a second,
 * parameter sets before each, aresample=async, exact maps with -vn and -an, a new SSRC at each start, packets of 1200 bytes.
 * ffmpeg_argv() is a pure function from the spec; struct ffmpeg_relay keeps the program running under io/supervisor.h.
 *
 * The URL is not in argv, where every user of the machine could read the secrets in it: it reaches ffmpeg by an inherited
 * descriptor. Control loop only.
 */
#include "base/error.h"
#include "io/supervisor.h"
#include "media/track.h"

enum ffmpeg_input {
    FFMPEG_RTMP,
    FFMPEG_RTSP,
    FFMPEG_URL,  /* http, https, srt, udp, rtp, tcp, tls: taken as live, not paced */
    FFMPEG_FILE, /* an absolute path; read at the speed it plays at, and its end is no failure */
    FFMPEG_TEST, /* picture and tone made by ffmpeg */
};

enum ffmpeg_video {
    FFMPEG_ENCODE, /* baseline, no B pictures */
    FFMPEG_COPY,   /* Annex B with parameter sets; the source has no B pictures */
};

/* Where one track goes. Endpoint of the seeds. */
struct ffmpeg_output {
    enum track_kind kind;
    char codec[16]; /* as Janus calls it: "h264", "vp8", "vp9"; "opus", "pcmu", "pcma", "g722" */
    unsigned index; /* the nth source track of its kind */
    char host[64];  /* numeric */
    uint16_t port;
    uint8_t pt;
    bool copy_audio; /* it is in that codec already */
};

#define FFMPEG_OUTPUTS_MAX 16u
struct ffmpeg_spec {
    enum ffmpeg_input input;
    const char *url;    /* copied */
    bool rtsp_udp;      /* else TCP */
    int64_t timeout_ns; /* of network reads; 0 = 10 s */
    enum ffmpeg_video video;
    unsigned fps, width, height; /* 0 = as the source */
    unsigned video_kbps;         /* 0 = 2500 */
    unsigned audio_kbps;         /* 0 = 64 */
    const char *preset;          /* x264; NULL = "veryfast" */
    unsigned n_outputs;
    struct ffmpeg_output outputs[FFMPEG_OUTPUTS_MAX];
};
int ffmpeg_spec_check(const struct ffmpeg_spec *s, struct error *err);

/* A child's command: text of its own, and what it inherits. */
struct ffmpeg_command {
    char **argv; /* NULL-terminated */
    unsigned n;
    char *pipe_text; /* what the child reads at pipe_child; NULL = nothing secret */
    int pipe_child;  /* its descriptor there */
};
int ffmpeg_command_make(const struct ffmpeg_spec *s, struct ffmpeg_command *ret, struct error *err);
void ffmpeg_command_done(struct ffmpeg_command *c);

/* What -progress tells. -1 = not told. */
struct ffmpeg_progress {
    int64_t out_time_us;
    int64_t frames, dropped, duplicated;
    int64_t bytes;
    double fps, speed;
    bool ended; /* progress=end */
};
/* Feeds what the child wrote to its progress descriptor, in any pieces; true when one report is complete in *p. */
struct ffmpeg_progress_parser {
    char line[256];
    unsigned len;
    bool skip;  /* the line is too long */
    bool begun; /* zeroed memory is a parser */
    struct ffmpeg_progress next;
};
bool ffmpeg_progress_feed(struct ffmpeg_progress_parser *parser, struct bytes *data,
                          struct ffmpeg_progress *p);

/*
 * A relay. What is seen as a failure, and answered with another child after a wait: any end of ffmpeg (of a live source also
 * that with code 0: its publisher left), and no progress for stall_ms (SIGSTOP, a source that sends nothing).
 */
struct ffmpeg_relay;
struct ffmpeg_relay_ops {
    /* Each may be NULL. on_state: also STOPPED, before ffmpeg_relay_stop()'s done. */
    void (*on_state)(void *user, enum supervisor_state state, const char *reason);
    void (*on_progress)(void *user, const struct ffmpeg_progress *p);
    void (*on_line)(void *user, const char *line); /* what it says, secrets taken out */
};
/*
 * spec is copied. name: for logs. NULL and err when the spec makes no sense. stall_ms: 0 = 10 s; until the first report the
 * time that the source has to answer (timeout_ns) is added to it.
 */
struct ffmpeg_relay *ffmpeg_relay_new(struct loop *l, const char *name,
                                      const struct ffmpeg_spec *spec, unsigned stall_ms,
                                      const struct ffmpeg_relay_ops *ops, void *user,
                                      struct error *err);
/* -EBUSY while it is stopping. */
int ffmpeg_relay_start(struct ffmpeg_relay *r);
/* Other ports or another input: the child is replaced when it runs. On error nothing has changed. */
int ffmpeg_relay_change(struct ffmpeg_relay *r, const struct ffmpeg_spec *spec, struct error *err);
/*
 * SIGTERM, SIGTERM after FFMPEG_TERM_AGAIN_MS (an ffmpeg that waits in a read takes two), SIGKILL after FFMPEG_GRACE_MS.
 * done (may be NULL) comes once no child is left; -EALREADY, and no done, when another stop with one is under way.
 */
#define FFMPEG_TERM_AGAIN_MS 1000
#define FFMPEG_GRACE_MS      3000
int ffmpeg_relay_stop(struct ffmpeg_relay *r, void (*done)(void *user), void *user);
/* Kills what is left; no callback comes any more. NULL is fine; returns NULL. Allowed in all callbacks. */
struct ffmpeg_relay *ffmpeg_relay_free(struct ffmpeg_relay *r);
/* The child gets on and does not do what it should: another one, at once. reason: as supervisor_restart(). */
void ffmpeg_relay_replace(struct ffmpeg_relay *r, const char *reason);
const struct supervisor *ffmpeg_relay_supervisor(const struct ffmpeg_relay *r);
/* The last report of the child that runs; out_time_us -1 when there was none. */
const struct ffmpeg_progress *ffmpeg_relay_progress(const struct ffmpeg_relay *r);
/* Monotonic time when the child that runs was last seen to get on; 0: it has not yet. */
int64_t ffmpeg_relay_flowed_ns(const struct ffmpeg_relay *r);
