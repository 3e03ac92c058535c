/* SPDX-License-Identifier: Apache-2.0 */
/* Input: a message as Janus sends it. What it becomes is whole, and a request that carries its parts is one again. */
#include "base/mem.h"
#include "base/utf8.h"
#include "peer/janus/janus_wire.h"

#include <assert.h>
#include <string.h>

static void check_text(const char *text)
{
    assert(!text || utf8_valid(BYTES_STR(text)));
}

/* What we were told can be told: the plugin's data as a body, its jsep beside it. */
static void tell_again(const struct janus_message *m)
{
    struct janus_message again;
    _cleanup_(out_done) struct out o = {0};
    const struct janus_request r = {
        .janus = m->janus,
        .transaction = 7,
        .session_id = m->session_id,
        .handle_id = m->sender,
        .body =
            m->plugindata && m->plugindata->data ? BYTES_STR(m->plugindata->data) : BYTES(NULL, 0),
        .sdp_type = m->jsep && m->jsep->type ? m->jsep->type : "offer",
        .sdp = m->jsep ? m->jsep->sdp : NULL,
    };
    janus_request_put(&o, &r);
    assert(janus_message_parse(&again, out_view(&o), NULL) == 0);
    assert(strcmp(again.janus, m->janus) == 0 && again.session_id == m->session_id);
    assert(janus_transaction_parse(again.transaction) == 7);
    assert(!r.sdp || (again.jsep && strcmp(again.jsep->sdp, r.sdp) == 0));
    janus_message_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct janus_message m;
    struct error err = {0};
    int r = janus_message_parse(&m, BYTES(data, size), &err);
    if (r < 0) {
        static const struct janus_message none;
        assert(err.code == r && err.text[0] && memcmp(&m, &none, sizeof(m)) == 0);
        return 0;
    }
    assert(m.janus && m.kind <= JANUS_OTHER && (m.kind != JANUS_NEWS || m.sender != 0));
    check_text(m.reason);
    check_text(m.plugin_error);
    check_text(m.error ? m.error->reason : NULL);
    assert(!m.plugin_error || !strpbrk(m.plugin_error, "\r\n"));
    (void)janus_transaction_parse(m.transaction);
    tell_again(&m);
    janus_message_done(&m);
    return 0;
}
