/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: one byte that chooses the table, one of flags, then a JSON document, and behind the first newline a patch for it.
 */
#include "model_fuzz.h"

static int fuzz_patch(const struct model *m, void *obj, struct bytes patch, uint8_t flags)
{
    union fuzz_object before;
    struct error err = {0};
    struct model_parse_opts opts = {.client = flags & 1};
    model_copy(m, &before, obj);
    int r = model_patch_json(m, obj, patch, flags & 2 ? MODEL_PATCH_SEED : MODEL_PATCH_MERGE, &opts,
                             &err);
    assert(r == 0 || (err.code == r && model_equal(m, obj, &before)));
    model_done(m, &before);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union fuzz_object obj;
    struct error err = {0};
    if (size < 2) {
        return 0;
    }
    const struct model *m = fuzz_model(data[0]);
    struct model_parse_opts opts = {.client = data[1] & 4, .max_depth = data[1] & 8 ? 4 : 0};
    struct bytes doc = BYTES(data + 2, size - 2);
    const uint8_t *newline = memchr(doc.data, '\n', doc.len);
    struct bytes patch = BYTES(NULL, 0);
    if (newline) {
        patch = BYTES(newline + 1, (size_t)(doc.data + doc.len - newline) - 1);
        doc.len = (size_t)(newline - doc.data);
    }
    int r = model_parse_json(m, &obj, doc, &opts, &err);
    if (r < 0) {
        assert(err.code == r && err.text[0]);
        return 0;
    }
    fuzz_round_trip(m, &obj);
    if (newline && fuzz_patch(m, &obj, patch, data[1]) == 0) {
        fuzz_round_trip(m, &obj);
    }
    model_done(m, &obj);
    return 0;
}
