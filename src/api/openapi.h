/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* /api/openapi.json (OpenAPI 3.1), from the routes that are mounted and the models they name. */
#include "io/http.h"

/* The document as text; the caller frees. Control thread, after all tables are mounted. */
char *openapi_document(struct http_server *s, const char *version);

/* GET /api/openapi.json; user is a char ** to the document. */
extern const struct http_route openapi_routes[];
extern const unsigned openapi_routes_n;
