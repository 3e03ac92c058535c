/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/mse/mse_access.h"

#include <errno.h>

void mse_question_fill(const struct http_request *req, const char *path, struct mse_question *ret)
{
    struct http_auth *auth = &ret->auth;
    http_auth_parse(req, auth); /* unreadable credentials are none */
    ret->request = (struct access_request){
        .action = ACCESS_READ,
        .protocol = "mse",
        .path = path,
        .query = http_request_query(req),
        .user = auth->user[0] ? auth->user : NULL,
        .password = auth->user[0] ? auth->password : NULL,
        .token = auth->token[0] ? auth->token : NULL,
        .origin = http_request_header(req, "origin"),
        .peer = (const struct sockaddr *)&http_request_peer(req)->sa,
        .encrypted = http_request_is_tls(req),
        .forwarded = http_is_forwarded(req),
    };
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
