/* SPDX-License-Identifier: Apache-2.0 */
#include "service/stream/stream_view.h"

#include "base/mem.h"

static const struct model_enum kind_names[] = {
    {"video", TRACK_VIDEO}, {"audio", TRACK_AUDIO}, {NULL, 0}};

static const struct model_enum codec_names[] = {
    {"h264", CODEC_H264}, {"hevc", CODEC_HEVC}, {"av1", CODEC_AV1}, {"vp9", CODEC_VP9},
    {"aac", CODEC_AAC},   {"opus", CODEC_OPUS}, {"mp3", CODEC_MP3}, {NULL, 0},
};
_Static_assert(CODEC_N == 7, "a new codec needs its name here");

static const struct model_enum reader_state_names[] = {
    {"waiting", READER_WAITING},
    {"live", READER_LIVE},
    {"ended", READER_ENDED},
    {NULL, 0},
};

static const struct model_field track_fields[] = {
    MODEL_INT(struct track_view, id, .doc = "Counts from 1; the track id in fMP4 too."),
    MODEL_ENUM(struct track_view, kind, kind_names, .doc = "What it is."),
    MODEL_ENUM(struct track_view, codec, codec_names, .doc = "How it is compressed."),
    MODEL_STRING(struct track_view, codecs,
                 .doc = "RFC 6381 codec string; absent until the parameters are known."),
    MODEL_BOOL(struct track_view, ready, .doc = "The parameters are known."),
    MODEL_INT(struct track_view, width, .doc = "Pixels; 0 for audio and while unknown."),
    MODEL_INT(struct track_view, height, .doc = "The same."),
    MODEL_DOUBLE(struct track_view, fps, .doc = "From the parameter sets; 0 when they do not say."),
    MODEL_INT(struct track_view, sample_rate, .doc = "Hz; 0 for video."),
    MODEL_INT(struct track_view, channels, .doc = "Of audio; 0 for video."),
    MODEL_INT(struct track_view, samples, .doc = "Since the stream began."),
    MODEL_INT(struct track_view, bytes, .doc = "Since the stream began."),
    MODEL_INT(struct track_view, bitrate_bps, .doc = "Over the last seconds."),
};
static const struct model track_model =
    MODEL("Track", struct track_view, track_fields, .unknown = MODEL_IGNORE);

#define SESSION_FIELDS                                                                             \
    MODEL_STRING(struct session_view, id, .doc = "What kick takes."),                              \
        MODEL_STRING(struct session_view, protocol, .doc = "rtmp, rtmps, mse, ..."),               \
        MODEL_STRING(struct session_view, remote, .doc = "Peer address."),                         \
        MODEL_STRING(struct session_view, agent, .doc = "What the peer calls itself."),            \
        MODEL_TIME(struct session_view, since, .doc = "When it began."),                           \
        MODEL_INT(struct session_view, bytes, .doc = "Media bytes given or taken."),               \
        MODEL_INT(struct session_view, samples, .doc = "Samples given or taken.")

static const struct model_field publisher_fields[] = {
    SESSION_FIELDS,
    MODEL_BOOL(struct session_view, on_air, .doc = "Its samples are the stream."),
};
static const struct model publisher_model =
    MODEL("Publisher", struct session_view, publisher_fields, .unknown = MODEL_IGNORE);

static const struct model_field reader_fields[] = {
    SESSION_FIELDS,
    MODEL_ENUM(
        struct session_view, state, reader_state_names,
        .doc =
            "live: it gets samples; waiting: for a publisher or a key frame; ended: it is about to go."),
    MODEL_INT(struct session_view, dropped,
              .doc = "Samples it did not get because it was too slow."),
    MODEL_DOUBLE(struct session_view, behind_ms,
                 .doc = "Between the newest sample and the next one to send."),
    MODEL_INT(struct session_view, jumps,
              .doc = "How often it was too slow for history and went on with a key frame."),
    MODEL_BOOL(struct session_view, blocked,
               .doc =
                   "Its connection takes nothing at this moment: the network is the slower one."),
};
static const struct model reader_model =
    MODEL("Reader", struct session_view, reader_fields, .unknown = MODEL_IGNORE);

