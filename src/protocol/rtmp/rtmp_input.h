/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Audio and video messages into a publisher: what a server's publishing session and a client that plays have in common.
 *
 * Which tracks there will be is known only when each has shown itself: metadata says which kinds to expect, the first message
 * of each which codec it is. A stream's tracks are its contract, so the first samples are held until all expected kinds
 * are there, or for half a second of media when metadata is missing or promises too much. One loop, the publisher's.
 */
#include "engine/stream.h"
#include "protocol/rtmp/rtmp_command_wire.h"

struct rtmp_input;

/* p stays the caller's and outlives it. */
struct rtmp_input *rtmp_input_new(struct publisher *p);
/*
 * 1: samples came of it; 0: none, as of parameters; -ENOTSUP for what we do not carry, other negative errno for a message that
 * cannot be read: it is left out.
 */
int rtmp_input_message(struct rtmp_input *in, const struct rtmp_message *m, int64_t arrival_ns,
                       struct error *err);
/* What codecs it names is not believed; that it names one says that the kind will come. */
void rtmp_input_metadata(struct rtmp_input *in, const struct amf_value *metadata);
/* What is held goes out first. NULL is fine; returns NULL. */
struct rtmp_input *rtmp_input_free(struct rtmp_input *in);
