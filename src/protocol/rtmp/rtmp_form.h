/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What RTMP players are sent: the wire bytes of a sample, shared by all of them (FORM_RTMP), and the messages that describe a
 * stream, written per player and change of parameters.
 *
 * Time stamps are stream time in ms, which wraps at 32 bits: absolute, the same for every reader. Stream time begins with
 * the engine, so a server that runs for less than 4.6 hours never needs extended ones. Pure.
 */
#include "base/bytes.h"
#include "media/sample.h"

/* Registers the maker of FORM_RTMP. Before loops run. */
void rtmp_register_forms(void);

/* The message that carries p's configuration; nothing for codecs that have none. */
void rtmp_write_sequence_start(struct out *o, const struct track_params *p, uint32_t timestamp);
/* onMetaData of these tracks (at most one of a kind; NULL for none). */
void rtmp_write_metadata(struct out *o, const struct track_params *const tracks[TRACK_KIND_N]);
/* The value of onMetaData alone, for rtmp_client_wire_metadata(). */
void rtmp_put_metadata(struct out *body, const struct track_params *const tracks[TRACK_KIND_N]);
