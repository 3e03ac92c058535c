/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "fake_plugins.h"

#include "base/mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what both say ---- */

static json_t *refused(const char *plugin, int code, const char *text)
{
    return json_pack("{s:s, s:i, s:s}", plugin, "event", "error_code", code, "error", text);
}

static int64_t number(json_t *body, const char *name)
{
    return json_integer_value(json_object_get(body, name));
}

/* ---- Streaming ---- */

static json_t *track(const struct fake_plugins *f)
{
    json_t *t =
        json_pack("{s:s, s:s, s:i, s:i, s:s, s:i, s:i}", "type", "video", "mid", "v", "mindex", 0,
                  "port", (int)f->port, "codec", "h264", "pt", 96, "age_ms", 0);
    if (f->simulcast) {
        json_object_set_new(t, "port_2", json_integer(f->port + 2));
        json_object_set_new(t, "port_3", json_integer(f->port + 4));
    }
    return t;
}

static json_t *create_mountpoint(struct fake_plugins *f, json_t *body)
{
    const char *metadata = json_string_value(json_object_get(body, "metadata"));
    if (f->mountpoint) {
        return refused("streaming", 456, "A stream with the provided ID already exists");
    }
    free(f->metadata);
    f->metadata = mem_strdup(metadata ? metadata : "");
    f->mountpoint = f->enabled = true;
    f->port += 10;
    return json_pack("{s:s, s:{s:I, s:s, s:[o]}}", "streaming", "created", "stream", "id",
                     (json_int_t)number(body, "id"), "type", "live", "ports", track(f));
}

static json_t *mountpoint_info(const struct fake_plugins *f, json_t *body)
{
    if (!f->mountpoint) {
        return refused("streaming", 455, "No such mountpoint/stream");
    }
    return json_pack("{s:s, s:{s:I, s:s, s:s, s:b, s:i, s:[o]}}", "streaming", "info", "info", "id",
                     (json_int_t)number(body, "id"), "type", "live", "metadata", f->metadata,
                     "enabled", f->enabled, "viewers", 0, "media", track(f));
}

static json_t *destroy_mountpoint(struct fake_plugins *f)
{
    if (!f->mountpoint) {
        return refused("streaming", 455, "No such mountpoint/stream");
    }
    f->mountpoint = false;
    return json_pack("{s:s}", "streaming", "destroyed");
}

/* ---- VideoRoom ---- */

static json_t *publishers(const struct fake_plugins *f)
{
    json_t *all = json_array();
    if (f->publisher) {
        json_array_append_new(all,
                              json_pack("{s:I, s:s, s:[{s:s, s:i, s:s, s:s}]}", "id",
                                        (json_int_t)f->publisher, "display", "cam", "streams",
                                        "type", "video", "mindex", 0, "mid", "0", "codec", "h264"));
    }
    return all;
}

static json_t *forwarder(const struct fake_forwarder *f)
{
    return json_pack("{s:I, s:s, s:s, s:i}", "stream_id", (json_int_t)f->id, "type", "video",
                     "host", "127.0.0.1", "port", (int)f->port);
}

static json_t *add_forwarder(struct fake_plugins *f, int64_t publisher, int64_t port)
{
    assert_true(f->n_forwarders < FAKE_FORWARDERS_MAX);
    struct fake_forwarder *to = &f->forwarders[f->n_forwarders++];
    *to = (struct fake_forwarder){++f->next_id, publisher, (unsigned)port};
    return forwarder(to);
}

static json_t *forward(struct fake_plugins *f, json_t *body)
{
    static const char *const ports[] = {"port", "port_2", "port_3"};
    int64_t publisher = number(body, "publisher_id");
    json_t *made = json_array();
    if (!f->publisher || publisher != f->publisher) {
        json_decref(made);
        return refused("videoroom", 428, "No such feed");
    }
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(body, "streams"), i, s)
    {
        for (unsigned k = 0; k < ARRAY_LEN(ports); k++) {
            if (number(s, ports[k]) > 0) {
                json_array_append_new(made, add_forwarder(f, publisher, number(s, ports[k])));
            }
        }
    }
    return json_pack("{s:s, s:I, s:o}", "videoroom", "rtp_forward", "publisher_id",
                     (json_int_t)publisher, "forwarders", made);
}

static json_t *list_forwarders(const struct fake_plugins *f)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < f->n_forwarders; i++) {
        json_array_append_new(all, json_pack("{s:I, s:[o]}", "publisher_id",
                                             (json_int_t)f->forwarders[i].publisher, "forwarders",
                                             forwarder(&f->forwarders[i])));
    }
    return json_pack("{s:s, s:o}", "videoroom", "forwarders", "publishers", all);
}

static json_t *stop_forward(struct fake_plugins *f, json_t *body)
{
    for (unsigned i = 0; i < f->n_forwarders; i++) {
        if (f->forwarders[i].id == number(body, "stream_id") &&
            f->forwarders[i].publisher == number(body, "publisher_id")) {
            f->forwarders[i] = f->forwarders[--f->n_forwarders];
            return json_pack("{s:s}", "videoroom", "stop_rtp_forward");
        }
    }
    f->strays++;
    return refused("videoroom", 428, "No such feed");
}

