/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Text messages with a start line and header fields, as HTTP/1.1 (RFC 9112) and RTSP (RFC 2326) speak them: the parser of
 * the head, the decision how the body is framed, and the decoder of the chunked coding. Sans-I/O: the caller owns the bytes
 * and shows them again from the start of the message as more arrive; the parser remembers how far it has looked, so that a
 * head in n pieces costs the same as in one, and keeps offsets, so that the bytes may move in between.
 *
 * Lines end in CRLF. RFC 9112 2.2 lets a recipient take a lone LF for one, but a lenient parser behind a stricter proxy reads
 * other messages than the proxy did, which is what request smuggling is made of; no client of ours needs it. So a lone LF, a
 * lone CR, NUL, other controls, folded lines (obs-fold) and blanks before a colon are refused. One empty line before the
 * start line is skipped (RFC 9112 2.2).
 *
 * All limits are checked as bytes come: a peer is refused when it passes one, not when its line ends.
 */
#include "base/bytes.h"
#include "base/error.h"

#include <sys/types.h>

#define TEXTMSG_FIELDS_MAX 100
/* What limits may be at most: offsets are 16 bits. */
#define TEXTMSG_HEAD_MAX 65535

enum textmsg_kind {
    TEXTMSG_REQUEST,
    TEXTMSG_RESPONSE,
};

struct textmsg_limits {
    uint16_t line_bytes;   /* start line, with its CRLF */
    uint16_t fields_bytes; /* all header lines, with their CRLFs */
    uint16_t fields;       /* at most TEXTMSG_FIELDS_MAX */
};

struct textmsg_slice {
    uint16_t at;
    uint16_t len;
};

struct textmsg_field {
    struct textmsg_slice name;
    struct textmsg_slice value; /* without blanks around it */
};

/* Members without "private" may be read after textmsg_parse() returned a size. */
struct textmsg {
    const char *protocol; /* "HTTP", "RTSP"; not owned */
    enum textmsg_kind kind;
    struct textmsg_limits limits;

    uint8_t major, minor;
    uint16_t status;             /* responses: 100 to 999 */
    struct textmsg_slice method; /* requests */
    struct textmsg_slice target; /* requests: visible ASCII, never empty */
    struct textmsg_slice reason; /* responses; may be empty */
    unsigned n_fields;
    struct textmsg_field fields[TEXTMSG_FIELDS_MAX];

    const uint8_t *base; /* private: the bytes of the last textmsg_parse() */
    uint32_t line_at;    /* private: start of the line that is being collected */
    uint32_t scanned;    /* private: no LF before this */
    uint32_t fields_at;  /* private: first header line; 0 = still at the start line */
    bool skipped_empty;  /* private */
};

/* protocol is kept by pointer. Does not touch the array of fields. */
void textmsg_init(struct textmsg *m, enum textmsg_kind kind, const char *protocol,
                  const struct textmsg_limits *limits);

/*
 * Looks at the message's bytes so far, from its first one on. Returns the size of the head, with the empty line that ends
 * it; 0 when more is needed; or an error, after which m is good for nothing but textmsg_init():
 *   -EBADMSG       not a message of this kind
 *   -ENAMETOOLONG  the start line passed its limit
 *   -E2BIG         the header passed its limit of bytes or of fields
 */
ssize_t textmsg_parse(struct textmsg *m, struct bytes data, struct error *err);

struct bytes textmsg_bytes(const struct textmsg *m, struct textmsg_slice s);
/* The first field of that name in any case, from *index on (NULL = 0); *index is moved past it. False when there is none. */
bool textmsg_field(const struct textmsg *m, const char *name, unsigned *index,
                   struct bytes *ret_value);
unsigned textmsg_field_count(const struct textmsg *m, const char *name);

/* Case-insensitive equality of ASCII. */
bool textmsg_same(struct bytes a, const char *b);
/* Takes the next element off a comma-separated list (RFC 9110 5.6.1): without blanks, empty ones skipped. */
bool textmsg_list_next(struct bytes *list, struct bytes *ret_element);
/* One of the elements of the fields of that name is this token. */
bool textmsg_has_token(const struct textmsg *m, const char *name, const char *token);
/* c may be in a token (RFC 9110 5.6.2). */
bool textmsg_is_token_char(uint8_t c);
bool textmsg_is_token(struct bytes b);
/* c may be in a field's value: no control but the tab. */
bool textmsg_is_value_char(uint8_t c);

/* ---- the body's framing (RFC 9112 6.3) ---- */
enum textmsg_body {
    TEXTMSG_BODY_NONE,
    TEXTMSG_BODY_LENGTH,
    TEXTMSG_BODY_CHUNKED,
    TEXTMSG_BODY_UNTIL_CLOSE, /* responses only */
};

struct textmsg_framing {
    enum textmsg_body body;
    uint64_t length; /* of TEXTMSG_BODY_LENGTH; never 0, that is TEXTMSG_BODY_NONE */
};

/*
 * Decides how the body ends. no_body: the response to HEAD (or a 2xx to CONNECT) has none, whatever it says. Every message
 * that two parsers could read in two ways is refused, also where RFC 9112 6.3 would let us repair it: Transfer-Encoding with
 * Content-Length, repeated Content-Length even when equal, Transfer-Encoding in HTTP/1.0 or before RTSP 2.
 *   -EBADMSG  contradictory or malformed (the connection must be closed after the refusal)
 *   -ENOTSUP  a transfer coding other than chunked
 */
int textmsg_framing(const struct textmsg *m, bool no_body, struct textmsg_framing *ret,
                    struct error *err);

/* ---- the chunked coding (RFC 9112 7.1) ---- */
#define TEXTMSG_CHUNK_EXT_MAX 4096 /* bytes of chunk extensions in one body */
#define TEXTMSG_TRAILER_MAX   8192 /* bytes of trailer section */

enum textmsg_chunk_state {
    TEXTMSG_CHUNK_SIZE,
    TEXTMSG_CHUNK_EXT,
    TEXTMSG_CHUNK_SIZE_LF,
    TEXTMSG_CHUNK_DATA,
    TEXTMSG_CHUNK_DATA_CR,
    TEXTMSG_CHUNK_DATA_LF,
    TEXTMSG_CHUNK_TRAILER,      /* at the start of a trailer line */
    TEXTMSG_CHUNK_TRAILER_LINE, /* inside one */
    TEXTMSG_CHUNK_TRAILER_LF,
    TEXTMSG_CHUNK_END_LF,
    TEXTMSG_CHUNK_DONE,
};

struct textmsg_chunked {
    enum textmsg_chunk_state state;
    uint64_t max;   /* bytes of data allowed in all */
    uint64_t total; /* of the chunks announced so far */
    uint64_t left;  /* of the current chunk */
    uint32_t ext;   /* extension bytes so far */
    uint32_t trailer;
    uint8_t digits;
    bool has_colon; /* the trailer line has had its colon */
};

void textmsg_chunked_init(struct textmsg_chunked *c, uint64_t max);

/*
 * Consumes from the front of *in. Returns 1 with the next piece of data in *ret (a view into *in, never empty), 0 when *in
 * is used up or the body is complete (textmsg_chunked_done(); what follows is left in *in). Trailers are checked and skipped.
 *   -EBADMSG  malformed
 *   -EFBIG    more data than max
 *   -E2BIG    extensions or trailers over their limit
 */
int textmsg_chunked_next(struct textmsg_chunked *c, struct bytes *in, struct bytes *ret);

static inline bool textmsg_chunked_done(const struct textmsg_chunked *c)
{
    return c->state == TEXTMSG_CHUNK_DONE;
}
