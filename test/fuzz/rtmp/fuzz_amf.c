/* SPDX-License-Identifier: Apache-2.0 */
/* AMF0 values: what reads once must read again, member by member, to its end. */
#include "base/mem.h"
#include "protocol/rtmp/amf.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct amf_value *v, unsigned depth)
{
    assert(depth <= AMF_DEPTH_MAX);
    struct rd r = rd_init(v->members);
    struct amf_value m;
    struct bytes name;
    switch (v->type) {
    case AMF_OBJECT:
    case AMF_ECMA_ARRAY:
        while (amf_next_member(&r, &name, &m)) {
            walk(&m, depth + 1);
        }
        assert(rd_left(&r) == 0 && !rd_failed(&r));
        (void)amf_get_number(v, "width", 0);
        (void)amf_get_str(v, "code");
        break;
    case AMF_STRICT_ARRAY:
        while (amf_next_element(&r, &m)) {
            walk(&m, depth + 1);
        }
        assert(rd_left(&r) == 0 && !rd_failed(&r));
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_memdup(data, size);
    struct rd r = rd_init(BYTES(copy, size));
    struct amf_value v;
    while (rd_left(&r) > 0 && amf_read(&r, &v) == 0) {
        walk(&v, 0);
    }
    free(copy);
    return 0;
}