static json_t *join(struct fake_plugins *f)
{
    if (!f->room) {
        return refused("videoroom", 426, "No such room");
    }
    f->joined++;
    return json_pack("{s:s, s:I, s:I, s:o}", "videoroom", "joined", "room", (json_int_t)5, "id",
                     (json_int_t)++f->next_id, "publishers", publishers(f));
}

static json_t *room(struct fake_plugins *f, bool there, const char *said)
{
    if (f->room == there) {
        return refused("videoroom", there ? 427 : 426, there ? "Room exists" : "No such room");
    }
    f->room = there;
    return json_pack("{s:s, s:i}", "videoroom", said, "room", 5);
}

/* ---- questions ---- */

static bool is(const char *name, const char *wanted)
{
    return wanted && strcmp(name, wanted) == 0;
}

static json_t *act(struct fake_plugins *f, const char *name, json_t *body)
{
    if (is(name, "exists")) {
        return json_pack("{s:s, s:b}", "videoroom", "success", "exists", f->room);
    }
    if (is(name, "create_room")) {
        return room(f, true, "created");
    }
    if (is(name, "destroy_room")) {
        return room(f, false, "destroyed");
    }
    if (is(name, "join")) {
        return join(f);
    }
    if (is(name, "listforwarders")) {
        return list_forwarders(f);
    }
    if (is(name, "rtp_forward")) {
        return forward(f, body);
    }
    if (is(name, "stop_rtp_forward")) {
        return stop_forward(f, body);
    }
    if (is(name, "create_mountpoint")) {
        return create_mountpoint(f, body);
    }
    if (is(name, "info")) {
        return mountpoint_info(f, body);
    }
    if (is(name, "destroy_mountpoint")) {
        return destroy_mountpoint(f);
    }
    assert_string_equal(name, "disable");
    f->enabled = false;
    return json_pack("{s:s}", "streaming", "ok");
}

static void say(struct fake_plugins *f, const char *transaction, const char *data)
{
    ws_peer_say(&f->janus.peer,
                "{\"janus\":\"success\",\"session_id\":%" PRId64
                ",\"transaction\":\"%s\",\"sender\":%" PRId64
                ",\"plugindata\":{\"plugin\":\"p\",\"data\":%s}}",
                f->janus.session, transaction, f->janus.handle, data);
}

static void name_of(json_t *body, char *ret, size_t size)
{
    const char *request = json_string_value(json_object_get(body, "request"));
    bool both = strcmp(request, "create") == 0 || strcmp(request, "destroy") == 0;
    const char *what = json_object_get(body, "room") ? "_room" : "_mountpoint";
    snprintf(ret, size, "%s%s", request, both ? what : "");
}

static void on_message(struct fake_janus *janus, enum fake_word word)
{
    struct fake_plugins *f = (struct fake_plugins *)janus;
    char name[64];
    if (word != FAKE_MESSAGE) {
        return;
    }
    json_t *body = json_loads(janus->body, 0, NULL);
    assert_non_null(body);
    name_of(body, name, sizeof(name));
    out_printf(&f->asked, "%s ", name);
    bool instead = is(name, f->instead);
    json_t *data = instead && !f->instead_acts ? NULL : act(f, name, body);
    char *text = instead ? mem_strdup(f->instead_data) : json_dumps(data, JSON_COMPACT);
    assert_non_null(text);
    json_decref(data);
    json_decref(body);
    if (is(name, f->hold) && !f->held[0]) {
        snprintf(f->held, sizeof(f->held), "%s", janus->transaction[FAKE_MESSAGE]);
        f->held_data = text;
        return;
    }
    say(f, janus->transaction[FAKE_MESSAGE], text);
    free(text);
}

void fake_plugins_start(struct fake_plugins *f, struct loop *l)
{
    *f = (struct fake_plugins){.port = 5000, .next_id = 100};
    fake_janus_start(&f->janus, l);
    f->janus.manner[FAKE_MESSAGE] = FAKE_SILENT;
    f->janus.after = on_message;
}

void fake_plugins_stop(struct fake_plugins *f)
{
    fake_janus_stop(&f->janus);
    out_done(&f->asked);
    free(f->held_data);
    free(f->metadata);
}

void fake_plugins_release(struct fake_plugins *f)
{
    assert_true(f->held[0]);
    say(f, f->held, f->held_data);
    free(TAKE_PTR(f->held_data));
    f->held[0] = 0;
    f->hold = NULL;
}

void fake_plugins_publish(struct fake_plugins *f, int64_t id)
{
    f->publisher = id;
    json_t *data =
        json_pack("{s:s, s:i, s:o}", "videoroom", "event", "room", 5, "publishers", publishers(f));
    char *text = json_dumps(data, JSON_COMPACT);
    fake_janus_event(&f->janus, text);
    free(text);
    json_decref(data);
}

/* The forwarders of who leaves end with it. */
void fake_plugins_unpublish(struct fake_plugins *f)
{
    char text[96];
    snprintf(text, sizeof(text), "{\"videoroom\":\"event\",\"room\":5,\"unpublished\":%" PRId64 "}",
             f->publisher);
    f->publisher = 0;
    f->n_forwarders = 0;
    fake_janus_event(&f->janus, text);
}

bool fake_plugins_was_asked(struct fake_plugins *f, const char *name)
{
    return f->asked.len > 0 && strstr(out_str(&f->asked), name) != NULL;
}
