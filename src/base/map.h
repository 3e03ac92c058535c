/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A hash map from strings or 64-bit numbers to pointers. Open addressing, at most three quarters full; the hash is
 * SipHash-1-3 under a key drawn once per process, so that peers who choose the keys cannot make them collide. The map
 * owns its string keys, never its values. A zeroed map is an empty one. One map holds keys of one sort. One thread at a
 * time; growth aborts when memory runs out, so the number of keys that remote parties make is bounded before.
 */
#include "base/bytes.h"

struct map_slot {
    uint64_t hash;
    char *key;    /* owned; NULL in maps of numbers */
    uint64_t num; /* maps of numbers */
    void *value;  /* NULL = the slot is free: NULL cannot be stored */
};

struct map {
    struct map_slot *slots; /* private */
    size_t cap;             /* private: a power of two, or 0 */
    size_t len;
};

/* Frees the keys and the table; the values are the caller's. */
void map_done(struct map *m);

void *map_get(const struct map *m, const char *key); /* NULL when absent */
void *map_get_bytes(const struct map *m, struct bytes key);
/* Stores value (not NULL) and returns the one it replaces, or NULL. */
void *map_set(struct map *m, const char *key, void *value);
/* Takes the key out and returns its value, or NULL. */
void *map_remove(struct map *m, const char *key);

void *map_get_u64(const struct map *m, uint64_t key);
void *map_set_u64(struct map *m, uint64_t key, void *value);
void *map_remove_u64(struct map *m, uint64_t key);

/* The slot after s (NULL = the first), NULL at the end. In no order. */
struct map_slot *map_next(const struct map *m, const struct map_slot *s);
/* slot is a struct map_slot *; the map must not change inside, but for values replaced through slot->value. */
#define MAP_FOREACH(slot, m)                                                                       \
    for (struct map_slot *slot = map_next((m), NULL); slot; slot = map_next((m), slot))
