/* SPDX-License-Identifier: Apache-2.0 */
/* mast/relay.h over peer/ffmpeg and peer/gstreamer. */
#include "embed/child.h"

#include "base/json.h"
#include "base/mem.h"
#include "peer/ffmpeg/ffmpeg.h"
#include "peer/gstreamer/gstreamer.h"

#include <errno.h>
#include <mast/relay.h>
#include <stdio.h>
#include <string.h>

struct mast_relay {
    struct embed_child child;
    struct ffmpeg_relay *ffmpeg; /* one of the two */
    struct gstreamer_relay *gstreamer;
};

static struct mast_relay *relay_of(const struct embed_child *c)
{
    return (struct mast_relay *)CONTAINER_OF(c, struct mast_relay, child);
}

/* ---- specs ---- */

static int check_spec(enum mast_relay_kind kind, const struct mast_relay_spec *s, struct error *err)
{
    if (kind != MAST_RELAY_FFMPEG && kind != MAST_RELAY_GSTREAMER) {
        return error_set(err, -EINVAL, "kind", "there is no such relay");
    }
    if ((unsigned)s->input > MAST_RELAY_TEST) {
        return error_set(err, -EINVAL, "input", "there is no such input");
    }
    if (kind == MAST_RELAY_GSTREAMER && s->input == MAST_RELAY_FILE) {
        return error_set(err, -EINVAL, "input", "files are for ffmpeg");
    }
    if (kind == MAST_RELAY_FFMPEG && s->pipeline) {
        return error_set(err, -EINVAL, "pipeline", "is for GStreamer");
    }
    if (s->n_outputs > FFMPEG_OUTPUTS_MAX || (s->n_outputs > 0 && !s->outputs)) {
        return error_set(err, -EINVAL, "outputs", "at most %u", FFMPEG_OUTPUTS_MAX);
    }
    for (unsigned i = 0; i < s->n_outputs; i++) {
        const struct mast_relay_output *o = &s->outputs[i];
        bool fits = o->port > 0 && o->port <= 65535 && o->pt >= 0 && o->pt <= 127 && o->codec;
        if (!fits) {
            return error_set(err, -EINVAL, "outputs", "%u: needs codec, port and pt", i);
        }
        if (strlen(o->codec) >= sizeof(((struct ffmpeg_output *)0)->codec) ||
            (o->host && strlen(o->host) >= sizeof(((struct ffmpeg_output *)0)->host))) {
            return error_set(err, -EINVAL, "outputs", "%u: codec or host is too long", i);
        }
    }
    return 0;
}

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static struct ffmpeg_spec ffmpeg_spec(const struct mast_relay_spec *s)
{
    static const enum ffmpeg_input inputs[] = {[MAST_RELAY_RTMP] = FFMPEG_RTMP,
                                               [MAST_RELAY_RTSP] = FFMPEG_RTSP,
                                               [MAST_RELAY_URL] = FFMPEG_URL,
                                               [MAST_RELAY_FILE] = FFMPEG_FILE,
                                               [MAST_RELAY_TEST] = FFMPEG_TEST};
    struct ffmpeg_spec f = {
        .input = inputs[s->input],
        .url = s->url,
        .rtsp_udp = s->rtsp_udp,
        .video = s->copy_video ? FFMPEG_COPY : FFMPEG_ENCODE,
        .fps = s->fps,
        .width = s->width,
        .height = s->height,
        .video_kbps = s->video_kbps,
        .audio_kbps = s->audio_kbps,
        .n_outputs = s->n_outputs,
    };
    for (unsigned i = 0; i < s->n_outputs; i++) {
        const struct mast_relay_output *from = &s->outputs[i];
        struct ffmpeg_output *to = &f.outputs[i];
        to->kind = from->audio ? TRACK_AUDIO : TRACK_VIDEO;
        to->index = from->index;
        to->port = (uint16_t)from->port;
        to->pt = (uint8_t)from->pt;
        to->copy_audio = from->copy;
        copy_text(to->codec, sizeof(to->codec), from->codec);
        copy_text(to->host, sizeof(to->host), from->host ? from->host : "127.0.0.1");
    }
    return f;
}