static const struct model_field group_fields[] = {
    MODEL_DOUBLE(struct group_view, duration_ms, .doc = "From its key frame to the next."),
    MODEL_INT(struct group_view, pictures),
    MODEL_INT(struct group_view, bytes),
    MODEL_INT(struct group_view, epoch),
};
static const struct model group_model =
    MODEL("Group", struct group_view, group_fields, .unknown = MODEL_IGNORE);

static const struct model_field recent_fields[] = {
    MODEL_LIST(struct recent_view, bytes, MODEL_ITEM_INT(uint32_t), .max = STREAM_PULSE_SECONDS,
               .doc = "Media received in each second, oldest first, up to the last whole second."),
    MODEL_LIST_STRUCT(struct recent_view, groups, &group_model, .max = STREAM_PULSE_GROUPS,
                      .doc = "The last groups of pictures, oldest first."),
};
static const struct model recent_model =
    MODEL("Recent", struct recent_view, recent_fields, .unknown = MODEL_IGNORE);

static const struct model_enum stream_kind_names[] = {
    {"published", STREAM_PUBLISHED},
    {"derived", STREAM_DERIVED},
    {NULL, 0},
};
_Static_assert(ARRAY_LEN(stream_kind_names) == STREAM_KIND_N + 1, "a name for each kind");

static const struct model_field stream_fields[] = {
    MODEL_STRING(struct stream_view, path, .doc = "Its name."),
    MODEL_ENUM(struct stream_view, kind, stream_kind_names,
               .doc =
                   "published: by somebody; derived: made from `parent` while somebody reads it."),
    MODEL_STRING(struct stream_view, parent, .doc = "Of a derived stream, else absent."),
    MODEL_BOOL(struct stream_view, on_air, .doc = "Somebody publishes."),
    MODEL_BOOL(struct stream_view, ready, .doc = "Its tracks are known and readers get samples."),
    MODEL_BOOL(struct stream_view, waiting,
               .doc = "The publisher went and may return, or waits off air."),
    MODEL_STRING(struct stream_view, reason, .doc = "Why it is not on air or not ready."),
    MODEL_TIME(struct stream_view, since, .doc = "Start of the current epoch."),
    MODEL_INT(struct stream_view, epoch, .doc = "Counts publishers, reconnects and source jumps."),
    MODEL_INT(struct stream_view, group,
              .doc = "The newest group (a run of samples that starts with a key frame)."),
    MODEL_LIST_STRUCT(struct stream_view, tracks, &track_model, .max = TRACKS_MAX,
                      .doc = "Empty until a publisher announced them."),
    MODEL_OPT(struct stream_view, publisher, &publisher_model, .nullable = true,
              .doc = "Who publishes; null when nobody does."),
    MODEL_INT(struct stream_view, n_readers, .doc = "All HLS players together are one reader."),
    MODEL_LIST_STRUCT(struct stream_view, readers, &reader_model, .max = 1000,
                      .doc = "Only when one stream is asked for; the first 1000."),
    MODEL_OPT(struct stream_view, recent, &recent_model,
              .doc = "Only when one stream is asked for: its last minutes."),
    MODEL_INT(struct stream_view, bitrate_in_bps,
              .doc = "What the publisher sends, over the last seconds."),
    MODEL_INT(struct stream_view, bytes_in, .doc = "Media taken from publishers."),
    MODEL_INT(struct stream_view, bytes_out, .doc = "Media given to readers."),
    MODEL_INT(struct stream_view, dropped,
              .doc = "Samples not given to slow readers, all together."),
    MODEL_INT(struct stream_view, history_ms, .doc = "How far back a new reader may start."),
    MODEL_INT(struct stream_view, history_bytes, .doc = "What that holds."),
};
const struct model stream_view_model =
    MODEL("Stream", struct stream_view, stream_fields, .unknown = MODEL_IGNORE);

static const struct model_field list_fields[] = {
    MODEL_LIST_STRUCT(struct stream_list_view, items, &stream_view_model, .max = 1000000),
};
const struct model stream_list_model =
    MODEL("StreamList", struct stream_list_view, list_fields, .unknown = MODEL_IGNORE);

/* Views are written, never released, so borrowing the const texts is sound; empty is absent. */
static char *borrow(const char *s)
{
    return *s ? (char *)s : NULL;
}

