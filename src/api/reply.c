/* SPDX-License-Identifier: Apache-2.0 */
#include "api/reply.h"

#include "base/json.h"

void reply_json(struct http_reply *reply, int status, const struct out *json)
{
    struct buf *body = buf_copy(out_view(json));
    http_reply_header(reply, "Cache-Control", "no-store");
    http_reply_send(reply, status, "application/json", &body);
}

void reply_model(struct http_reply *reply, int status, const struct model *m, const void *obj)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    (void)model_write(m, obj, NULL, &j); /* fails only where something is sealed */
    reply_json(reply, status, &o);
}

void reply_errno(struct http_reply *reply, const struct reply_problem *table, int r,
                 const struct error *err)
{
    while (table->r != r && table->r != 0) {
        table++;
    }
    http_reply_problem(reply, table->status, table->code, err);
}
