/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the operator's program: found for the very same question only, for a while, and never too many. */
#include "../unit.h"

#include "service/access/answer_cache.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define KEEP 1000

static const struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = 0x07020100};
static const struct sockaddr_in other_peer = {.sin_family = AF_INET, .sin_addr.s_addr = 0x08020100};

static const struct access_request question = {
    .action = ACCESS_READ,
    .protocol = "hls",
    .path = "live/a",
    .query = "a=1&_HLS_msn=7&_HLS_part=2",
    .user = "me",
    .password = "secret",
    .peer = (const struct sockaddr *)&peer,
};

static bool knows(struct answer_cache *c, struct access_request req, int64_t now, int *r)
{
    uint8_t digest[ANSWER_DIGEST_LEN];
    answer_digest(c, &req, digest);
    return answer_cache_get(c, digest, now, r);
}

static void test_the_same_question_only(void **state)
{
    struct answer_cache *c = answer_cache_new(KEEP);
    uint8_t digest[ANSWER_DIGEST_LEN];
    int r = 1;
    assert_false(knows(c, question, 0, &r));
    answer_digest(c, &question, digest);
    answer_cache_put(c, digest, 0, 0);
    assert_true(knows(c, question, KEEP - 1, &r));
    assert_int_equal(r, 0);
    assert_false(knows(c, question, KEEP, &r));
    struct access_request q = question;
    q.query = "a=1&_HLS_msn=8"; /* the next segment */
    assert_true(knows(c, q, 1, &r));
    q.query = "a=2&_HLS_msn=8";
    assert_false(knows(c, q, 1, &r));
    q = question;
    q.action = ACCESS_PUBLISH;
    assert_false(knows(c, q, 1, &r));
    q = question;
    q.path = "live/b";
    assert_false(knows(c, q, 1, &r));
    q = question;
    q.protocol = "mse";
    assert_false(knows(c, q, 1, &r));
    q = question;
    q.user = NULL;
    q.token = "me";
    assert_false(knows(c, q, 1, &r));
    q = question;
    q.password = "Secret";
    assert_false(knows(c, q, 1, &r));
    q = question;
    q.peer = (const struct sockaddr *)&other_peer;
    assert_false(knows(c, q, 1, &r));
    /* Refusals are known too, and the last word counts. */
    answer_cache_put(c, digest, -EACCES, 10);
    assert_true(knows(c, question, 11, &r));
    assert_int_equal(r, -EACCES);
    answer_cache_free(c);
}

static void test_a_flood_pushes_out_the_oldest(void **state)
{
    struct answer_cache *c = answer_cache_new(KEEP);
    uint8_t digest[ANSWER_DIGEST_LEN];
    int r = 1;
    answer_digest(c, &question, digest);
    answer_cache_put(c, digest, 0, 0);
    for (int i = 0; i < 100000; i++) {
        char path[32];
        struct access_request q = question;
        snprintf(path, sizeof(path), "live/%d", i);
        q.path = path;
        answer_digest(c, &q, digest);
        answer_cache_put(c, digest, -EACCES, 1);
    }
    assert_false(knows(c, question, 2, &r));
    assert_true(knows(c,
                      (struct access_request){.action = ACCESS_READ,
                                              .protocol = "hls",
                                              .path = "live/99999",
                                              .query = question.query,
                                              .user = "me",
                                              .password = "secret",
                                              .peer = question.peer},
                      2, &r));
    answer_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_question_only),
        cmocka_unit_test(test_a_flood_pushes_out_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
