/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_handshake_wire.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define VERSION      3
#define DIGEST_LEN   32
#define HALF         764 /* C1 without its first 8 bytes has two such blocks, either may hold the digest */
#define SERVER_WORDS 36 /* of the keys: without the 32 bytes that follow the words */
#define CLIENT_WORDS 30

/* The published keys: words, and the same 32 bytes after each. */
static const uint8_t SERVER_KEY[] =
    "Genuine Adobe Flash Media Server 001"
    "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57"
    "\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";
static const uint8_t CLIENT_KEY[] =
    "Genuine Adobe Flash Player 001"
    "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57"
    "\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";

enum state {
    WAIT_FIRST,  /* C0 and C1, or S0 and S1 */
    WAIT_SECOND, /* C2, or S2: counted, not looked at */
    FINISHED,
};

struct rtmp_handshake {
    enum state state;
    enum rtmp_role role;
    enum rtmp_handshake_kind kind;
    uint64_t random;
    uint32_t now_ms;
    size_t have; /* bytes of the message waited for */
    uint8_t first[1 + RTMP_HANDSHAKE_SIZE];
};

struct rtmp_handshake *rtmp_handshake_new(enum rtmp_role role, uint64_t seed, uint32_t now_ms)
{
    struct rtmp_handshake *h = mem_new(struct rtmp_handshake);
    h->role = role;
    h->random = seed;
    h->now_ms = now_ms;
    return h;
}

struct rtmp_handshake *rtmp_handshake_free(struct rtmp_handshake *h)
{
    free(h);
    return NULL;
}

enum rtmp_handshake_kind rtmp_handshake_kind(const struct rtmp_handshake *h)
{
    return h->kind;
}

