/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a program of the operator's answered a moment ago (callback.h), so that a player who asks for a segment each second does
 * not make it be asked each second. The key is the whole question under a key of this process: everything that is sent but
 * the directives of HLS. A table of fixed size; in a full bucket the entry that ends first goes. Time is given. Any thread.
 */
#include "base/bytes.h"
#include "engine/access.h"

#define ANSWER_DIGEST_LEN 32

struct answer_cache;
struct answer_cache *answer_cache_new(int64_t keep_ns);
struct answer_cache *answer_cache_free(struct answer_cache *c); /* NULL is fine; returns NULL */

/*
 * Goes through a query, part by part, leaving out what opens nothing: _HLS_msn and its like, which change with each request of a
 * player. *at begins as the query (may be NULL); false: that was all.
 */
bool answer_query_next(const char **at, struct bytes *ret);
void answer_digest(const struct answer_cache *c, const struct access_request *req,
                   uint8_t ret[ANSWER_DIGEST_LEN]);
/* True when it is known; *ret_r is 0, -EPERM or -EACCES. */
bool answer_cache_get(struct answer_cache *c, const uint8_t digest[ANSWER_DIGEST_LEN],
                      int64_t now_ns, int *ret_r);
void answer_cache_put(struct answer_cache *c, const uint8_t digest[ANSWER_DIGEST_LEN], int r,
                      int64_t now_ns);
