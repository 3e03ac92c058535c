/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One audio job of the worker: decode, resample, encode, by libavcodec and libswresample; all calls to them are in
 * transcode.c. The time rules are docs/internals/av.md: sound that came in at time t goes out at time t.
 *
 * One thread. What comes out is handed to the callback inside transcode_feed(), bytes valid during the call.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "media/av_wire.h"

struct transcode;

/* "libavcodec 59.37.100: aac, opus": what it is linked to, and what can be made. */
void transcode_about(char *text, size_t size);

typedef void (*transcode_out_fn)(void *user, struct bytes data, int64_t pts_ns,
                                 uint32_t duration_ns);

/* spec is a checked AV_OPEN. -ENOTSUP when a codec is not in this libavcodec, -EINVAL when one refuses. */
int transcode_new(const struct av_msg *spec, transcode_out_fn on_out, void *user,
                  struct transcode **ret, struct error *err);
struct transcode *transcode_free(struct transcode *t); /* returns NULL */
/* Codec and config of what comes out, valid as long as t. */
void transcode_describe(const struct transcode *t, enum codec *ret_codec, struct bytes *ret_config);
/* A negative return is the end of the job; a frame that the decoder cannot read is not, if the next ones are better. */
int transcode_feed(struct transcode *t, struct bytes data, int64_t pts_ns, struct error *err);
