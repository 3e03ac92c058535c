/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: what the Streaming plugin answers. What comes out is bounded; and a mountpoint as its users write it, read from the
 * same bytes, is refused or becomes a request that says disable's stop_recording and ports Janus cannot cut.
 */
#include "base/mem.h"
#include "peer/janus/janus_streaming_wire.h"

#include <assert.h>
#include <jansson.h>
#include <string.h>

static void read_answer(struct bytes data)
{
    struct janus_mountpoints m;
    struct error err = {0};
    if (janus_streaming_parse(data, &m, &err) < 0) {
        assert(err.text[0] && !m.document && m.n == 0);
        return;
    }
    for (unsigned i = 0; i < m.n; i++) {
        const struct janus_mountpoint_info *info = &m.infos[i];
        assert(info->id.kind != MODEL_ID_NONE && info->n_tracks <= JANUS_TRACKS_MAX);
        assert(memchr(info->host, 0, sizeof(info->host)));
        for (unsigned k = 0; k < info->n_tracks; k++) {
            const struct janus_track_info *t = &info->tracks[k];
            assert(memchr(t->mid, 0, sizeof(t->mid)) && memchr(t->codec, 0, sizeof(t->codec)));
            assert(t->type <= JANUS_DATA);
        }
    }
    janus_mountpoints_done(&m);
}

static void check_request(const char *text, const struct janus_mountpoint *m)
{
    const bool fetched = m->type != JANUS_MOUNTPOINT_RTP;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert(json_is_object(o));
    assert(fetched || m->media.len == 0 || json_object_get(o, "media"));
    /* What Janus fetches itself it takes only by the keys of old. */
    assert(!fetched || (json_object_get(o, "audio") && json_object_get(o, "video")));
    json_decref(o);
}

static void write_request(struct bytes data)
{
    struct janus_mountpoint m;
    struct error err = {0};
    if (model_parse_json(&janus_mountpoint_model, &m, data, NULL, NULL) < 0) {
        return;
    }
    if (janus_mountpoint_check(&m, true, &err) == 0) {
        err = (struct error){0};
        _cleanup_free_ char *text = janus_streaming_put_create(&m, &err);
        assert(text);
        check_request(text, &m);
    } else {
        assert(err.text[0]);
    }
    model_done(&janus_mountpoint_model, &m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_answer(BYTES(data, size));
    write_request(BYTES(data, size));
    return 0;
}
