/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <string.h>
#include <time.h>

const uint8_t mark_id[MARK_ID_LEN] = {'m', 'a', 's', 't', '-', 'l', 'o', 'a',
                                      'd', '-', 'm', 'a', 'r', 'k', '-', '1'};

int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void put_nibbles(uint8_t *p, uint64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        p[i] = 0x40 | (v & 15);
        v >>= 4;
    }
}

static uint64_t get_nibbles(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) {
        v = v << 4 | (p[i] & 15);
    }
    return v;
}

void mark_write(uint8_t *p, struct mark m)
{
    memcpy(p, mark_id, MARK_ID_LEN);
    put_nibbles(p + MARK_ID_LEN, (uint64_t)m.sent_ns, 16);
    put_nibbles(p + MARK_ID_LEN + 16, m.number, 8);
}

bool mark_find(const uint8_t *p, size_t n, struct mark *ret)
{
    const uint8_t *at = memmem(p, n, mark_id, MARK_ID_LEN);
    if (!at || (size_t)(p + n - at) < MARK_LEN) {
        return false;
    }
    ret->sent_ns = (int64_t)get_nibbles(at + MARK_ID_LEN, 16);
    ret->number = (uint32_t)get_nibbles(at + MARK_ID_LEN + 16, 8);
    return true;
}

void hist_add(struct hist *h, uint64_t us)
{
    /* 16 buckets an octave. */
    unsigned shift = us < 16 ? 0 : (unsigned)(59 - __builtin_clzll(us));
    uint64_t i = us < 16 ? us : shift * 16 + (us >> shift);
    h->count[i < HIST_BUCKETS ? i : HIST_BUCKETS - 1]++;
    h->n++;
    h->max = us > h->max ? us : h->max;
}

double hist_quantile(const struct hist *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->n);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->count[i];
        if (seen > rank) {
            unsigned shift = i < 32 ? 0 : i / 16 - 1;
            return i < 16 ? i : (double)((uint64_t)(i - shift * 16) << shift);
        }
    }
    return (double)h->max;
}

void tally_frame(struct tally *t, struct frames *f, const uint8_t *head, size_t n, int64_t now)
{
    struct mark m;
    if (!mark_find(head, n, &m)) {
        return;
    }
    if (!f->started) {
        f->started = true;
        t->playing++;
    } else if (t->measuring && m.number > f->last + 1) {
        t->lost += m.number - f->last - 1;
    }
    if (f->last_ns && now - f->last_ns > t->gap_ns) {
        t->gap_ns = now - f->last_ns;
    }
    f->last = m.number;
    f->last_ns = now;
    if (t->measuring) {
        t->frames++;
        if (f->probe) {
            hist_add(&t->late, (uint64_t)(now > m.sent_ns ? (now - m.sent_ns) / 1000 : 0));
        }
    }
}