/* splitmix64: the bytes only have to differ between connections. */
static uint64_t next_random(struct rtmp_handshake *h)
{
    uint64_t z = h->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void fill_random(struct rtmp_handshake *h, uint8_t *p, size_t n)
{
    while (n > 0) {
        const uint64_t v = next_random(h);
        const size_t k = MIN(n, sizeof(v));
        memcpy(p, &v, k);
        p += k;
        n -= k;
    }
}

static void hmac(struct bytes key, struct bytes a, struct bytes b, uint8_t ret[DIGEST_LEN])
{
    uint8_t joined[RTMP_HANDSHAKE_SIZE];
    put_bytes(put_bytes(joined, a), b);
    unsigned len = DIGEST_LEN;
    HMAC(EVP_sha256(), key.data, (int)key.len, joined, a.len + b.len, ret, &len);
}

/* Four bytes at the start of a half are summed to say where in it the digest is. */
static size_t digest_offset(const uint8_t *block, enum rtmp_handshake_kind kind)
{
    const size_t at = kind == RTMP_HANDSHAKE_DIGEST_1 ? 8 : 8 + HALF;
    const unsigned sum = block[at] + block[at + 1] + block[at + 2] + block[at + 3];
    return at + 4 + sum % (HALF - 4 - DIGEST_LEN);
}

/* Over everything but the digest itself, by the words of the role's key. */
static void block_digest(const uint8_t *block, enum rtmp_role role, size_t offset,
                         uint8_t ret[DIGEST_LEN])
{
    const struct bytes key =
        role == RTMP_SERVER ? BYTES(SERVER_KEY, SERVER_WORDS) : BYTES(CLIENT_KEY, CLIENT_WORDS);
    const size_t after = offset + DIGEST_LEN;
    hmac(key, BYTES(block, offset), BYTES(block + after, RTMP_HANDSHAKE_SIZE - after), ret);
}

void rtmp_handshake_sign(uint8_t block[RTMP_HANDSHAKE_SIZE], enum rtmp_role role,
                         enum rtmp_handshake_kind kind)
{
    const size_t offset = digest_offset(block, kind);
    block_digest(block, role, offset, block + offset);
}

enum rtmp_handshake_kind rtmp_handshake_find(const uint8_t block[RTMP_HANDSHAKE_SIZE],
                                             enum rtmp_role role)
{
    for (enum rtmp_handshake_kind k = RTMP_HANDSHAKE_DIGEST_1; k <= RTMP_HANDSHAKE_DIGEST_2; k++) {
        const size_t offset = digest_offset(block, k);
        uint8_t want[DIGEST_LEN];
        block_digest(block, role, offset, want);
        if (memcmp(want, block + offset, DIGEST_LEN) == 0) {
            return k;
        }
    }
    return RTMP_HANDSHAKE_SIMPLE;
}

static void put_block(struct rtmp_handshake *h, uint8_t *block)
{
    put_u32be(block, h->now_ms);
    put_u32be(block + 4, 0);
    fill_random(h, block + 8, RTMP_HANDSHAKE_SIZE - 8);
}

/* S1 and S2 for a client that signed C1: S2's last bytes are signed by a key made of C1's digest. */
static void answer_digest(struct rtmp_handshake *h, uint8_t *s1, uint8_t *s2)
{
    const uint8_t *c1 = h->first + 1;
    put_block(h, s1);
    put_u32be(s1 + 4,
              0x04050001); /* a version that librtmp and ffmpeg take for a digest server's */
    rtmp_handshake_sign(s1, RTMP_SERVER, h->kind);

    fill_random(h, s2, RTMP_HANDSHAKE_SIZE);
    uint8_t key[DIGEST_LEN];
    hmac(BYTES(SERVER_KEY, sizeof(SERVER_KEY) - 1),
         BYTES(c1 + digest_offset(c1, h->kind), DIGEST_LEN), BYTES(NULL, 0), key);
    const size_t signed_len = RTMP_HANDSHAKE_SIZE - DIGEST_LEN;
    hmac(BYTES(key, DIGEST_LEN), BYTES(s2, signed_len), BYTES(NULL, 0), s2 + signed_len);
}

/*
 * C2 and S2 return the other's block. 5.2.4 has the time it was read in the second field, but librtmp compares the whole of
 * it (OBS logs "client signature does not match"), and nobody misses that time.
 */
static void echo(const struct rtmp_handshake *h, uint8_t *block)
{
    memcpy(block, h->first + 1, RTMP_HANDSHAKE_SIZE);
}

static void answer_as_server(struct rtmp_handshake *h, struct out *out)
{
    const uint8_t *c1 = h->first + 1;
    /* Simple clients have zeros in the version field; the test only saves them two HMACs. */
    const bool versioned = (c1[4] | c1[5] | c1[6] | c1[7]) != 0;
    h->kind = versioned ? rtmp_handshake_find(c1, RTMP_CLIENT) : RTMP_HANDSHAKE_SIMPLE;

    uint8_t *p = out_extend(out, 1 + 2 * RTMP_HANDSHAKE_SIZE);
    *p++ = VERSION;
    if (h->kind == RTMP_HANDSHAKE_SIMPLE) {
        put_block(h, p);
        echo(h, p + RTMP_HANDSHAKE_SIZE);
    } else {
        answer_digest(h, p, p + RTMP_HANDSHAKE_SIZE);
    }
}

void rtmp_handshake_start(struct rtmp_handshake *h, struct out *out)
{
    if (h->role == RTMP_CLIENT) {
        uint8_t *p = out_extend(out, 1 + RTMP_HANDSHAKE_SIZE);
        *p = VERSION;
        put_block(h, p + 1);
    }
}

static int check_version(const struct rtmp_handshake *h, struct error *err)
{
    const uint8_t version = h->first[0];
    if (version == VERSION) {
        return 0;
    }
    if (version == 6 || version == 8) {
        return error_set(err, -EPROTONOSUPPORT, "", "RTMPE (version %u) is not spoken here",
                         version);
    }
    if (version == 0x16) {
        return error_set(err, -EPROTONOSUPPORT, "", "looks like TLS on a port without it");
    }
    if (version >= 'A' && version <= 'Z') {
        return error_set(err, -EPROTONOSUPPORT, "", "looks like HTTP or another text protocol");
    }
    return error_set(err, -EPROTONOSUPPORT, "", "handshake version %u is not RTMP's", version);
}

static int feed_first(struct rtmp_handshake *h, struct rd *in, struct out *out, struct error *err)
{
    const size_t n = MIN(rd_left(in), sizeof(h->first) - h->have);
    put_bytes(h->first + h->have, rd_bytes(in, n));
    h->have += n;
    if (h->have == 0) {
        return 0;
    }
    /* Checked on the first byte: whoever speaks another protocol is not kept waiting. */
    const int r = check_version(h, err);
    if (r < 0 || h->have < sizeof(h->first)) {
        return r;
    }
    if (h->role == RTMP_SERVER) {
        answer_as_server(h, out);
    } else {
        echo(h, out_extend(out, RTMP_HANDSHAKE_SIZE));
    }
    h->have = 0;
    h->state = WAIT_SECOND;
    return 0;
}

int rtmp_handshake_feed(struct rtmp_handshake *h, struct rd *in, struct out *out, struct error *err)
{
    if (h->state == WAIT_FIRST) {
        const int r = feed_first(h, in, out, err);
        if (r < 0) {
            return r;
        }
    }
    if (h->state == WAIT_SECOND) {
        /* Not compared: several clients send a C2 that is nothing like S1. */
        const size_t n = MIN(rd_left(in), RTMP_HANDSHAKE_SIZE - h->have);
        rd_skip(in, n);
        h->have += n;
        if (h->have == RTMP_HANDSHAKE_SIZE) {
            h->state = FINISHED;
        }
    }
    return h->state == FINISHED;
}
