/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "fake_janus.h"

#include "base/mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const words[] = {"info",      "create",  "claim",  "attach",
                                    "keepalive", "message", "detach", "destroy"};

static enum fake_word word_of(const char *name)
{
    for (unsigned i = 0; i < FAKE_WORD_N; i++) {
        if (strcmp(name, words[i]) == 0) {
            return (enum fake_word)i;
        }
    }
    fail_msg("no word of Janus: %s", name);
    return FAKE_WORD_N;
}

static void say_error(struct fake_janus *f, const char *transaction, int code)
{
    ws_peer_say(&f->peer,
                "{\"janus\":\"error\",\"session_id\":%" PRId64 ",\"transaction\":\"%s\","
                "\"error\":{\"code\":%d,\"reason\":\"No such thing\"}}",
                f->session, transaction, code);
}

/* As Janus 1.1.2 has it (specs/janus-obs-reference.md 1.2, 1.3). */
static void answer_well(struct fake_janus *f, enum fake_word word, const char *t)
{
    switch (word) {
    case FAKE_INFO:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"server_info\",\"transaction\":\"%s\",\"name\":\"Janus WebRTC "
                    "Server\",\"version\":1102,\"version_string\":\"1.1.2\",\"server-name\":"
                    "\"fake\",\"session-timeout\":3,\"reclaim-session-timeout\":6}",
                    t);
        break;
    case FAKE_CREATE:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"success\",\"transaction\":\"%s\",\"data\":{\"id\":%" PRId64 "}}",
                    t, ++f->session);
        break;
    case FAKE_ATTACH:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"success\",\"session_id\":%" PRId64
                    ",\"transaction\":\"%s\",\"data\":{\"id\":%" PRId64 "}}",
                    f->session, t, ++f->handle);
        break;
    case FAKE_KEEPALIVE:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"ack\",\"session_id\":%" PRId64 ",\"transaction\":\"%s\"}",
                    f->session, t);
        break;
    case FAKE_MESSAGE:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"success\",\"session_id\":%" PRId64
                    ",\"transaction\":\"%s\",\"sender\":%" PRId64
                    ",\"plugindata\":{\"plugin\":\"p\",\"data\":%s}}",
                    f->session, t, f->handle, f->data ? f->data : "{\"streaming\":\"ok\"}");
        break;
    case FAKE_CLAIM:
    case FAKE_DETACH:
    case FAKE_DESTROY:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"success\",\"session_id\":%" PRId64 ",\"transaction\":\"%s\"}",
                    f->session, t);
        break;
    case FAKE_WORD_N:
        break;
    }
}

static void answer(struct fake_janus *f, enum fake_word word, const char *t)
{
    switch (f->manner[word]) {
    case FAKE_WELL:
        answer_well(f, word, t);
        break;
    case FAKE_SILENT:
        break;
    case FAKE_NO_SESSION:
        say_error(f, t, 458);
        break;
    case FAKE_NO_HANDLE:
        say_error(f, t, 459);
        break;
    case FAKE_NO_PLUGIN:
        say_error(f, t, 460);
        break;
    case FAKE_NO_ID:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"success\",\"session_id\":%" PRId64 ",\"transaction\":\"%s\"}",
                    f->session, t);
        break;
    case FAKE_MISFIT:
        ws_peer_say(&f->peer,
                    "{\"janus\":\"webrtcup\",\"session_id\":%" PRId64
                    ",\"transaction\":\"%s\",\"sender\":%" PRId64 "}",
                    f->session, t, f->handle);
        break;
    case FAKE_RAW: {
        const char *at = strstr(f->raw, "%s");
        assert_non_null(at);
        ws_peer_say(&f->peer, "%.*s%s%s", (int)(at - f->raw), f->raw, t, at + 2);
        break;
    }
    }
}

static void keep_body(struct fake_janus *f, const json_t *o)
{
    char *text = json_dumps(json_object_get(o, "body"), JSON_COMPACT);
    snprintf(f->body, sizeof(f->body), "%s", text ? text : "");
    free(text);
}

static void on_text(struct ws_peer *p, struct bytes text)
{
    struct fake_janus *f = (struct fake_janus *)p;
    json_t *o = json_loadb((const char *)text.data, text.len, 0, NULL);
    assert_non_null(o);
    enum fake_word word = word_of(json_string_value(json_object_get(o, "janus")));
    f->asked[word]++;
    snprintf(f->transaction[word], sizeof(f->transaction[word]), "%s",
             json_string_value(json_object_get(o, "transaction")));
    /* Janus looks for a session wherever one is named, and there is none before it is made. */
    assert_int_equal(json_object_get(o, "session_id") != NULL,
                     word != FAKE_INFO && word != FAKE_CREATE);
    if (word == FAKE_DETACH) {
        f->detached = json_integer_value(json_object_get(o, "handle_id"));
    } else if (word == FAKE_MESSAGE) {
        keep_body(f, o);
    }
    json_decref(o);
    bool cut = ++f->requests == f->cut_at;
    if (!cut || f->cut_answers) {
        answer(f, word, f->transaction[word]);
    }
    if (cut) {
        ws_peer_hang_up(p, 1001);
        return;
    }
    if (f->after) {
        f->after(f, word);
    }
}

void fake_janus_start(struct fake_janus *f, struct loop *l)
{
    *f = (struct fake_janus){
        .peer = {.l = l, .protocol = "janus-protocol", .on_text = on_text},
        .session = 1929304842971263,
        .handle = 5326099092311464,
    };
    ws_peer_start(&f->peer);
}

void fake_janus_event(struct fake_janus *f, const char *data)
{
    ws_peer_say(&f->peer,
                "{\"janus\":\"event\",\"session_id\":%" PRId64 ",\"sender\":%" PRId64
                ",\"plugindata\":{\"plugin\":\"p\",\"data\":%s}}",
                f->session, f->handle, data);
}

void fake_janus_stop(struct fake_janus *f)
{
    ws_peer_stop(&f->peer);
}
