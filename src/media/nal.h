/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * NAL units of H.264 and HEVC, whichever way they are packed: behind a length of 1, 2 or 4 bytes (ISO/IEC 14496-15) or
 * behind start codes (Annex B). Views only, no allocation; zero-length units are stepped over. Also the bounded lists of
 * parameter sets that both codecs keep. Any thread.
 */
#include "base/buf.h"

struct nal_iter {
    const uint8_t *p; /* private */
    const uint8_t *end;
    unsigned length_size; /* 0 = Annex B */
};

/*
 * length_size is what the parameters say (0 = unknown, 4 is tried). A publisher that sends Annex B where lengths were
 * announced is recognised: its bytes begin with a start code and do not walk as lengths.
 */
struct nal_iter nal_iter_init(struct bytes au, unsigned length_size);
/* 1 and a non-empty unit; 0 at the end; -EINVAL when a length runs over the end. */
int nal_next(struct nal_iter *it, struct bytes *ret);

#define NAL_SETS_MAX 64 /* of one kind; streams use one to four */

/* Parameter sets by reference, in order. */
struct nal_sets {
    struct bytes item[NAL_SETS_MAX];
    unsigned n;
};

/* Appends; -E2BIG when full or the set is over 65535 bytes, which no configuration record can carry. */
int nal_sets_add(struct nal_sets *s, struct bytes nal);
bool nal_sets_equal(const struct nal_sets *a, const struct nal_sets *b);
/* As configuration records have them: n times a 16-bit length and a set. -EINVAL, -E2BIG; empty sets are left out. */
int nal_sets_read(struct rd *r, unsigned n, struct nal_sets *s);
size_t nal_sets_size(const struct nal_sets *s);
uint8_t *nal_sets_put(uint8_t *p, const struct nal_sets *s);

/* A set's own id (the codec's parameter_set_id). */
typedef uint32_t (*nal_set_id_fn)(struct bytes nal);
/* Puts each of in where have has the same id, or at the end; -E2BIG. */
int nal_sets_merge(struct nal_sets *have, const struct nal_sets *in, nal_set_id_fn id);
/* Does in hold an id that have does not? */
bool nal_sets_has_new(const struct nal_sets *have, const struct nal_sets *in, nal_set_id_fn id);
