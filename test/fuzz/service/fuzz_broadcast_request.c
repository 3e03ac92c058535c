/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a document as a client sends it: a request; it is read as a result as our store has it, and as a reply of Janus, too. */
#include "base/mem.h"
#include "service/broadcast/broadcast_models.h"
#include "store/seal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

union object {
    struct broadcast_request request;
    struct broadcast_result result;
};

static struct seal_ring *ring(void)
{
    static const char key[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    static struct seal_ring *made;
    if (!made) {
        assert(seal_ring_parse(BYTES_STR(key), &made, NULL) == 0);
    }
    return made;
}

/* Through the store it must come back as it was. A text that looks sealed already is taken for sealed: then it may not. */
static void round_trip(const struct model *m, const void *obj)
{
    union object again;
    struct error err = {0};
    unsigned missing = 0;
    _cleanup_free_ char *clear = model_to_json(m, obj, MODEL_SECRETS_CLEAR);
    _cleanup_free_ char *shown = model_to_json(m, obj, MODEL_SECRETS_REDACTED);
    _cleanup_free_ char *sealed = NULL;
    assert(shown);
    if (strstr(clear, "sealed:")) {
        return;
    }
    assert(broadcast_seal(m, obj, ring(), "fuzz", &sealed, &err) == 0);
    int r = broadcast_unseal(m, &again, BYTES_STR(sealed), ring(), "fuzz", &missing, &err);
    if (r < 0) {
        fprintf(stderr, "%s\n%s: %s\n", sealed, err.where, err.text);
    }
    assert(r == 0 && missing == 0);
    assert(model_equal(m, obj, &again));
    model_done(m, &again);
}

static void check_again(const struct broadcast_request *r)
{
    struct broadcast_request again;
    struct error err = {0};
    model_copy(&broadcast_request_model, &again, r);
    assert(broadcast_request_check(&again, &err) == 0);
    assert(model_equal(&broadcast_request_model, r, &again));
    model_done(&broadcast_request_model, &again);
}

static void read_request(struct bytes json)
{
    struct broadcast_request r;
    struct error err = {0};
    int bad = broadcast_request_parse(&r, json, 0, &err);
    if (bad < 0) {
        assert(err.code == bad && err.text[0]);
        return;
    }
    assert(r.source_kind < BROADCAST_EXTERNAL && broadcast_request_relay(&r) < BROADCAST_RELAY_N);
    assert(r.mountpoint_id.kind == MODEL_ID_NONE && !r.video_codec && !r.audio_fmtp);
    check_again(&r);
    round_trip(&broadcast_request_model, &r);
    struct endpoint_list list;
    if (broadcast_endpoints(&r, "127.0.0.1", NULL, &list, NULL) == 0) {
        model_done(&endpoint_list_model, &list);
    }
    model_done(&broadcast_request_model, &r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes json = BYTES(data, size);
    struct broadcast_result result;
    read_request(json);
    if (model_parse_json(&broadcast_result_model, &result, json, NULL, NULL) == 0) {
        round_trip(&broadcast_result_model, &result);
        model_done(&broadcast_result_model, &result);
    }
    _cleanup_free_ char *kept = broadcast_reply_keep(json);
    if (kept) {
        _cleanup_free_ char *again = broadcast_reply_keep(BYTES_STR(kept));
        assert(again);
    }
    return 0;
}
