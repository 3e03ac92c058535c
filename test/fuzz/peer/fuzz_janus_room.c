/* SPDX-License-Identifier: Apache-2.0 */
/* Input: what the VideoRoom plugin says, an answer or an event. */
#include "peer/janus/janus_room_wire.h"

#include <assert.h>
#include <string.h>

static void check_id(const struct model_id *id)
{
    assert(id->kind <= MODEL_ID_STR && (id->kind != MODEL_ID_STR || strlen(id->str) <= 255));
}

static void check_forwarder(const struct janus_forwarder *f)
{
    check_id(&f->publisher_id);
    assert(memchr(f->host, 0, sizeof(f->host)) && f->type <= JANUS_DATA);
}

static void check_feed(const struct janus_feed *f)
{
    assert(f->id.kind != MODEL_ID_NONE && f->display && f->n_streams <= JANUS_TRACKS_MAX);
    for (unsigned i = 0; i < f->n_streams; i++) {
        const struct janus_feed_stream *s = &f->streams[i];
        assert(memchr(s->mid, 0, sizeof(s->mid)) && memchr(s->codec, 0, sizeof(s->codec)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct janus_room_said s;
    struct error err = {0};
    if (janus_room_parse(BYTES(data, size), &s, &err) < 0) {
        assert(err.text[0] && !s.document);
        return 0;
    }
    assert(s.videoroom && !s.gone_why == (s.gone.kind == MODEL_ID_NONE));
    assert(!s.self_gone == !s.self_why && s.n_forwarders <= JANUS_FORWARDERS_MAX);
    check_id(&s.room);
    for (unsigned i = 0; i < s.n_rooms; i++) {
        assert(s.rooms[i].room.kind != MODEL_ID_NONE);
    }
    for (unsigned i = 0; i < s.n_participants; i++) {
        assert(s.participants[i].id.kind != MODEL_ID_NONE && s.participants[i].display);
    }
    for (unsigned i = 0; i < s.n_forwarders; i++) {
        check_forwarder(&s.forwarders[i]);
    }
    for (unsigned i = 0; i < s.n_feeds; i++) {
        check_feed(&s.feeds[i]);
    }
    janus_room_said_done(&s);
    assert(!s.document);
    return 0;
}