static struct gstreamer_spec gstreamer_spec(const struct mast_relay_spec *s)
{
    static const enum gstreamer_input inputs[] = {[MAST_RELAY_RTMP] = GSTREAMER_RTMP,
                                                  [MAST_RELAY_RTSP] = GSTREAMER_RTSP,
                                                  [MAST_RELAY_URL] = GSTREAMER_URI,
                                                  [MAST_RELAY_FILE] = GSTREAMER_URI,
                                                  [MAST_RELAY_TEST] = GSTREAMER_TEST};
    struct gstreamer_spec g = {
        .input = inputs[s->input],
        .url = s->url,
        .rtsp_udp = s->rtsp_udp,
        .copy_video = s->copy_video,
        .fps = s->fps,
        .width = s->width,
        .height = s->height,
        .video_kbps = s->video_kbps,
        .audio_kbps = s->audio_kbps,
        .pipeline = s->pipeline,
        .n_outputs = s->n_outputs,
    };
    for (unsigned i = 0; i < s->n_outputs; i++) {
        const struct mast_relay_output *from = &s->outputs[i];
        struct gstreamer_output *to = &g.outputs[i];
        to->kind = from->audio ? TRACK_AUDIO : TRACK_VIDEO;
        to->index = from->index;
        to->port = (uint16_t)from->port;
        to->pt = (uint8_t)from->pt;
        g.copy_audio = g.copy_audio || (from->audio && from->copy);
        copy_text(to->codec, sizeof(to->codec), from->codec);
        copy_text(to->host, sizeof(to->host), from->host ? from->host : "127.0.0.1");
    }
    return g;
}

/* ---- the command, to be looked at ---- */

static char *words(char *const *argv)
{
    struct out o = {0};
    struct json j = json_init(&o);
    json_array_begin(&j);
    for (unsigned i = 0; argv[i]; i++) {
        json_str(&j, argv[i]);
    }
    json_array_end(&j);
    return out_take_str(&o);
}

static int command(enum mast_relay_kind kind, const struct mast_relay_spec *spec, char **ret,
                   struct error *err)
{
    int r = check_spec(kind, spec, err);
    if (r < 0) {
        return r;
    }
    if (kind == MAST_RELAY_FFMPEG) {
        const struct ffmpeg_spec s = ffmpeg_spec(spec);
        struct ffmpeg_command c;
        r = ffmpeg_command_make(&s, &c, err);
        if (r == 0) {
            *ret = words(c.argv);
            ffmpeg_command_done(&c);
        }
        return r;
    }
    const struct gstreamer_spec s = gstreamer_spec(spec);
    struct gstreamer_command c;
    r = gstreamer_command_make(&s, &c, err);
    if (r == 0) {
        *ret = words(c.argv);
        gstreamer_command_done(&c);
    }
    return r;
}

int mast_relay_command(enum mast_relay_kind kind, const struct mast_relay_spec *spec, char **ret,
                       struct mast_error *err)
{
    struct error why = {0};
    *ret = NULL;
    int r = command(kind, spec, ret, &why);
    if (r < 0) {
        embed_error_out(err, &why);
    }
    return r;
}

/* ---- as a child ---- */

static int start(struct embed_child *c)
{
    const struct mast_relay *r = relay_of(c);
    return r->ffmpeg ? ffmpeg_relay_start(r->ffmpeg) : gstreamer_relay_start(r->gstreamer);
}

static int stop(struct embed_child *c, void (*done)(void *user), void *user)
{
    const struct mast_relay *r = relay_of(c);
    return r->ffmpeg ? ffmpeg_relay_stop(r->ffmpeg, done, user)
                     : gstreamer_relay_stop(r->gstreamer, done, user);
}

static const struct supervisor *supervisor(const struct embed_child *c)
{
    const struct mast_relay *r = relay_of(c);
    return r->ffmpeg ? ffmpeg_relay_supervisor(r->ffmpeg)
                     : gstreamer_relay_supervisor(r->gstreamer);
}

static void status(const struct embed_child *c, struct json *j)
{
    const struct mast_relay *r = relay_of(c);
    if (r->gstreamer) {
        json_put_bool(j, "secret_visible", gstreamer_relay_secret_visible(r->gstreamer));
        return;
    }
    const struct ffmpeg_progress *p = ffmpeg_relay_progress(r->ffmpeg);
    if (p->out_time_us >= 0) {
        json_key(j, "progress");
        json_object_begin(j);
        json_put_int(j, "out_time_ms", p->out_time_us / 1000);
        json_put_int(j, "frames", p->frames);
        json_put_double(j, "fps", p->fps);
        json_put_double(j, "speed", p->speed);
        json_object_end(j);
    }
}

