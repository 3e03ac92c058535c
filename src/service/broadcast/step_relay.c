/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A relay that another program runs: ffmpeg or gst-launch, from a source to the ports of the mountpoint. The child is kept by
 * its own supervisor, which starts it anew whenever it ends or stalls; this step only says what comes of it: waiting
 * until media has flowed once, then well or sick. It holds up no later step, so that OBS, say, is started while the relay waits
 * for what OBS will publish. Nothing of it outlives this process.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/url.h"
#include "peer/ffmpeg/ffmpeg.h"
#include "peer/gstreamer/gstreamer.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LOOK_MS  200
#define FRESH_NS (3 * NS_PER_S) /* nothing for so long: it does not flow */
/* The caller's own pipeline tells nothing: one that lived so long is taken to work; a bad one ends at once. */
#define LIVED_NS (2 * NS_PER_S)
/* Between children that are replaced because one track misses: a source may have none for long. */
#define MISSING_MAX_NS (300 * NS_PER_S)

struct relay_step {
    struct step step;
    struct broadcast_input input;
    char *grant; /* lets the child read a stream here, until it is dropped */
    struct net_guard_question *question;
    struct ffmpeg_relay *ffmpeg; /* one of them, once it is started */
    struct gstreamer_relay *gstreamer;
    struct loop_timer *look; /* while it waits for the first media */
    int64_t running_ns;      /* since when this child runs; 0: none has run yet */
    int64_t flows_ns;        /* since when media flows, 0: it does not */
    int64_t missing_ns;      /* how long a track may miss before it is replaced; 0: stall_ms */
    bool lost;               /* it flowed, and ended: told once */
    char *words;             /* of the last child that ended, since media flowed */
};
#define RELAY(s) CONTAINER_OF((s), struct relay_step, step)

static bool is_ffmpeg(const struct step *s)
{
    return broadcast_relay_now(broadcast_of(s)) == BROADCAST_RELAY_FFMPEG;
}

static void describe(const struct step *s, struct out *o)
{
    struct broadcast_input in;
    if (broadcast_input(broadcast_of(s), &in, NULL) == 0) {
        out_printf(o, "%s: %s to the mountpoint", is_ffmpeg(s) ? "ffmpeg" : "gst-launch-1.0",
                   in.shown);
    }
    broadcast_input_done(&in);
}

static const struct supervisor *supervisor_of(const struct relay_step *rs)
{
    return rs->ffmpeg      ? ffmpeg_relay_supervisor(rs->ffmpeg)
           : rs->gstreamer ? gstreamer_relay_supervisor(rs->gstreamer)
                           : NULL;
}

/* ---- what is told of it ---- */

static void note(struct step *s)
{
    const struct relay_step *rs = RELAY(s);
    const struct supervisor *sup = supervisor_of(rs);
    struct broadcast_relay_info *info = broadcast_relay_info(broadcast_of(s));
    struct broadcast_health *h = broadcast_health(broadcast_of(s));
    struct proc *p = sup ? supervisor_proc(sup) : NULL;
    broadcast_relay_state(
        broadcast_of(s), supervisor_state_to_str(sup ? supervisor_state(sup) : SUPERVISOR_STOPPED));
    MODEL_SET(&broadcast_relay_info_model, info, pid, p ? proc_pid(p) : 0);
    model_mark(&broadcast_relay_info_model, info, offsetof(struct broadcast_relay_info, pid), p);
    if (sup) {
        MODEL_SET(&broadcast_relay_info_model, info, restarts, supervisor_restarts(sup));
    }
    if (rs->ffmpeg && ffmpeg_relay_flowed_ns(rs->ffmpeg)) {
        MODEL_SET(&broadcast_health_model, h, relay_speed,
                  ffmpeg_relay_progress(rs->ffmpeg)->speed);
    }
}

/* ---- how it gets on ---- */

static unsigned stall_ms(const struct step *s)
{
    return broadcast_of(s)->service->config.stall_ms;
}

static bool flows(const struct step *s)
{
    const struct relay_step *rs = RELAY(s);
    const struct supervisor *sup = supervisor_of(rs);
    int64_t now = clock_mono_ns();
    if (!sup || supervisor_state(sup) != SUPERVISOR_RUNNING) {
        return false;
    }
    if (request_of(s)->gstreamer_pipeline) {
        return now - rs->running_ns > LIVED_NS;
    }
    int64_t at =
        rs->ffmpeg ? ffmpeg_relay_flowed_ns(rs->ffmpeg) : gstreamer_relay_flowed_ns(rs->gstreamer);
    return at && now - at < FRESH_NS;
}

