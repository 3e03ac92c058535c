/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/mse/mse_access.h"

#include "engine/stream.h"

#include <errno.h>

bool mse_path_is_good(const char *path, struct http_reply *reply)
{
    struct error err = {0};
    int r = stream_path_check_read(path, &err);
    if (r < 0) {
        http_reply_problem(reply, r == -ENOENT ? 404 : 400, r == -ENOENT ? "not-found" : "bad-path",
                           &err);
    }
    return r == 0;
}

void mse_question_fill(const struct http_request *req, const char *path, struct mse_question *ret)
{
    (void)access_request_from_http(req, &ret->credentials, &ret->request);
    ret->request.action = ACCESS_READ;
    ret->request.protocol = "mse";
    ret->request.path = path;
}

void mse_question_wipe(struct mse_question *q)
{
    access_credentials_wipe(&q->credentials);
}

void mse_refuse(struct http_reply *reply, const struct access_answer *a)
{
    int status = 403;
    const char *code = "forbidden";
    if (a->result == -EPERM) {
        status = 401;
        code = "unauthorized";
        http_reply_header(reply, "WWW-Authenticate", "Bearer realm=\"mast\"");
    } else if (a->result == -ENOENT) {
        status = 404;
        code = "not-found";
    } else if (a->result == -EBUSY) {
        status = 429;
        code = "too-many-attempts";
    } else if (a->result != -EACCES) {
        status = 503;
        code = "unavailable";
    }
    http_reply_problem(reply, status, code, &a->err);
}
