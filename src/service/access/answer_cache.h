/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a program of the operator's answered a moment ago (callback.h), so that a player who asks for a segment each second does
 * not make it be asked each second. The key is the whole question under a key of this process: everything that is sent but
 * the directives of HLS. A table of fixed size; in a full bucket the entry that ends first goes. Time is given. Any thread.
 */
#include "engine/access.h"

#define ANSWER_DIGEST_LEN 32

struct answer_cache;
struct answer_cache *answer_cache_new(int64_t keep_ns);
struct answer_cache *answer_cache_free(struct answer_cache *c); /* NULL is fine; returns NULL */

void answer_digest(const struct answer_cache *c, const struct access_request *req,
                   uint8_t ret[ANSWER_DIGEST_LEN]);
/* True when it is known; *ret_r is 0, -EPERM or -EACCES. */
bool answer_cache_get(struct answer_cache *c, const uint8_t digest[ANSWER_DIGEST_LEN],
                      int64_t now_ns, int *ret_r);
void answer_cache_put(struct answer_cache *c, const uint8_t digest[ANSWER_DIGEST_LEN], int r,
                      int64_t now_ns);
