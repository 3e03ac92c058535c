/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the two fuzzers of the binder do with a struct that was accepted: everything a service would. */
#include "base/mem.h"

#include "../../unit/base/seed_models.h"

#include <assert.h>

static const struct model *const fuzz_models[] = {
    &transmission_model,      &mountpoint_model, &broadcast_request_model,
    &room_stream_start_model, &live_input_model, &cfg_model,
};

/* Large enough for each of them. */
union fuzz_object {
    struct transmission transmission;
    struct mountpoint mountpoint;
    struct broadcast_request broadcast_request;
    struct room_stream_start room_stream_start;
    struct live_input live_input;
    struct cfg cfg;
};

/* The first line of the input: a letter for the model, then flags. */
static const struct model *fuzz_model(uint8_t c)
{
    return fuzz_models[c % ARRAY_LEN(fuzz_models)];
}

/* Written, it must be accepted again, and be written the same; a copy must be equal. */
static void fuzz_round_trip(const struct model *m, const void *obj)
{
    union fuzz_object again;
    union fuzz_object copy;
    struct error err = {0};
    struct model_parse_opts wide = {
        .max_bytes = SIZE_MAX, .max_depth = 200, .max_values = UINT32_MAX};
    _cleanup_free_ char *first = model_to_json(m, obj, MODEL_SECRETS_CLEAR);
    _cleanup_free_ char *redacted = model_to_json(m, obj, MODEL_SECRETS_REDACTED);
    int r = model_parse_json(m, &again, BYTES_STR(first), &wide, &err);
    if (r < 0) {
        fprintf(stderr, "%s\n%s: %s\n", first, err.where, err.text);
    }
    assert(r == 0);
    _cleanup_free_ char *second = model_to_json(m, &again, MODEL_SECRETS_CLEAR);
    if (strcmp(first, second) != 0) {
        fprintf(stderr, "%s\n%s\n", first, second);
    }
    assert(strcmp(first, second) == 0);
    model_copy(m, &copy, obj);
    assert(model_equal(m, obj, &copy));
    model_done(m, &copy);
    model_done(m, &again);
    assert(redacted);
}
