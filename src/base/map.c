/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/mem.h"
#include "base/random.h"

#include <assert.h>
#include <pthread.h>

static uint64_t secret[2];
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void draw_secret(void)
{
    random_bytes(secret, sizeof(secret));
}

static uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* SipHash (Aumasson, Bernstein 2012) with one round a word and three at the end. */
static uint64_t hash_bytes(struct bytes b)
{
    (void)pthread_once(&secret_once, draw_secret);
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
                     secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573};
    uint64_t last = (uint64_t)b.len << 56;
    size_t i = 0;
    for (; i + 8 <= b.len; i += 8) {
        uint64_t word;
        memcpy(&word, b.data + i, sizeof(word));
        sip_word(v, word);
    }
    for (unsigned shift = 0; i < b.len; i++, shift += 8) {
        last |= (uint64_t)b.data[i] << shift;
    }
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t hash_u64(uint64_t key)
{
    return hash_bytes(BYTES(&key, sizeof(key)));
}

/* What is looked for: a string when text is set, else a number. */
struct want {
    uint64_t hash;
    struct bytes text;
    uint64_t num;
};

static struct want want_text(struct bytes key)
{
    return (struct want){hash_bytes(key), key, 0};
}

static struct want want_num(uint64_t key)
{
    return (struct want){hash_u64(key), BYTES(NULL, 0), key};
}

static bool matches(const struct map_slot *s, const struct want *w)
{
    if (s->hash != w->hash) {
        return false;
    }
    return s->key ? w->text.data && bytes_equal_str(w->text, s->key)
                  : !w->text.data && s->num == w->num;
}

/* The slot with the key, or the free one where it belongs; the table is never full. */
static struct map_slot *find(const struct map *m, const struct want *w)
{
    size_t i = w->hash & (m->cap - 1);
    while (m->slots[i].value && !matches(&m->slots[i], w)) {
        i = (i + 1) & (m->cap - 1);
    }
    return &m->slots[i];
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->cap = old.cap ? old.cap * 2 : 8;
    m->slots = mem_new_array(struct map_slot, m->cap);
    for (size_t k = 0; k < old.cap; k++) {
        if (old.slots[k].value) {
            size_t i = old.slots[k].hash & (m->cap - 1);
            while (m->slots[i].value) {
                i = (i + 1) & (m->cap - 1);
            }
            m->slots[i] = old.slots[k];
        }
    }
    free(old.slots);
}

static void *get(const struct map *m, const struct want *w)
{
    return m->len ? find(m, w)->value : NULL;
}

static void *set(struct map *m, const struct want *w, void *value)
{
    assert(value);
    if ((m->len + 1) * 4 > m->cap * 3) {
        grow(m);
    }
    struct map_slot *s = find(m, w);
    void *before = s->value;
    if (!before) {
        s->hash = w->hash;
        s->key = w->text.data ? mem_strndup((const char *)w->text.data, w->text.len) : NULL;
        s->num = w->num;
        m->len++;
    }
    s->value = value;
    return before;
}

/* Closes the gap by moving back what its own place allows, so that no tombstones pile up. */
static void close_gap(struct map *m, size_t hole)
{
    size_t mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
}

static void *take(struct map *m, const struct want *w)
{
    struct map_slot *s = m->len ? find(m, w) : NULL;
    if (!s || !s->value) {
        return NULL;
    }
    void *value = s->value;
    free(s->key);
    m->len--;
    close_gap(m, (size_t)(s - m->slots));
    return value;
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        free(m->slots[i].key);
    }
    free(m->slots);
    *m = (struct map){0};
}

void *map_get_bytes(const struct map *m, struct bytes key)
{
    /* An empty view may have no address; want_text() needs one to tell strings from numbers. */
    struct want w = want_text(key.data ? key : BYTES_STR(""));
    return get(m, &w);
}

void *map_get(const struct map *m, const char *key)
{
    return map_get_bytes(m, BYTES_STR(key));
}

void *map_set(struct map *m, const char *key, void *value)
{
    struct want w = want_text(BYTES_STR(key));
    return set(m, &w, value);
}

void *map_remove(struct map *m, const char *key)
{
    struct want w = want_text(BYTES_STR(key));
    return take(m, &w);
}

void *map_get_u64(const struct map *m, uint64_t key)
{
    struct want w = want_num(key);
    return get(m, &w);
}

void *map_set_u64(struct map *m, uint64_t key, void *value)
{
    struct want w = want_num(key);
    return set(m, &w, value);
}

void *map_remove_u64(struct map *m, uint64_t key)
{
    struct want w = want_num(key);
    return take(m, &w);
}

struct map_slot *map_next(const struct map *m, const struct map_slot *s)
{
    for (size_t i = s ? (size_t)(s - m->slots) + 1 : 0; i < m->cap; i++) {
        if (m->slots[i].value) {
            return &m->slots[i];
        }
    }
    return NULL;
}
