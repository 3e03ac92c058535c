/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The access question as an HTTP request asks it, and how a refusal is told; for the WebSocket and the key frame alike. */
#include "engine/access_http.h"

struct mse_question {
    struct access_credentials credentials; /* private: what the request borrows from */
    struct access_request request;         /* borrows from the HTTP request as well */
};
/* Whether path can be a stream's; else it has been answered, 400 or 404. */
bool mse_path_is_good(const char *path, struct http_reply *reply);
/* May this request read path? */
void mse_question_fill(const struct http_request *req, const char *path, struct mse_question *ret);
/* _cleanup_() on the owner. */
void mse_question_wipe(struct mse_question *q);
/* 401, 403, 404, 429 or 503 with a problem document. Consumes reply. */
void mse_refuse(struct http_reply *reply, const struct access_answer *a);