static const struct broadcast_media_health *oldest_track(const struct step *s)
{
    const struct broadcast_health *h = broadcast_health(broadcast_of(s));
    const struct broadcast_media_health *oldest = NULL;
    for (size_t i = 0; i < h->media.len; i++) {
        const struct broadcast_media_health *m = &h->media.items[i];
        if (m->type != JANUS_DATA && (!oldest || m->age_ms > oldest->age_ms)) {
            oldest = m;
        }
    }
    return oldest;
}

/*
 * A child may get on and yet send only some of the tracks: a branch of its pipeline was not linked, its source has stopped one of
 * two streams. Only the mountpoint tells. Another child may do better; each time it does not, the next is waited for longer.
 */
static void mend_missing(struct step *s)
{
    struct relay_step *rs = RELAY(s);
    const struct broadcast_media_health *m = oldest_track(s);
    int64_t limit = MAX(rs->missing_ns, (int64_t)(stall_ms(s) ? stall_ms(s) : 10000) * NS_PER_MS);
    char text[ERROR_TEXT_MAX];
    if (!m || m->age_ms * NS_PER_MS < FRESH_NS) {
        rs->missing_ns = 0;
        return;
    }
    if (m->age_ms * NS_PER_MS < limit || clock_mono_ns() - rs->flows_ns < limit) {
        return;
    }
    rs->missing_ns = MIN(2 * limit, MISSING_MAX_NS);
    snprintf(text, sizeof(text), "no media on track %s for %lld s", m->mid,
             (long long)(m->age_ms / 1000));
    if (rs->ffmpeg) {
        ffmpeg_relay_replace(rs->ffmpeg, text);
    } else {
        gstreamer_relay_replace(rs->gstreamer, text);
    }
}

static void look(struct step *s)
{
    struct relay_step *rs = RELAY(s);
    bool up = s->state == STEP_UP;
    char text[ERROR_TEXT_MAX];
    note(s);
    if (flows(s)) {
        rs->flows_ns = rs->flows_ns ? rs->flows_ns : clock_mono_ns();
        free(TAKE_PTR(rs->words));
        rs->lost = false;
        if (up) {
            step_well(s);
            mend_missing(s);
        } else {
            step_started(s, 0);
        }
        return;
    }
    rs->flows_ns = 0;
    snprintf(text, sizeof(text), "no media from %s%s%s%s", rs->input.shown, up ? "" : " yet",
             rs->words ? ": " : "", rs->words ? rs->words : "");
    if (up) {
        step_sick(s, "%s", text);
    } else {
        step_waits(s, "%s", text);
        loop_timer_start(rs->look, LOOK_MS);
    }
}

static void on_look(void *user)
{
    struct step *s = user;
    if (s->state == STEP_WAITING) {
        look(s);
    }
}

static void check(struct step *s)
{
    look(s);
}

/* ---- its child ---- */

static void drop(struct step *s)
{
    struct relay_step *rs = RELAY(s);
    rs->question = net_guard_forget(rs->question);
    rs->ffmpeg = ffmpeg_relay_free(rs->ffmpeg);
    rs->gstreamer = gstreamer_relay_free(rs->gstreamer);
    rs->look = loop_timer_free(rs->look);
    broadcast_input_done(&rs->input);
    broadcast_ungrant(broadcast_of(s), TAKE_PTR(rs->grant));
    free(TAKE_PTR(rs->words));
    rs->running_ns = 0;
    rs->flows_ns = 0;
    rs->missing_ns = 0;
    rs->lost = false;
}

static void fail(struct step *s, const struct error *why, bool permanent)
{
    struct error err = *why;
    drop(s);
    s->ours = false;
    step_failed(s, &err, permanent);
}

/* The program is not there, most likely. */
static void on_never_ran(struct step *s, const char *reason)
{
    struct error err = {0};
    error_set(&err, -ENOEXEC, s->kind->name, "%s", reason);
    broadcast_set_text(&broadcast_relay_info(broadcast_of(s))->last_error, reason);
    fail(s, &err, true);
}

static void on_ended(struct step *s, const char *reason)
{
    struct relay_step *rs = RELAY(s);
    struct error err = {0};
    broadcast_set_text(&rs->words, reason);
    broadcast_set_text(&broadcast_relay_info(broadcast_of(s))->last_error, reason);
    if (s->state == STEP_UP && !rs->lost) {
        rs->lost = true; /* one event a fault, not one a try */
        error_set(&err, -EPIPE, s->kind->name, "%s", reason);
        s->runner->ops->failed(s->runner->user, s, "relay", &err);
    }
}

