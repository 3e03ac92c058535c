/* SPDX-License-Identifier: Apache-2.0 */
#include "media/nal.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

static const uint8_t *start_code(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 3) {
        return end;
    }
    const uint8_t *hit = memmem(p, (size_t)(end - p), "\0\0\1", 3);
    return hit ? hit : end;
}

static int next_length(struct nal_iter *it, struct bytes *ret)
{
    size_t size = it->length_size;
    if ((size_t)(it->end - it->p) < size) {
        return -EINVAL;
    }
    size_t len = 0;
    for (size_t i = 0; i < size; i++) {
        len = len << 8 | *it->p++;
    }
    if (len > (size_t)(it->end - it->p)) {
        return -EINVAL;
    }
    *ret = BYTES(it->p, len);
    it->p += len;
    return 1;
}

static void next_annexb(struct nal_iter *it, struct bytes *ret)
{
    const uint8_t *begin = start_code(it->p, it->end);
    begin = begin == it->end ? begin : begin + 3;
    const uint8_t *next = start_code(begin, it->end);
    it->p = next;
    /* trailing_zero_8bits and the zero_byte of the next start code belong to no unit (H.264 B.1.1). */
    while (next > begin && next[-1] == 0) {
        next--;
    }
    *ret = BYTES(begin, next - begin);
}

int nal_next(struct nal_iter *it, struct bytes *ret)
{
    while (it->p != it->end) {
        struct bytes nal;
        if (it->length_size == 0) {
            next_annexb(it, &nal);
        } else {
            int r = next_length(it, &nal);
            if (r < 0) {
                return r;
            }
        }
        if (nal.len > 0) {
            *ret = nal;
            return 1;
        }
    }
    return 0;
}

static bool walks(struct nal_iter it)
{
    struct bytes nal;
    int r;
    while ((r = nal_next(&it, &nal)) > 0) {
    }
    return r == 0;
}

struct nal_iter nal_iter_init(struct bytes au, unsigned length_size)
{
    assert(au.data || au.len == 0);
    struct nal_iter it = {au.data, au.data ? au.data + au.len : au.data, length_size};
    if (length_size == 0) {
        it.length_size = 4;
    }
    bool starts = (au.len >= 3 && memcmp(au.data, "\0\0\1", 3) == 0) ||
                  (au.len >= 4 && memcmp(au.data, "\0\0\0\1", 4) == 0);
    if (starts && !walks(it)) {
        it.length_size = 0;
    }
    return it;
}

int nal_sets_add(struct nal_sets *s, struct bytes nal)
{
    if (s->n == NAL_SETS_MAX || nal.len > UINT16_MAX) {
        return -E2BIG;
    }
    s->item[s->n++] = nal;
    return 0;
}

bool nal_sets_equal(const struct nal_sets *a, const struct nal_sets *b)
{
    if (a->n != b->n) {
        return false;
    }
    for (unsigned i = 0; i < a->n; i++) {
        if (!bytes_equal(a->item[i], b->item[i])) {
            return false;
        }
    }
    return true;
}

int nal_sets_read(struct rd *r, unsigned n, struct nal_sets *s)
{
    for (unsigned i = 0; i < n; i++) {
        struct bytes nal = rd_bytes(r, rd_u16be(r));
        if (rd_failed(r)) {
            return -EINVAL;
        }
        if (nal.len > 0 && nal_sets_add(s, nal) < 0) {
            return -E2BIG;
        }
    }
    return 0;
}

size_t nal_sets_size(const struct nal_sets *s)
{
    size_t size = 0;
    for (unsigned i = 0; i < s->n; i++) {
        size += 2 + s->item[i].len;
    }
    return size;
}

uint8_t *nal_sets_put(uint8_t *p, const struct nal_sets *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        p = put_u16be(p, (uint16_t)s->item[i].len);
        p = put_bytes(p, s->item[i]);
    }
    return p;
}

static unsigned find_id(const struct nal_sets *s, uint32_t wanted, nal_set_id_fn id)
{
    unsigned k = 0;
    while (k < s->n && id(s->item[k]) != wanted) {
        k++;
    }
    return k;
}

int nal_sets_merge(struct nal_sets *have, const struct nal_sets *in, nal_set_id_fn id)
{
    for (unsigned i = 0; i < in->n; i++) {
        unsigned k = find_id(have, id(in->item[i]), id);
        if (k < have->n) {
            have->item[k] = in->item[i];
        } else if (nal_sets_add(have, in->item[i]) < 0) {
            return -E2BIG;
        }
    }
    return 0;
}

bool nal_sets_has_new(const struct nal_sets *have, const struct nal_sets *in, nal_set_id_fn id)
{
    for (unsigned i = 0; i < in->n; i++) {
        if (find_id(have, id(in->item[i]), id) == have->n) {
            return true;
        }
    }
    return false;
}
