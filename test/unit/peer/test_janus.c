/* SPDX-License-Identifier: Apache-2.0 */
/* The client and its plugins against a real Janus. */
#include "../unit.h"

#include "../await.h"
#include "base/mem.h"
#include "peer/janus/janus_room.h"
#include "peer/janus/janus_streaming.h"
#include "real_janus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What came of the question that was asked last. */
struct world {
    struct loop *l;
    struct real_janus *real;
    struct janus *j;
    struct janus_handle *streaming, *room;
    unsigned ups, downs;
    bool resumed;
    bool answered;
    int r, code;
    char text[200];
    struct janus_track_info tracks[4];
    unsigned n_tracks, n;
    bool exists, complete, enabled, known;
    int64_t participant;
    unsigned joined, outs;
    char gone[64];
};

static void on_up(void *user, bool resumed)
{
    struct world *w = user;
    w->ups++;
    w->resumed = resumed;
}

static void on_down(void *user, const struct error *err)
{
    ((struct world *)user)->downs++;
}

static void keep(struct world *w, const struct janus_result *res)
{
    w->answered = true;
    w->r = res->r;
    w->code = res->code;
    snprintf(w->text, sizeof(w->text), "%s", res->text);
}

static void on_done(void *user, const struct janus_result *res)
{
    keep(user, res);
}

static void on_mountpoint(void *user, const struct janus_result *res,
                          const struct janus_mountpoint_info *info)
{
    struct world *w = user;
    keep(w, res);
    w->n_tracks = info ? MIN(info->n_tracks, 4u) : 0;
    if (info) {
        memcpy(w->tracks, info->tracks, w->n_tracks * sizeof(w->tracks[0]));
        w->complete = info->complete;
        w->enabled = info->enabled;
    }
}

static void on_mountpoints(void *user, const struct janus_result *res,
                           const struct janus_mountpoint_info *infos, unsigned n)
{
    struct world *w = user;
    keep(w, res);
    w->n = n;
    w->known = n > 0 && infos[0].is_private == false && strcmp(infos[0].type, "live") == 0 &&
               infos[0].n_tracks > 0 && infos[0].tracks[0].label[0];
}

static void on_exists(void *user, const struct janus_result *res, bool exists)
{
    struct world *w = user;
    keep(w, res);
    w->exists = exists;
}

static void on_room(void *user, const struct janus_result *res, const struct model_id *id)
{
    keep(user, res);
}

static void on_forwarders(void *user, const struct janus_result *res,
                          const struct janus_forwarder *f, unsigned n)
{
    struct world *w = user;
    keep(w, res);
    w->n = n;
}

/* The example rooms of Janus' own may be there. */
static void on_rooms(void *user, const struct janus_result *res,
                     const struct janus_room_info *rooms, unsigned n)
{
    struct world *w = user;
    keep(w, res);
    w->known = false;
    for (unsigned i = 0; i < n; i++) {
        w->known = w->known || (rooms[i].room.num == 4321 && rooms[i].publishers_max == 4 &&
                                strcmp(rooms[i].videocodec, "h264,vp8") == 0 &&
                                !rooms[i].pin_required && !rooms[i].is_private);
    }
}

static void on_participants(void *user, const struct janus_result *res,
                            const struct janus_participant *p, unsigned n)
{
    struct world *w = user;
    keep(w, res);
    w->participant = n > 0 ? p[0].id.num : 0;
    w->n = n;
    w->exists = n > 0 && p[0].publisher;
}

#define ASK(w, call)                                                                               \
    do {                                                                                           \
        (w)->answered = false;                                                                     \
        assert_non_null(call);                                                                     \
        assert_false((w)->answered);                                                               \
        RUN_UNTIL((w)->l, (w)->answered);                                                          \
    } while (0)

static void connect_with(struct world *w, const char *secret)
{
    static const struct janus_ops ops = {.on_up = on_up, .on_down = on_down};
    const struct janus_config config = {.name = "unit",
                                        .url = real_janus_url(w->real),
                                        .api_secret = secret,
                                        .backoff_max_ms = 200};
    struct error err = {0};
    w->j = janus_new(w->l, &config, &ops, w, &err);
    assert_non_null(w->j);
}

