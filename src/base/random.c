/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>

void random_bytes(void *p, size_t n)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t r = getrandom(at, n, 0);
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r <= 0) {
            fprintf(stderr, "mast: the kernel gives no random numbers, aborting\n");
            abort();
        }
        at += r;
        n -= (size_t)r;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof(v));
    return v;
}

uint64_t random_below(uint64_t n)
{
    /* The first 2^64 mod n values would make small results likelier: draw again. */
    uint64_t skip = (0 - n) % n;
    uint64_t v = random_u64();
    while (v < skip) {
        v = random_u64();
    }
    return v % n;
}

char *random_id(char *buf, size_t n)
{
    static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < n; i++) {
        buf[i] = chars[random_below(sizeof(chars) - 1)];
    }
    buf[n] = '\0';
    return buf;
}

char *random_uuid(char *buf)
{
    uint8_t b[16];
    random_bytes(b, sizeof(b));
    b[6] = (uint8_t)(0x40 | (b[6] & 0x0f));
    b[8] = (uint8_t)(0x80 | (b[8] & 0x3f));
    snprintf(buf, RANDOM_UUID_MAX,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
             b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
             b[15]);
    return buf;
}