static void on_state(void *user, enum supervisor_state state, const char *reason)
{
    struct step *s = user;
    struct relay_step *rs = RELAY(s);
    if (s->state == STEP_STOPPING) {
        note(s);
        return;
    }
    if (state == SUPERVISOR_RUNNING) {
        rs->running_ns = clock_mono_ns();
        rs->flows_ns = 0;
    } else if (state == SUPERVISOR_BACKOFF && rs->running_ns == 0) {
        on_never_ran(s, reason);
        return;
    } else if (state == SUPERVISOR_BACKOFF) {
        bool flowed = s->state == STEP_UP && s->runner->up;
        on_ended(s, reason);
        if (flowed && broadcast_fall_forward(s)) {
            return;
        }
    }
    note(s);
    if (s->state == STEP_STARTING && state == SUPERVISOR_RUNNING) {
        look(s);
    }
}

/* ---- what it is started with ---- */

static enum track_kind kind_of(const struct endpoint *e)
{
    return e->kind == JANUS_VIDEO ? TRACK_VIDEO : TRACK_AUDIO;
}

/* Of both programs: an output is the same in other words. */
#define FILL_OUTPUTS(spec, outputs_max, m)                                                         \
    do {                                                                                           \
        for (size_t i_ = 0; i_ < (m)->ports.len && (spec)->n_outputs < (outputs_max); i_++) {      \
            const struct endpoint *e_ = &(m)->ports.items[i_];                                     \
            if (e_->kind == JANUS_DATA) {                                                          \
                continue;                                                                          \
            }                                                                                      \
            __typeof__((spec)->outputs[0]) *to_ = &(spec)->outputs[(spec)->n_outputs++];           \
            to_->kind = kind_of(e_);                                                               \
            to_->index = (unsigned)e_->mindex;                                                     \
            to_->port = (uint16_t)e_->port;                                                        \
            to_->pt = broadcast_endpoint_pt(e_);                                                   \
            snprintf(to_->codec, sizeof(to_->codec), "%s", e_->codec ? e_->codec : "");            \
            snprintf(to_->host, sizeof(to_->host), "%s", e_->host);                                \
        }                                                                                          \
    } while (0)