static void setup_on(struct world *w, struct loop *l)
{
    static const struct janus_handle_ops ops = {0};
    *w = (struct world){.l = l};
    w->real = real_janus_start(w->l);
    connect_with(w, "apis3cret");
    w->streaming = janus_handle_new(w->j, JANUS_STREAMING, &ops, w);
    w->room = janus_handle_new(w->j, JANUS_VIDEOROOM, &ops, w);
    RUN_UNTIL(w->l, w->ups == 1 && janus_handle_is_attached(w->streaming) &&
                        janus_handle_is_attached(w->room));
}

static void setup(struct world *w)
{
    setup_on(w, loop_new("test", LOOP_CONTROL));
}

static void disconnect(struct world *w)
{
    w->streaming = janus_handle_free(w->streaming);
    w->room = janus_handle_free(w->room);
    w->j = janus_free(w->j);
    w->real = real_janus_stop(w->real);
}

static void teardown(struct world *w)
{
    disconnect(w);
    loop_free(w->l);
}

static struct janus_mountpoint mountpoint(const char *json)
{
    struct janus_mountpoint m;
    struct error err = {0};
    if (model_parse_json(&janus_mountpoint_model, &m, BYTES_STR(json), NULL, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return m;
}

static const char camera[] =
    "{\"id\":9001,\"description\":\"camera\",\"metadata\":\"mast:b1\",\"secret\":\"s3cret\","
    "\"admin_key\":\"stream-admin\",\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,"
    "\"rtcpport\":0,\"pt\":96,\"codec\":\"H264\",\"iface\":\"127.0.0.1\"},{\"type\":\"audio\","
    "\"port\":0,\"codec\":\"opus\",\"iface\":\"127.0.0.1\"}]}";

static void test_a_mountpoint_lives_and_goes(void **state)
{
    struct world w;
    setup(&w);
    struct janus_mountpoint m = mountpoint(camera);
    ASK(&w, janus_streaming_create(w.streaming, &m, on_mountpoint, &w));
    assert_int_equal(w.r, 0);
    assert_int_equal(w.n_tracks, 2);
    assert_string_equal(w.tracks[0].mid, "v");
    assert_string_equal(w.tracks[1].mid, "a");
    assert_true(w.tracks[0].port >= 21000 && w.tracks[0].rtcp_port > 0 && w.tracks[1].port > 0);
    ASK(&w, janus_streaming_create(w.streaming, &m, on_mountpoint, &w));
    assert_int_equal(w.r, -EREMOTEIO);
    assert_int_equal(w.code, JANUS_STREAMING_CANT_CREATE);
    ASK(&w, janus_streaming_info(w.streaming, &m.id, "s3cret", on_mountpoint, &w));
    assert_true(w.complete && w.enabled && w.tracks[0].age_ms >= 0);
    ASK(&w, janus_streaming_info(w.streaming, &m.id, "wrong", on_mountpoint, &w));
    assert_int_equal(w.r, 0);
    assert_false(w.complete);
    ASK(&w, janus_streaming_list(w.streaming, NULL, on_mountpoints, &w));
    assert_int_equal(w.n, 1);
    assert_true(w.known);
    ASK(&w, janus_streaming_enable(w.streaming, &m.id, "s3cret", false, on_done, &w));
    assert_int_equal(w.r, 0);
    ASK(&w, janus_streaming_info(w.streaming, &m.id, "s3cret", on_mountpoint, &w));
    assert_false(w.enabled); /* and Janus lives */
    ASK(&w, janus_streaming_destroy(w.streaming, &m.id, NULL, false, on_done, &w));
    assert_int_equal(w.r, -EREMOTEIO);
    ASK(&w, janus_streaming_destroy(w.streaming, &m.id, "s3cret", false, on_done, &w));
    assert_int_equal(w.r, 0);
    ASK(&w, janus_streaming_destroy(w.streaming, &m.id, "s3cret", false, on_done, &w));
    assert_int_equal(w.code, JANUS_STREAMING_NO_SUCH);
    model_done(&janus_mountpoint_model, &m);
    teardown(&w);
}

static void test_nonsense_is_not_sent(void **state)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"{\"media\":[]}", "media: needs at least one track"},
        {"{\"media\":[{\"type\":\"video\",\"port\":0}]}", "media[0].codec: is needed"},
        {"{\"media\":[{\"type\":\"video\",\"port\":0,\"codec\":\"foo\"}]}",
         "media[0].codec: is none that Janus carries: foo"},
        {"{\"media\":[{\"type\":\"audio\",\"codec\":\"opus\",\"port\":5000},{\"type\":\"audio\","
         "\"codec\":\"opus\",\"port\":5000}]}",
         "media: port 5000 is there twice"},
        {"{\"media\":[{\"type\":\"audio\",\"codec\":\"opus\",\"mid\":\"x\"},{\"type\":\"audio\","
         "\"codec\":\"opus\",\"mid\":\"x\"}]}",
         "media[0].mid: is there twice: x"},
        {"{\"media\":[{\"type\":\"audio\",\"codec\":\"opus\",\"mcast\":\"10.0.0.1\"}]}",
         "media[0].mcast: is no multicast group"},
        {"{\"type\":\"live\"}", "filename: is needed"},
        {"{\"permanent\":true,\"name\":\"my camera\",\"media\":[{\"type\":\"audio\",\"codec\":\"opus\"}]}",
         "name: must begin with a letter and be of letters, digits, '-' and '_' for a permanent "
         "one: Janus would not keep it"},
        {"{\"type\":\"ondemand\",\"filename\":\"/a.mp3\"}",
         "filename: must end with .opus, .mulaw or .alaw: Janus plays no others"},
        {"{\"type\":\"live\",\"filename\":\".opus\"}",
         "filename: must end with .opus, .mulaw or .alaw: Janus plays no others"},
        {"{\"type\":\"live\",\"filename\":\"/a.opus\",\"media\":[{\"type\":\"video\"}]}",
         "media: must be one audio track: Janus plays no pictures"},
        {"{\"type\":\"live\",\"filename\":\"/a.alaw\",\"media\":[{\"type\":\"audio\",\"codec\":"
         "\"pcmu\"}]}",
         "media[0].codec: must be pcma for a file *.alaw"},
        {"{\"type\":\"rtsp\"}", "url: is needed"},
        {"{\"type\":\"rtsp\",\"url\":\"file:///etc/passwd\"}", "url: must be rtsp:// or rtsps://"},
        {"{\"type\":\"rtsp\",\"url\":\"rtsp://h/\",\"media\":[{\"type\":\"video\",\"port\":5000}]}",
         "media[0].port: must not be here: Janus fetches this itself"},
        {"{\"type\":\"rtsp\",\"url\":\"rtsp://h/\",\"media\":[{\"type\":\"video\"},{\"type\":\"video\"}]"
         "}",
         "media[1].type: must be audio or video, one of each at most"},
        {"{\"type\":\"rtsp\",\"url\":\"rtsp://h/\",\"media\":[{\"type\":\"data\"}]}",
         "media[0].type: must be audio or video, one of each at most"},
        {"{\"media\":[{\"type\":\"audio\",\"codec\":\"opus\",\"extra\":[]}]}",
         "media[0].extra: must be an object"},
    };
    struct world w;
    setup(&w);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct janus_mountpoint m = mountpoint(cases[i].json);
        ASK(&w, janus_streaming_create(w.streaming, &m, on_mountpoint, &w));
        assert_int_equal(w.r, -EINVAL);
        assert_string_equal(w.text, cases[i].text);
        model_done(&janus_mountpoint_model, &m);
    }
    ASK(&w, janus_streaming_list(w.streaming, "stream-admin", on_mountpoints, &w));
    assert_int_equal(w.n, 0);
    teardown(&w);
}

