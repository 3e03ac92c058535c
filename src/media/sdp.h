/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Session descriptions (RFC 8866), read and written line by line. A description is kept as views into its text: of each section
 * what every reader needs, and its attributes to be looked through. Nothing is allocated and nothing a peer sends is unbounded:
 * SDP_TEXT_MAX, SDP_MEDIA_MAX, SDP_FORMATS_MAX. What codecs say in it is in rtp_sdp.h. Any thread.
 */
#include "base/bytes.h"
#include "base/error.h"

#define SDP_TEXT_MAX    (64u << 10)
#define SDP_MEDIA_MAX   32
#define SDP_FORMATS_MAX 64

/* One section: the session's lines, or those of one m= line, which is the first of them. */
struct sdp_section {
    struct bytes text;
    struct bytes connection; /* the address of c=, without "/ttl"; empty = none */
};

struct sdp_media {
    struct sdp_section section;
    struct bytes kind;  /* "audio", "video", "application", ... */
    uint16_t port;      /* 0: refused or not used */
    struct bytes proto; /* "RTP/AVP", "UDP/TLS/RTP/SAVPF", ... */
    unsigned n_formats;
    struct bytes formats[SDP_FORMATS_MAX];
};

struct sdp {
    struct sdp_section session;
    struct bytes name; /* s= */
    unsigned n_media;
    struct sdp_media media[SDP_MEDIA_MAX];
};

/* Views into text, which stays the caller's. -EINVAL with err saying which line; -E2BIG. Lines may end with LF alone. */
int sdp_parse(struct bytes text, struct sdp *ret, struct error *err);

/* The attributes of a section, in order. */
struct sdp_attr_iter {
    struct rd r; /* private */
};
struct sdp_attr_iter sdp_attr_iter_init(const struct sdp_section *s);
/* 1 and a=name:value, or a=name with an empty value; 0 at the end. */
int sdp_attr_next(struct sdp_attr_iter *it, struct bytes *ret_name, struct bytes *ret_value);
/* The first attribute of that name; false when there is none. ret may be NULL. */
bool sdp_attr(const struct sdp_section *s, const char *name, struct bytes *ret);

/* What is behind the payload type in the first a=name:pt value ("rtpmap", "fmtp"). */
bool sdp_format_attr(const struct sdp_media *m, const char *name, uint8_t pt, struct bytes *ret);

/* "H264/90000", "opus/48000/2". */
struct sdp_rtpmap {
    struct bytes encoding;
    uint32_t clock_rate;
    uint32_t channels; /* 1 when it does not say */
};
/* From a=rtpmap, or the static types 0, 8 and 14 of RFC 3551. -ENOENT, -EINVAL. */
int sdp_rtpmap(const struct sdp_media *m, uint8_t pt, struct sdp_rtpmap *ret);
/* A parameter of "a=1; b=2", its name in any case. False when it is not there. */
bool sdp_fmtp_param(struct bytes fmtp, const char *name, struct bytes *ret);
/* The payload type of formats[i]; -EINVAL when it is none. */
int sdp_payload_type(const struct sdp_media *m, unsigned i);
/* A decimal number that ends where b ends; -EINVAL, also when it is over max. */
int64_t sdp_number(struct bytes b, uint32_t max);

/* Writing. address is numeric; the origin's line needs numbers that grow with every version (5.2). */
void sdp_write_session(struct out *out, uint64_t id, uint64_t version, const char *address,
                       const char *name);
/* m= with one payload type, and c= when address is given. */
void sdp_write_media(struct out *out, const char *kind, uint16_t port, const char *proto,
                     uint8_t pt, const char *address);
