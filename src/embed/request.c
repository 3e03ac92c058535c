/* SPDX-License-Identifier: Apache-2.0 */
/* A request's struct as the document that everything else takes. Any thread. */
#include "base/json.h"
#include "base/mem.h"

#include <jansson.h>
#include <mast/broadcast.h>
#include <string.h>

void mast_broadcast_request_init(struct mast_broadcast_request *r)
{
    memset(r, 0, sizeof(*r));
    r->create_mountpoint = true;
    r->owned_by_app = true;
}

static void put_text(struct json *j, const char *key, const char *text)
{
    if (text) {
        json_put_str(j, key, text);
    }
}

static void put_number(struct json *j, const char *key, int64_t n)
{
    if (n) {
        json_put_int(j, key, n);
    }
}

static bool is_object(const char *text)
{
    json_t *v = text ? json_loads(text, 0, NULL) : NULL;
    bool fits = !text || json_is_object(v);
    json_decref(v);
    return fits;
}

static void put_tracks(struct json *j, const struct mast_broadcast_request *r)
{
    put_number(j, "video_port", r->video_port);
    put_number(j, "audio_port", r->audio_port);
    put_number(j, "data_port", r->data_port);
    put_number(j, "video_pt", r->video_pt);
    put_number(j, "audio_pt", r->audio_pt);
    put_text(j, "video_codec", r->video_codec);
    put_text(j, "audio_codec", r->audio_codec);
    put_text(j, "video_fmtp", r->video_fmtp);
    put_text(j, "audio_fmtp", r->audio_fmtp);
}

static void put_sources(struct json *j, const struct mast_broadcast_request *r)
{
    if (r->srs_rtmp_url || r->srs_app || r->srs_stream_key) {
        json_key(j, "srs");
        json_object_begin(j);
        put_text(j, "rtmp_url", r->srs_rtmp_url);
        put_text(j, "app", r->srs_app);
        put_text(j, "stream_key", r->srs_stream_key);
        json_object_end(j);
    }
    if (r->rtsp_url) {
        json_key(j, "rtsp_camera");
        json_object_begin(j);
        put_text(j, "url", r->rtsp_url);
        put_text(j, "username", r->rtsp_username);
        put_text(j, "password", r->rtsp_password);
        json_object_end(j);
    }
    put_text(j, "input_url", r->input_url);
    put_text(j, "stream", r->stream);
    put_text(j, "obs_host", r->obs_host);
    put_text(j, "obs_password", r->obs_password);
    put_number(j, "obs_port", r->obs_port);
    if (r->obs_secure) {
        json_put_bool(j, "obs_secure", true);
    }
}

char *mast_broadcast_request_json(const struct mast_broadcast_request *r)
{
    if (!is_object(r->mountpoint_spec) || !is_object(r->room_spec)) {
        return NULL;
    }
    struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    put_text(&j, "id", r->id);
    put_text(&j, "name", r->name);
    put_text(&j, "description", r->description);
    put_text(&j, "source_kind", r->source_kind);
    put_text(&j, "relay_kind", r->relay_kind);
    put_text(&j, "janus", r->janus);
    put_text(&j, "host", r->host);
    json_put_bool(&j, "create_mountpoint", r->create_mountpoint);
    json_put_bool(&j, "owned_by_app", r->owned_by_app);
    put_number(&j, "room_id", r->room_id);
    put_number(&j, "publisher_id", r->publisher_id);
    put_number(&j, "mountpoint_id", r->mountpoint_id);
    put_text(&j, "publisher_display", r->publisher_display);
    put_tracks(&j, r);
    put_sources(&j, r);
    if (r->mountpoint_spec) {
        json_put_raw(&j, "mountpoint_spec", r->mountpoint_spec);
    }
    if (r->room_spec) {
        json_put_raw(&j, "room_spec", r->room_spec);
    }
    json_object_end(&j);
    return out_take_str(&o);
}
