/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server role after a handshake: chunks, commands, AMF, names. The first byte chooses how the rest is cut into pieces,
 * how questions are answered and whether publishers are asked for credentials (Adobe's challenge; the key is known here, so
 * that the corpus can hold right answers); what comes out must not depend on the cutting.
 */
#include "base/mem.h"
#include "protocol/rtmp/rtmp_server_wire.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct rtmp_server_event *ev, uint64_t *sum)
{
    *sum = *sum * 31 + (uint64_t)ev->type;
    switch (ev->type) {
    case RTMP_EVENT_PUBLISH:
    case RTMP_EVENT_PLAY:
        assert(ev->name->path && strlen(ev->name->path) <= 2 * RTMP_NAME_MAX + 1);
        break;
    case RTMP_EVENT_MEDIA:
        for (size_t i = 0; i < ev->message.body.len; i++) {
            *sum = *sum * 31 + ev->message.body.data[i];
        }
        break;
    case RTMP_EVENT_METADATA:
        (void)amf_get_number(&ev->metadata, "width", 0);
        break;
    case RTMP_EVENT_STOP:
    case RTMP_EVENT_PAUSE:
    case RTMP_EVENT_RECEIVE:
    case RTMP_EVENT_ALIVE:
    case RTMP_EVENT_LEAVE:
        break;
    }
}

static void shake_hands(struct rtmp_server_wire *w, struct out *out)
{
    static const uint8_t hello[1 + 2 * RTMP_HANDSHAKE_SIZE] = {3};
    struct rd in = rd_init(BYTES(hello, sizeof(hello)));
    struct rtmp_server_event ev;
    (void)rtmp_server_wire_next(w, &in, out, &ev, NULL);
    assert(w->state == RTMP_SERVER_CONNECT);
}

/* All bytes in pieces of step; a number that stands for everything that came out. */
static uint64_t run(struct bytes all, size_t step, bool refuse, bool challenge)
{
    static const uint8_t key[RTMP_AUTH_KEY_LEN] = {'k'};
    struct rtmp_server_wire w;
    struct rtmp_auth auth;
    struct out out = {0};
    uint64_t sum = 0;
    rtmp_auth_init(&auth, key);
    rtmp_server_wire_init(&w, 1, 1);
    w.auth = challenge ? &auth : NULL;
    shake_hands(&w, &out);
    int r = 0;
    struct rd in = rd_init(all);
    while (rd_left(&in) > 0 && r >= 0) {
        const struct bytes piece = rd_bytes(&in, MIN(step, rd_left(&in)));
        uint8_t *copy = mem_memdup(piece.data, piece.len);
        struct rd rd = rd_init(BYTES(copy, piece.len));
        struct rtmp_server_event ev;
        struct error err;
        while ((r = rtmp_server_wire_next(&w, &rd, &out, &ev, &err)) > 0) {
            check(&ev, &sum);
            assert(!w.proof.response || challenge);
            if (w.state == RTMP_SERVER_ASKED_PUBLISH || w.state == RTMP_SERVER_ASKED_PLAY) {
                if (refuse) {
                    rtmp_server_wire_refuse(&w, &out, "NetStream.Publish.Denied", "no");
                } else {
                    rtmp_server_wire_accept(&w, &out);
                }
            }
        }
        assert(w.chunks.held <= 2 * (size_t)RTMP_MESSAGE_MAX);
        free(copy);
    }
    /* Acknowledgements depend on where the pieces end, so only events and the result are compared. */
    rtmp_server_wire_done(&w);
    out_done(&out);
    return sum * 31 + (uint64_t)-r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1) {
        const struct bytes rest = BYTES(data + 1, size - 1);
        const bool refuse = data[0] & 1;
        const bool challenge = data[0] & 2;
        const uint64_t whole = run(rest, rest.len, refuse, challenge);
        const uint64_t cut = run(rest, 1 + (data[0] >> 2), refuse, challenge);
        assert(whole == cut);
    }
    return 0;
}
