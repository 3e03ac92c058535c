/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "protocol/rtmp/rtmp_handshake_wire.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define FIRST (1 + RTMP_HANDSHAKE_SIZE)

/* Feeds everything in pieces of `step` bytes; counts what is left after the end. */
static int feed(struct rtmp_handshake *h, struct bytes in, size_t step, struct out *out,
                size_t *ret_left, struct error *err)
{
    int r = 0;
    size_t at = 0;
    while (r == 0 && at < in.len) {
        struct rd rd = rd_init(BYTES(in.data + at, MIN(step, in.len - at)));
        r = rtmp_handshake_feed(h, &rd, out, err);
        at = (size_t)(rd.p - in.data);
    }
    *ret_left = in.len - at;
    return r;
}

/* Both roles of ours against each other, in pieces of any size. */
static void test_both_roles(void **state)
{
    static const size_t steps[] = {1, 7, 1536, 1537, 5000};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct rtmp_handshake *client = rtmp_handshake_new(RTMP_CLIENT, 1, 10);
        struct rtmp_handshake *server = rtmp_handshake_new(RTMP_SERVER, 2, 20);
        _cleanup_(out_done) struct out c = {0};
        _cleanup_(out_done) struct out s = {0};
        size_t left;
        rtmp_handshake_start(client, &c);
        assert_int_equal(c.len, FIRST);
        assert_int_equal(feed(server, out_view(&c), steps[i], &s, &left, NULL), 0);
        assert_int_equal(s.len, FIRST + RTMP_HANDSHAKE_SIZE);
        assert_int_equal(rtmp_handshake_kind(server), RTMP_HANDSHAKE_SIMPLE);
        /* S2 returned C1, as librtmp compares it. */
        assert_memory_equal(s.data + FIRST, c.data + 1, RTMP_HANDSHAKE_SIZE);
        out_puts(&s, "chunks");
        c.len = 0;
        assert_int_equal(feed(client, out_view(&s), steps[i], &c, &left, NULL), 1);
        assert_int_equal(left, 6);
        assert_int_equal(c.len, RTMP_HANDSHAKE_SIZE);
        assert_memory_equal(c.data, s.data + 1, RTMP_HANDSHAKE_SIZE);
        out_puts(&c, "more");
        assert_int_equal(feed(server, out_view(&c), steps[i], &s, &left, NULL), 1);
        assert_int_equal(left, 4);
        rtmp_handshake_free(client);
        rtmp_handshake_free(server);
    }
}

/* What ffmpeg checks: S2's last 32 bytes are signed by the HMAC of C1's digest under the server's whole key. */
static void check_s2(const uint8_t *s2, const uint8_t *c1_digest)
{
    static const uint8_t key[] = "Genuine Adobe Flash Media Server 001"
                                 "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57"
                                 "\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";
    uint8_t derived[32];
    uint8_t want[32];
    unsigned n = 32;
    HMAC(EVP_sha256(), key, 68, c1_digest, 32, derived, &n);
    HMAC(EVP_sha256(), derived, 32, s2, RTMP_HANDSHAKE_SIZE - 32, want, &n);
    assert_memory_equal(s2 + RTMP_HANDSHAKE_SIZE - 32, want, 32);
}

static void test_digest(void **state)
{
    for (enum rtmp_handshake_kind k = RTMP_HANDSHAKE_DIGEST_1; k <= RTMP_HANDSHAKE_DIGEST_2; k++) {
        uint8_t c1[FIRST];
        memset(c1, 0x5a, sizeof(c1));
        c1[0] = 3;
        put_u32be(c1 + 5, 0x09007c02);
        rtmp_handshake_sign(c1 + 1, RTMP_CLIENT, k);
        assert_int_equal(rtmp_handshake_find(c1 + 1, RTMP_CLIENT), k);
        assert_int_equal(rtmp_handshake_find(c1 + 1, RTMP_SERVER), RTMP_HANDSHAKE_SIMPLE);

        struct rtmp_handshake *h = rtmp_handshake_new(RTMP_SERVER, 3, 4);
        _cleanup_(out_done) struct out s = {0};
        size_t left;
        assert_int_equal(feed(h, BYTES(c1, sizeof(c1)), 100, &s, &left, NULL), 0);
        assert_int_equal(rtmp_handshake_kind(h), k);
        assert_int_equal(s.len, FIRST + RTMP_HANDSHAKE_SIZE);
        assert_int_equal(rtmp_handshake_find(s.data + 1, RTMP_SERVER), k);
        const size_t at = k == RTMP_HANDSHAKE_DIGEST_1 ? 8 : 772;
        const size_t offset = at + 4 + 4u * 0x5a % 728;
        check_s2(s.data + FIRST, c1 + 1 + offset);
        rtmp_handshake_free(h);

        /* One wrong bit: such a client gets the simple answer. */
        c1[100] ^= 1;
        h = rtmp_handshake_new(RTMP_SERVER, 3, 4);
        s.len = 0;
        assert_int_equal(feed(h, BYTES(c1, sizeof(c1)), 5000, &s, &left, NULL), 0);
        assert_int_equal(rtmp_handshake_kind(h), RTMP_HANDSHAKE_SIMPLE);
        rtmp_handshake_free(h);
    }
}

static void test_refused(void **state)
{
    static const struct {
        uint8_t first;
        const char *word;
    } cases[] = {{6, "RTMPE"}, {8, "RTMPE"}, {0x16, "TLS"}, {'G', "HTTP"}, {2, "version 2"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rtmp_handshake *h = rtmp_handshake_new(RTMP_SERVER, 1, 1);
        _cleanup_(out_done) struct out s = {0};
        struct error err = {0};
        size_t left;
        /* The first byte is enough. */
        assert_int_equal(feed(h, BYTES(&cases[i].first, 1), 1, &s, &left, &err), -EPROTONOSUPPORT);
        assert_non_null(strstr(err.text, cases[i].word));
        assert_int_equal(s.len, 0);
        rtmp_handshake_free(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_roles),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