static void on_joined(void *user)
{
    ((struct world *)user)->joined++;
}

static void on_feed(void *user, const struct janus_feed *feed)
{
}

static void on_feed_gone(void *user, const struct model_id *id, const char *why)
{
    snprintf(((struct world *)user)->gone, 64, "%s", why);
}

static void on_out(void *user, const struct error *err, int code, bool permanent)
{
    struct world *w = user;
    w->outs++;
    w->code = code;
}

static const struct janus_listener_ops listener_ops = {
    .on_joined = on_joined, .on_feed = on_feed, .on_feed_gone = on_feed_gone, .on_out = on_out};

static void make_room(struct world *w, int64_t number)
{
    struct janus_room room;
    char json[160];
    snprintf(json, sizeof(json),
             "{\"room\":%lld,\"admin_key\":\"room-admin\",\"secret\":\"rs\",\"videocodec\":"
             "\"h264,vp8\",\"publishers\":4}",
             (long long)number);
    assert_int_equal(model_parse_json(&janus_room_model, &room, BYTES_STR(json), NULL, NULL), 0);
    ASK(w, janus_room_create(w->room, &room, on_room, w));
    model_done(&janus_room_model, &room);
}

/* The participant that was listed last. */
static void kick(struct world *w, int64_t room)
{
    char body[160];
    snprintf(body, sizeof(body),
             "{\"request\":\"kick\",\"room\":%lld,\"secret\":\"rs\",\"id\":%lld}", (long long)room,
             (long long)w->participant);
    const struct janus_ask ask = {.body = BYTES_STR(body)};
    ASK(w, janus_ask(w->room, &ask, on_done, w));
    assert_int_equal(w->r, 0);
}

