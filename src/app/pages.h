/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The page's files, served from where they are installed: `/` and `/<stream path>` are the one document, which routes by
 * its own address; what lies under `/assets` never changes under its name and is cached for ever.
 */
#include "io/http.h"

struct pages;

/* Looks in dir, or where the build or the installation put the files when dir is NULL. NULL with err when there are none. */
struct pages *pages_open(const char *dir, struct error *err);
/* Pages over TLS tell browsers to come back with HTTPS only for so long (RFC 6797); 0 = not. Before the first request. */
void pages_set_hsts(struct pages *p, int64_t seconds);
/* Origins of other sites that may show the player in a frame (/<path>?embed), besides our own. Before the first request. */
void pages_set_embed(struct pages *p, char *const *origins, size_t n);
struct pages *pages_close(struct pages *p);
const char *pages_dir(const struct pages *p);

extern const struct http_route pages_routes[];
extern const unsigned pages_routes_n;
