/* SPDX-License-Identifier: Apache-2.0 */
#include "rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>

/* An answerer that does what the test says. */
struct judge {
    enum {
        AT_ONCE,
        KEEP
    } how;
    struct access_answer answer;
    struct access_ticket *kept;
    int asked;
};

static void judge_ask(void *user, struct access_ticket *t)
{
    struct judge *j = user;
    j->asked++;
    if (j->how == AT_ONCE) {
        access_reply(t, &j->answer);
    } else {
        j->kept = t;
    }
}

struct asker {
    struct access_ticket *t;
    struct access_answer got;
    int n;
};

static void on_answer(void *user, const struct access_answer *answer)
{
    struct asker *a = user;
    a->got = *answer;
    a->n++;
    a->t = NULL;
}

struct court {
    struct loop *l;
    struct engine *e;
    struct judge judge;
    struct asker asker;
};

static struct court *court_new(bool with_judge, uint32_t timeout_ms)
{
    struct court *c = mem_new(struct court);
    log_configure("error", false);
    c->l = loop_new("test", 0);
    const struct engine_config config = {
        .access = {.ask = with_judge ? judge_ask : NULL, .user = &c->judge},
        .access_timeout_ms = timeout_ms};
    c->e = engine_new(&config, c->l, &c->l, 1);
    return c;
}

static void court_free(struct court *c)
{
    engine_free(c->e);
    loop_free(c->l);
    free(c);
}

static void ask(struct loop *l, void *arg)
{
    struct court *c = arg;
    char password[] = "secret";
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(7)};
    const struct access_request req = {.action = ACCESS_PUBLISH,
                                       .protocol = "rtmp",
                                       .path = "live/a",
                                       .password = password,
                                       .peer = (const struct sockaddr *)&peer};
    c->asker.t = access_ask(c->e, l, &req, on_answer, &c->asker);
    memset(password, 'x', sizeof(password));
    memset(&peer, 0, sizeof(peer));
}

/* On the loop's thread, as sessions do. */
static void ask_inside(struct court *c)
{
    loop_call(c->l, ask, c);
    settle(c->l);
}

static void test_without_an_answerer_everything_is_granted(void **state)
{
    struct court *c = court_new(false, 0);
    ask_inside(c);
    assert_null(c->asker.t);
    assert_int_equal(c->asker.n, 1);
    assert_int_equal(c->asker.got.result, 0);
    assert_string_equal(c->asker.got.path, "live/a");
    const struct access_request bad = {.path = "api/x"};
    assert_null(access_ask(c->e, c->l, &bad, on_answer, &c->asker));
    assert_int_equal(c->asker.got.result, -EINVAL);
    court_free(c);
}

static void test_an_answer_at_once(void **state)
{
    struct court *c = court_new(true, 0);
    c->judge.answer = (struct access_answer){.result = -EACCES, .err.text = "wrong key"};
    ask_inside(c);
    assert_null(c->asker.t);
    assert_int_equal(c->asker.n, 1);
    assert_int_equal(c->asker.got.result, -EACCES);
    assert_string_equal(c->asker.got.err.text, "wrong key");
    /* Outside of any loop it comes as a message; once, too. */
    ask(c->l, c);
    settle(c->l);
    assert_int_equal(c->asker.n, 2);
    court_free(c);
}

/* Who may read a stream may read what is derived from it, wherever the answer leads; publishing is not asked for there. */
static void test_a_derived_streams_question_is_its_parents(void **state)
{
    struct court *c = court_new(true, 0);
    const struct access_request req = {.action = ACCESS_READ, .path = "live/a~opus"};
    c->judge.how = KEEP;
    c->asker.t = access_ask(c->e, c->l, &req, on_answer, &c->asker);
    assert_string_equal(access_ticket_request(c->judge.kept)->path, "live/a");
    access_reply(c->judge.kept, &(struct access_answer){.path = "mapped/b", .serial = 7});
    settle(c->l);
    assert_int_equal(c->asker.got.result, 0);
    assert_string_equal(c->asker.got.path, "mapped/b~opus");
    assert_int_equal(c->asker.got.serial, 7);

    struct access_answer far = {0};
    memset(far.path, 'a', STREAM_PATH_MAX);
    c->asker.t = access_ask(c->e, c->l, &req, on_answer, &c->asker);
    access_reply(c->judge.kept, &far);
    settle(c->l);
    assert_int_equal(c->asker.got.result, -ENOENT);

    const struct access_request publish = {.action = ACCESS_PUBLISH, .path = "live/a~opus"};
    c->asker.t = access_ask(c->e, c->l, &publish, on_answer, &c->asker);
    assert_string_equal(access_ticket_request(c->judge.kept)->path, "live/a~opus");
    access_reply(c->judge.kept, &(struct access_answer){.result = -EACCES});
    settle(c->l);
    assert_int_equal(c->asker.got.result, -EACCES);
    court_free(c);

    struct court *open = court_new(false, 0);
    assert_null(access_ask(open->e, open->l, &req, on_answer, &open->asker));
    assert_string_equal(open->asker.got.path, "live/a~opus");
    assert_null(access_ask(open->e, open->l, &publish, on_answer, &open->asker));
    assert_int_equal(open->asker.got.result, -EINVAL);
    court_free(open);
}

