/* SPDX-License-Identifier: Apache-2.0 */
/* Input: one byte that chooses the table, then YAML. */
#include "model_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union fuzz_object obj;
    struct error err = {0};
    if (size < 1) {
        return 0;
    }
    const struct model *m = fuzz_model(data[0]);
    int r = model_parse_yaml(m, &obj, BYTES(data + 1, size - 1), NULL, &err);
    if (r < 0) {
        assert(err.code == r && err.text[0]);
        return 0;
    }
    fuzz_round_trip(m, &obj);
    model_done(m, &obj);
    return 0;
}