static void view_track(const struct stream_track_info *t, unsigned i, struct track_view *ret)
{
    *ret = (struct track_view){
        .id = i + 1,
        .kind = (int)codec_kind(t->codec),
        .codec = (int)t->codec,
        .codecs = borrow(t->rfc6381),
        .ready = t->ready,
        .width = t->width,
        .height = t->height,
        .fps = t->fps,
        .sample_rate = t->sample_rate,
        .channels = t->channels,
        .samples = t->samples,
        .bytes = t->bytes,
        .bitrate_bps = t->bitrate_bps,
    };
}

static void view_session(const struct session_info *s, struct session_view *ret)
{
    *ret = (struct session_view){
        .id = borrow(s->id),
        .protocol = borrow(s->protocol),
        .remote = borrow(s->remote),
        .agent = borrow(s->agent),
        .since = s->since_wall_ns,
        .state = (int)s->state,
        .on_air = s->on_air,
        .bytes = s->bytes,
        .samples = s->samples,
        .dropped = s->dropped,
        .behind_ms = (double)s->behind_ns / 1e6,
        .jumps = s->jumps,
        .blocked = s->blocked,
    };
}

struct view_memory {
    struct track_view tracks[TRACKS_MAX];
    struct session_view publisher;
};

/* readers are the caller's: n_readers views when the info lists them. */
static void view_stream(const struct stream_info *info, struct view_memory *m,
                        struct stream_view *ret)
{
    for (unsigned i = 0; i < info->n_tracks; i++) {
        view_track(&info->tracks[i], i, &m->tracks[i]);
    }
    view_session(&info->publisher, &m->publisher);
    *ret = (struct stream_view){
        .path = (char *)info->path,
        .kind = info->parent[0] ? STREAM_DERIVED : STREAM_PUBLISHED,
        .parent = borrow(info->parent),
        .on_air = info->on_air,
        .ready = info->ready,
        .waiting = info->waiting,
        .reason = borrow(info->reason),
        .since = info->since_wall_ns,
        .epoch = info->epoch,
        .group = info->group,
        .tracks = {m->tracks, info->n_tracks},
        .publisher = info->has_publisher ? &m->publisher : NULL,
        .n_readers = info->n_readers,
        .bitrate_in_bps = info->bitrate_in_bps,
        .bytes_in = info->bytes_in,
        .bytes_out = info->bytes_out,
        .dropped = info->dropped,
        .history_ms = info->history_ms,
        .history_bytes = info->history_bytes,
    };
}

struct recent_memory {
    struct recent_view view;
    struct group_view groups[STREAM_PULSE_GROUPS];
};

static void view_recent(const struct stream_pulse *p, struct recent_memory *m)
{
    for (uint32_t i = 0; i < p->n_groups; i++) {
        const struct stream_pulse_group *g = &p->groups[i];
        m->groups[i] = (struct group_view){.duration_ms = (double)g->duration_ns / 1e6,
                                           .pictures = g->pictures,
                                           .bytes = g->bytes,
                                           .epoch = g->epoch};
    }
    m->view = (struct recent_view){
        .bytes = {(uint32_t *)p->bytes, p->n_seconds},
        .groups = {m->groups, p->n_groups},
    };
}

void stream_view_write(const struct stream_info *info, struct json *j)
{
    struct view_memory m;
    struct stream_view view;
    view_stream(info, &m, &view);
    unsigned listed = info->readers ? MIN(info->n_readers, 1000u) : 0;
    _cleanup_free_ struct session_view *readers =
        mem_new_array(struct session_view, MAX(listed, 1u));
    for (unsigned i = 0; i < listed; i++) {
        view_session(&info->readers[i], &readers[i]);
    }
    view.readers.items = readers;
    view.readers.len = listed;
    struct recent_memory recent;
    if (info->pulse) {
        view_recent(info->pulse, &recent);
        view.recent = &recent.view;
    }
    (void)model_write(&stream_view_model, &view, NULL, j);
}

void stream_list_write(const struct stream_info *list, unsigned n, struct json *j)
{
    json_object_begin(j);
    json_key(j, "items");
    json_array_begin(j);
    for (unsigned i = 0; i < n; i++) {
        struct view_memory m;
        struct stream_view view;
        view_stream(&list[i], &m, &view);
        (void)model_write(&stream_view_model, &view, NULL, j);
    }
    json_array_end(j);
    json_object_end(j);
}