static void *reply_late(void *arg)
{
    struct judge *j = arg;
    const struct access_request *req = access_ticket_request(j->kept);
    bool right = strcmp(req->password, "secret") == 0 && strcmp(req->protocol, "rtmp") == 0 &&
                 !req->token && ((const struct sockaddr_in *)req->peer)->sin_port == htons(7);
    struct access_answer answer = {.result = right ? 0 : -EIO, .serial = 77};
    snprintf(answer.path, sizeof(answer.path), "mapped/b");
    access_reply(j->kept, &answer);
    return NULL;
}

static void reply_from_a_thread(struct court *c)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reply_late, &c->judge), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_an_answer_later_from_another_thread(void **state)
{
    struct court *c = court_new(true, 0);
    c->judge.how = KEEP;
    ask_inside(c);
    assert_non_null(c->asker.t);
    assert_int_equal(c->asker.n, 0);
    reply_from_a_thread(c);
    RUN_UNTIL(c->l, c->asker.n == 1);
    assert_int_equal(c->asker.got.result, 0);
    assert_string_equal(c->asker.got.path, "mapped/b");
    assert_int_equal(c->asker.got.serial, 77);
    court_free(c);
}

static void test_the_reply_to_a_cancelled_ticket_is_dropped(void **state)
{
    struct court *c = court_new(true, 0);
    c->judge.how = KEEP;
    ask_inside(c);
    c->asker.t = access_cancel(c->asker.t);
    assert_null(c->asker.t);
    reply_from_a_thread(c);
    settle(c->l);
    assert_int_equal(c->asker.n, 0);
    assert_null(access_cancel(NULL));
    court_free(c);
}

static void test_nobody_answers(void **state)
{
    struct court *c = court_new(true, 20);
    c->judge.how = KEEP;
    ask_inside(c);
    RUN_UNTIL(c->l, c->asker.n == 1);
    assert_int_equal(c->asker.got.result, -ETIMEDOUT);
    reply_from_a_thread(c); /* too late, and still the one that frees it */
    settle(c->l);
    assert_int_equal(c->asker.n, 1);
    court_free(c);
}

static void test_revoked_and_expired_grants_end_sessions(void **state)
{
    struct rig *f = rig_new(NULL);
    const struct publisher_info info = {.path = "live/a", .access_serial = 5};
    f->src.p = publisher_open(f->e, f->l, &info, &source_ops, &f->src);
    source_announce(&f->src);
    const struct reader_info readers[] = {
        {.path = "live/a", .wait = true, .access_serial = 5},
        {.path = "live/a", .wait = true, .access_serial = 6},
        {.path = "live/a", .wait = true, .access_expires_mono_ns = clock_mono_ns() + NS_PER_MS},
        {.path = "live/a",
         .wait = true,
         .access_expires_mono_ns = clock_mono_ns() + 3600 * NS_PER_S},
    };
    for (unsigned i = 0; i < 4; i++) {
        f->v[i].r = reader_open(f->e, f->l, &readers[i], &viewer_ops, &f->v[i]);
    }
    settle(f->l);
    access_revoke(f->e, 0);
    access_revoke(f->e, 4);
    settle(f->l);
    assert_int_equal(f->v[0].closes, 0);
    access_revoke(f->e, 5);
    settle(f->l);
    assert_int_equal(f->src.close_code, -EACCES);
    assert_int_equal(f->v[0].close_code, -EACCES);
    assert_int_equal(f->v[1].closes, 0);
    RUN_UNTIL(f->l, f->v[2].closes == 1);
    assert_int_equal(f->v[2].close_code, -EACCES);
    assert_string_equal(f->v[2].reason, "access expired");
    assert_int_equal(f->v[3].closes, 0);
    rig_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_answerer_everything_is_granted),
        cmocka_unit_test(test_an_answer_at_once),
        cmocka_unit_test(test_a_derived_streams_question_is_its_parents),
        cmocka_unit_test(test_an_answer_later_from_another_thread),
        cmocka_unit_test(test_the_reply_to_a_cancelled_ticket_is_dropped),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_revoked_and_expired_grants_end_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
