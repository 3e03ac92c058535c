/* SPDX-License-Identifier: Apache-2.0 */
/* Input: its first byte says in parts of how many bytes the rest arrives, which is what a Redis sends. */
#include "base/mem.h"
#include "peer/redis/redis_wire.h"

#include <assert.h>
#include <string.h>

static unsigned count(const struct redis_reply *reply, unsigned depth)
{
    unsigned n = 1;
    assert(reply && depth <= 9 && reply->text && reply->text[reply->len] == '\0');
    assert(reply->type == REDIS_ARRAY || reply->n == 0);
    for (unsigned i = 0; i < reply->n; i++) {
        n += count(reply->items[i], depth + 1);
    }
    (void)redis_int(reply, 0);
    (void)redis_named(reply, "name");
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    int r = 0;
    if (size == 0) {
        return 0;
    }
    struct redis_reader *reader = redis_reader_new();
    size_t part = data[0] ? data[0] : size;
    for (size_t at = 1; at < size && r >= 0; at += part) {
        r = redis_reader_feed(reader, BYTES(data + at, MIN(part, size - at)), &err);
        while (r >= 0) {
            struct redis_reply *reply;
            r = redis_reader_next(reader, &reply, &err);
            if (r < 0 || !reply) {
                break;
            }
            assert(count(reply, 0) <= REDIS_ELEMENTS_MAX);
            redis_reply_free(reply);
        }
    }
    assert(r == err.code && (r == 0 || err.text[0]));
    redis_reader_free(reader);
    return 0;
}
