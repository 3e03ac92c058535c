/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What OpenAPI and docs/api.md say of a route beyond its summary and its models: constant tables beside the route table,
 * read by api/openapi.c only. What every route has in common (credentials, Host, Origin) is said there, not here.
 */

#include <stdbool.h>

struct http_doc_param {
    const char *name; /* NULL ends a table */
    const char *in;   /* "query", "header", or "path" for what the pattern names */
    const char *text;
    const char *example;
};

struct http_doc_problem {
    int status; /* 0 ends a table */
    const char *code;
    const char *text; /* when */
};

struct http_route_doc {
    const char *text;       /* whole sentences; NULL = the summary says it */
    int status;             /* of success; 0 = 200, or 204 when nothing is answered */
    const char *reply_type; /* media type of a success that is no JSON model */
    const char *reply_text; /* what a success is; NULL = "Done" */
    bool body_optional;
    const char *body_example; /* JSON */
    const struct http_doc_param *params;
    const struct http_doc_problem *problems;
};