static void drop(struct embed_child *c)
{
    struct mast_relay *r = relay_of(c);
    ffmpeg_relay_free(r->ffmpeg);
    gstreamer_relay_free(r->gstreamer);
    free(r);
}

static const struct embed_child_kind kind_of_child = {.phase = "relay",
                                                      .start = start,
                                                      .stop = stop,
                                                      .supervisor = supervisor,
                                                      .status = status,
                                                      .drop = drop};

static void on_state(void *user, enum supervisor_state state, const char *reason)
{
    embed_child_state(&((struct mast_relay *)user)->child, state, reason);
}

static void on_line(void *user, const char *line)
{
    embed_child_line(&((struct mast_relay *)user)->child, line);
}

static void on_progress(void *user, const struct ffmpeg_progress *p)
{
    struct embed_part *part = &((struct mast_relay *)user)->child.part;
    embed_metric(part, MAST_METRIC_GAUGE, "mast_relay_fps", NULL, NULL, p->fps);
    embed_metric(part, MAST_METRIC_GAUGE, "mast_relay_speed", NULL, NULL, p->speed);
}

/* ---- the API ---- */

static int make(struct embed_part *part, struct loop *l, const void *arg, struct error *err)
{
    static const struct ffmpeg_relay_ops ffmpeg_ops = {
        .on_state = on_state, .on_progress = on_progress, .on_line = on_line};
    static const struct gstreamer_relay_ops gstreamer_ops = {.on_state = on_state,
                                                             .on_line = on_line};
    const struct mast_relay_config *c = arg;
    struct mast_relay *r = CONTAINER_OF(part, struct mast_relay, child.part);
    const char *name = r->child.name;
    if (c->kind == MAST_RELAY_FFMPEG) {
        const struct ffmpeg_spec s = ffmpeg_spec(&c->spec);
        r->ffmpeg = ffmpeg_relay_new(l, name, &s, c->stall_ms, &ffmpeg_ops, r, err);
    } else {
        const struct gstreamer_spec s = gstreamer_spec(&c->spec);
        r->gstreamer = gstreamer_relay_new(l, name, &s, c->stall_ms, &gstreamer_ops, r, err);
    }
    return r->ffmpeg || r->gstreamer ? 0 : err->code;
}

int mast_relay_new(struct mast *m, const struct mast_relay_config *config, struct mast_relay **ret,
                   struct mast_error *err)
{
    struct error why = {0};
    *ret = NULL;
    int r = check_spec(config->kind, &config->spec, &why);
    if (r < 0) {
        embed_error_out(err, &why);
        return r;
    }
    struct mast_relay *relay = mem_new(struct mast_relay);
    embed_child_init(&relay->child, m, &kind_of_child, config->name ? config->name : "relay",
                     &config->observer);
    relay->child.on_line = config->on_line;
    relay->child.user = config->user;
    *ret = relay;
    r = embed_part_begin(&relay->child.part, make, config, err);
    if (r < 0) {
        *ret = NULL;
    }
    return r;
}

int mast_relay_free(struct mast_relay *r, unsigned deadline_ms, mast_done_fn done, void *user)
{
    return r ? embed_part_free(&r->child.part, deadline_ms, done, user) : 0;
}

int mast_relay_free_wait(struct mast_relay *r, unsigned deadline_ms, struct mast_error *err)
{
    return r ? embed_part_free_wait(&r->child.part, deadline_ms, err) : 0;
}

int mast_relay_start(struct mast_relay *r, mast_done_fn done, void *user)
{
    return embed_call_post(embed_child_start(&r->child), done, user);
}

int mast_relay_start_wait(struct mast_relay *r, struct mast_error *err)
{
    return embed_call_wait(embed_child_start(&r->child), NULL, err);
}

int mast_relay_stop(struct mast_relay *r, mast_done_fn done, void *user)
{
    return embed_call_post(embed_child_stop(&r->child), done, user);
}

int mast_relay_stop_wait(struct mast_relay *r, struct mast_error *err)
{
    return embed_call_wait(embed_child_stop(&r->child), NULL, err);
}

int mast_relay_status(struct mast_relay *r, mast_done_fn done, void *user)
{
    return embed_call_post(embed_child_status(&r->child), done, user);
}

int mast_relay_status_wait(struct mast_relay *r, char **ret, struct mast_error *err)
{
    return embed_call_wait(embed_child_status(&r->child), ret, err);
}
