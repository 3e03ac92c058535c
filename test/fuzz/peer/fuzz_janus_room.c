/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: what the VideoRoom plugin says, an answer or an event. A room and a forward as their users write them are read from
 * the same bytes: each is refused, or becomes a request.
 */
#include "base/mem.h"
#include "peer/janus/janus_room_wire.h"

#include <assert.h>
#include <jansson.h>
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

static void check_request(char *text)
{
    json_t *o = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    assert(json_is_object(o));
    json_decref(o);
    free(text);
}

static void write_room(struct bytes data)
{
    struct janus_room room;
    struct error err = {0};
    if (model_parse_json(&janus_room_model, &room, data, NULL, NULL) < 0) {
        return;
    }
    if (janus_room_check(&room, &err) == 0) {
        check_request(janus_room_put_create(&room, &err));
        check_request(janus_room_put_edit(&room, room.secret, &err));
        check_request(janus_room_put_simple("exists", &room.room, room.secret, 1, &err));
        check_request(janus_room_put_list(room.admin_key, &err));
        check_request(janus_room_put_join(&room.room, room.description, room.pin, NULL, &err));
    }
    model_done(&janus_room_model, &room);
}

static void write_forward(struct bytes data)
{
    struct janus_forward f;
    struct error err = {0};
    if (model_parse_json(&janus_forward_model, &f, data, NULL, NULL) < 0) {
        return;
    }
    if (janus_forward_check(&f, &err) == 0) {
        check_request(janus_room_put_forward(&f, &err));
        check_request(janus_room_put_stop_forward(&f.room, &f.publisher_id, f.streams.items[0].ssrc,
                                                  f.secret, f.admin_key, &err));
    }
    model_done(&janus_forward_model, &f);
}

static void read_said(struct bytes data)
{
    struct janus_room_said s;
    struct error err = {0};
    if (janus_room_parse(data, &s, &err) < 0) {
        assert(err.text[0] && !s.document);
        return;
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_said(BYTES(data, size));
    write_room(BYTES(data, size));
    write_forward(BYTES(data, size));
    return 0;
}