static bool has_scheme(const char *url, const char *scheme)
{
    return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

static bool is_rtmp(const char *url)
{
    return has_scheme(url, "rtmp://") || has_scheme(url, "rtmps://");
}

static bool is_rtsp(const char *url)
{
    return has_scheme(url, "rtsp://") || has_scheme(url, "rtsps://");
}

static char *full_url(const struct step *s)
{
    const struct relay_step *rs = RELAY(s);
    return mem_printf("%s%s%s", rs->input.url ? rs->input.url : "", rs->grant ? "?" : "",
                      rs->grant ? rs->grant : "");
}

static int start_ffmpeg(struct step *s, struct error *err)
{
    static const struct ffmpeg_relay_ops ops = {.on_state = on_state};
    struct relay_step *rs = RELAY(s);
    const struct broadcast_request *q = request_of(s);
    const struct rtsp_camera *camera = q->input_url ? NULL : q->rtsp_camera;
    _cleanup_free_ char *url = full_url(s);
    struct ffmpeg_spec spec = {
        .input = is_rtmp(url)   ? FFMPEG_RTMP
                 : is_rtsp(url) ? FFMPEG_RTSP
                                : FFMPEG_URL,
        .url = url,
        .rtsp_udp = camera && camera->transport == RTSP_CAMERA_UDP,
        .timeout_ns = camera ? camera->timeout_ns : 0,
        .video = q->copy_video ? FFMPEG_COPY : FFMPEG_ENCODE,
    };
    FILL_OUTPUTS(&spec, FFMPEG_OUTPUTS_MAX, broadcast_of(s)->record.result.mountpoint_response);
    rs->ffmpeg = ffmpeg_relay_new(s->runner->loop, broadcast_id(broadcast_of(s)), &spec,
                                  stall_ms(s), &ops, s, err);
    return rs->ffmpeg ? ffmpeg_relay_start(rs->ffmpeg) : err->code;
}

/* gst-launch takes credentials beside the URL. */
static int start_gstreamer(struct step *s, struct error *err)
{
    static const struct gstreamer_relay_ops ops = {.on_state = on_state};
    struct relay_step *rs = RELAY(s);
    const struct broadcast_request *q = request_of(s);
    const struct rtsp_camera *camera = q->input_url ? NULL : q->rtsp_camera;
    _cleanup_free_ char *url = full_url(s);
    struct gstreamer_spec spec = {
        .input = is_rtmp(url)   ? GSTREAMER_RTMP
                 : is_rtsp(url) ? GSTREAMER_RTSP
                                : GSTREAMER_URI,
        .url = url,
        .rtsp_udp = camera && camera->transport == RTSP_CAMERA_UDP,
        .copy_video = q->copy_video,
        .pipeline = q->gstreamer_pipeline,
    };
    _cleanup_(out_done) struct out bare = {0};
    struct url u = {0};
    if (spec.input == GSTREAMER_RTSP && url_parse(url, &u, NULL) == 0) {
        _cleanup_free_ char *user = TAKE_PTR(u.user);
        _cleanup_free_ char *password = TAKE_PTR(u.password);
        url_format(&u, &bare);
        u.user = TAKE_PTR(user);
        u.password = TAKE_PTR(password);
        spec.url = out_str(&bare);
        spec.user = u.user;
        spec.password = u.password;
    }
    FILL_OUTPUTS(&spec, GSTREAMER_OUTPUTS_MAX, broadcast_of(s)->record.result.mountpoint_response);
    rs->gstreamer = gstreamer_relay_new(s->runner->loop, broadcast_id(broadcast_of(s)), &spec,
                                        stall_ms(s), &ops, s, err);
    url_done(&u);
    if (!rs->gstreamer) {
        return err->code;
    }
    MODEL_SET(&broadcast_relay_info_model, broadcast_relay_info(broadcast_of(s)), secret_visible,
              gstreamer_relay_secret_visible(rs->gstreamer));
    return gstreamer_relay_start(rs->gstreamer);
}

static void run(struct step *s)
{
    struct error err = {0};
    broadcast_relay_endpoints(broadcast_of(s));
    RELAY(s)->look = loop_timer_new(s->runner->loop, on_look, s);
    s->ours = true;
    int r = is_ffmpeg(s) ? start_ffmpeg(s, &err) : start_gstreamer(s, &err);
    if (r < 0 && s->state == STEP_STARTING) {
        fail(s, &err, true);
    }
}

static void on_judged(void *user, int r, const struct error *err)
{
    struct step *s = user;
    RELAY(s)->question = NULL;
    if (r < 0) {
        /* A name that has no address today may have one tomorrow. */
        fail(s, err, r == -EACCES);
    } else {
        run(s);
    }
}

/* The child resolves names again by itself: see net_guard_ask(). */
static void start(struct step *s)
{
    struct relay_step *rs = RELAY(s);
    const struct broadcasts_config *c = &broadcast_of(s)->service->config;
    struct error err = {0};
    struct url u;
    drop(s);
    if (broadcast_input(broadcast_of(s), &rs->input, &err) < 0) {
        fail(s, &err, true);
        return;
    }
    if (rs->input.path) {
        rs->grant = broadcast_grant(broadcast_of(s), rs->input.path, false);
    }
    if (!c->guard || rs->input.path || !rs->input.url) {
        run(s);
        return;
    }
    if (url_parse(rs->input.url, &u, &err) < 0) {
        fail(s, &err, true);
        return;
    }
    rs->question = net_guard_ask(s->runner->loop, c->guard, u.host, on_judged, s);
    url_done(&u);
}

/* ---- its end ---- */

static void on_stopped(void *user)
{
    struct step *s = user;
    drop(s);
    note(s);
    step_stopped(s, 0, NULL);
}

static void stop(struct step *s)
{
    struct relay_step *rs = RELAY(s);
    if (rs->look) {
        loop_timer_stop(rs->look);
    }
    if (rs->ffmpeg) {
        (void)ffmpeg_relay_stop(rs->ffmpeg, on_stopped, s);
    } else if (rs->gstreamer) {
        (void)gstreamer_relay_stop(rs->gstreamer, on_stopped, s);
    } else {
        drop(s);
        step_stopped(s, 0, NULL);
    }
}

const struct step_kind step_relay = {
    .name = "relay",
    .peer = "relay",
    .size = sizeof(struct relay_step),
    .reads = FACT_MOUNTPOINT,
    .describe = describe,
    .start = start,
    .check = check,
    .stop = stop,
    .drop = drop,
};