static void test_a_room_is_listened_to(void **state)
{
    struct world w;
    const struct model_id id = {.kind = MODEL_ID_INT, .num = 4321};
    const struct janus_listener_config config = {.room = &id, .display = "bridge"};
    setup(&w);
    ASK(&w, janus_room_exists(w.room, &id, on_exists, &w));
    assert_false(w.exists);
    struct janus_listener *l = janus_listener_new(w.j, &config, &listener_ops, &w);
    RUN_UNTIL(w.l, w.outs == 1); /* no such room yet: it goes on trying */
    assert_int_equal(w.code, JANUS_ROOM_NO_SUCH);
    make_room(&w, 4321);
    assert_int_equal(w.r, 0);
    ASK(&w, janus_room_list(w.room, NULL, on_rooms, &w));
    assert_true(w.known);
    make_room(&w, 4321);
    assert_int_equal(w.code, JANUS_ROOM_EXISTS);
    RUN_UNTIL(w.l, w.joined == 1);
    ASK(&w, janus_room_participants(w.room, &id, on_participants, &w));
    assert_int_equal(w.n, 1);
    assert_false(w.exists); /* not a publisher */
    /* Kicked: it is told, and gets in again, once. */
    kick(&w, 4321);
    RUN_UNTIL(w.l, w.outs == 2);
    assert_string_equal(w.gone, "");
    RUN_UNTIL(w.l, w.joined == 2);
    ASK(&w, janus_room_participants(w.room, &id, on_participants, &w));
    assert_int_equal(w.n, 1);
    ASK(&w, janus_room_destroy(w.room, &id, "rs", false, on_done, &w));
    assert_int_equal(w.r, 0);
    RUN_UNTIL(w.l, w.outs == 3);
    make_room(&w, 4321); /* and when the room comes back */
    RUN_UNTIL(w.l, w.joined == 3);
    l = janus_listener_free(l);
    teardown(&w);
}

