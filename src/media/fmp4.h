/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Fragmented MP4 as CMAF has it (ISO/IEC 23000-19 over 14496-12): init segments, and the chunk of one sample, which is what
 * MSE sends, what LL-HLS parts are lists of, and what a MoQ object is (design 3). Track ids are track index + 1 in every
 * init, so that chunks fit the muxed and the demuxed one alike. Pure functions, any thread, no I/O.
 */
#include "media/sample.h"

/* 90000 for video, the sample rate for audio. */
uint32_t fmp4_timescale(const struct track_params *p);

/*
 * ftyp + moov for the tracks whose entry is not NULL, params[i] being track i (at most TRACKS_MAX). At least one. Static
 * facts only: no times, so it is the same for all readers. One new reference.
 */
struct buf *fmp4_init_make(const struct track_params *const params[], unsigned n);

/* "video/mp4; codecs=\"avc1.64001f,mp4a.40.2\"" for the same list; what MediaSource.isTypeSupported() takes. */
#define FMP4_MIME_MAX 400
char *fmp4_mime(const struct track_params *const params[], unsigned n, char *buf, size_t size);

#define FMP4_CHUNK_HEADER 112 /* bytes of moof and mdat header in front of the payload */

/*
 * FORM_CMAF: moof + mdat of one sample, payload included: one write per reader and chunk, and no second reference to keep
 * alive in a write queue. It costs the payload's size once more per sample and stream (not per reader), only while such a
 * reader demands it. Pure function of the sample; negative times are written as 0.
 */
struct buf *fmp4_chunk_make(const struct sample *s);

/* Registers the forms that media/ makes. Once at start-up, before loops run. */
void media_register_forms(void);