static void test_a_forward_that_makes_nothing_is_a_failure(void **state)
{
    struct world w;
    struct janus_forward f;
    static const char json[] =
        "{\"room\":77,\"publisher_id\":5,\"secret\":\"rs\",\"admin_key\":\"room-admin\",\"host\":"
        "\"127.0.0.1\",\"streams\":[{\"mid\":\"0\",\"port\":5004}]}";
    setup(&w);
    make_room(&w, 77);
    assert_int_equal(model_parse_json(&janus_forward_model, &f, BYTES_STR(json), NULL, NULL), 0);
    ASK(&w, janus_room_forward(w.room, &f, on_forwarders, &w));
    assert_int_equal(w.r, -EREMOTEIO);
    assert_int_equal(w.code, JANUS_ROOM_NO_FEED);
    ASK(&w, janus_room_forwarders(w.room, &f.room, "rs", on_forwarders, &w));
    assert_int_equal(w.r, 0);
    assert_int_equal(w.n, 0);
    model_done(&janus_forward_model, &f);
    teardown(&w);
}

static void test_it_comes_back_after_a_crash(void **state)
{
    struct world w;
    const struct model_id id = {.kind = MODEL_ID_INT, .num = 9001};
    setup(&w);
    struct janus_mountpoint m = mountpoint(camera);
    ASK(&w, janus_streaming_create(w.streaming, &m, on_mountpoint, &w));
    assert_int_equal(w.r, 0);
    real_janus_kill(w.real);
    RUN_UNTIL(w.l, w.downs >= 1);
    ASK(&w, janus_streaming_info(w.streaming, &id, NULL, on_mountpoint, &w));
    assert_int_equal(w.r, -EAGAIN);
    real_janus_again(w.real);
    RUN_UNTIL(w.l, w.ups == 2 && janus_handle_is_attached(w.streaming));
    assert_false(w.resumed);
    ASK(&w, janus_streaming_info(w.streaming, &id, "s3cret", on_mountpoint, &w));
    assert_int_equal(w.code, JANUS_STREAMING_NO_SUCH); /* it knows nothing any more */
    model_done(&janus_mountpoint_model, &m);
    teardown(&w);
}

static void test_servers_side_by_side(void **state)
{
    struct world a;
    struct world b;
    setup(&a);
    setup_on(&b, a.l);
    struct janus_mountpoint m = mountpoint(camera);
    ASK(&a, janus_streaming_create(a.streaming, &m, on_mountpoint, &a));
    assert_int_equal(a.r, 0);
    ASK(&b, janus_streaming_list(b.streaming, NULL, on_mountpoints, &b));
    assert_int_equal(b.n, 0);
    real_janus_kill(a.real);
    RUN_UNTIL(a.l, a.downs >= 1);
    ASK(&b, janus_streaming_create(b.streaming, &m, on_mountpoint, &b));
    assert_int_equal(b.r, 0);
    assert_int_equal(b.ups, 1);
    real_janus_again(a.real);
    RUN_UNTIL(a.l, a.ups == 2 && janus_handle_is_attached(a.streaming));
    ASK(&a, janus_streaming_list(a.streaming, NULL, on_mountpoints, &a));
    assert_int_equal(a.n, 0);
    ASK(&b, janus_streaming_list(b.streaming, NULL, on_mountpoints, &b));
    assert_int_equal(b.n, 1);
    model_done(&janus_mountpoint_model, &m);
    disconnect(&b);
    teardown(&a);
}

static void test_a_wrong_secret_is_told(void **state)
{
    struct world w = {.l = loop_new("test", LOOP_CONTROL)};
    w.real = real_janus_start(w.l);
    connect_with(&w, "wrong");
    RUN_UNTIL(w.l, strstr(janus_reason(w.j), "Unauthorized"));
    assert_int_equal(w.ups, 0);
    w.j = janus_free(w.j);
    w.real = real_janus_stop(w.real);
    loop_free(w.l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mountpoint_lives_and_goes),
        cmocka_unit_test(test_nonsense_is_not_sent),
        cmocka_unit_test(test_a_room_is_listened_to),
        cmocka_unit_test(test_a_forward_that_makes_nothing_is_a_failure),
        cmocka_unit_test(test_it_comes_back_after_a_crash),
        cmocka_unit_test(test_servers_side_by_side),
        cmocka_unit_test(test_a_wrong_secret_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
