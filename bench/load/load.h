/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The load program: a publisher of a synthetic stream, and thousands of players of it in one thread. It speaks the wire
 * itself and uses nothing of libmast, so that it drives any server alike and shares no mistake with ours.
 *
 * Each video frame of the publisher begins with a user-data SEI that carries its number and the monotonic time it was
 * sent at, written in nibbles (0x40 | n) so that no server has to escape it. Players find it and know how late the frame
 * is and which frames are missing. Both run on one machine, so the clocks are one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- frames ---- */

#define MARK_ID_LEN 16
#define MARK_LEN    (MARK_ID_LEN + 16 + 8) /* id, time in 16 nibbles, number in 8 */
extern const uint8_t mark_id[MARK_ID_LEN];

struct mark {
    int64_t sent_ns;
    uint32_t number;
};
void mark_write(uint8_t *p, struct mark m); /* MARK_LEN bytes */
/* Looks for a mark in the first bytes of a frame. */
bool mark_find(const uint8_t *p, size_t n, struct mark *ret);

/* ---- histogram of lateness, microseconds, 6 % wide buckets ---- */

#define HIST_BUCKETS 1024
struct hist {
    uint64_t count[HIST_BUCKETS];
    uint64_t n;
    uint64_t max;
};
void hist_add(struct hist *h, uint64_t us);
double hist_quantile(const struct hist *h, double q); /* microseconds */

/* ---- what players share ---- */

struct tally {
    bool measuring; /* off during ramp and warm-up */
    uint64_t bytes;
    uint64_t frames;   /* video, with a mark */
    uint64_t messages; /* all kinds */
    uint64_t lost;     /* frame numbers skipped */
    uint64_t closed;   /* connections that ended */
    uint64_t playing;  /* players that got their first frame */
    int64_t gap_ns;    /* the longest that a player waited from one frame to the next */
    struct hist late;
};

/* One player's view of the frames it got. */
struct frames {
    bool started;
    bool probe; /* its lateness counts */
    uint32_t last;
    int64_t last_ns; /* when it came */
};
void tally_frame(struct tally *t, struct frames *f, const uint8_t *head, size_t n, int64_t now_ns);

int64_t now_ns(void);

/* ---- a player: bytes in, a few bytes out; no allocation after the start ---- */

#define HEAD_MAX 384 /* of a message or a WebSocket frame: the mark lies within */

struct target {
    bool websocket;
    char host[64];
    uint16_t port;
    char app[128];  /* RTMP */
    char name[200]; /* RTMP: play name; WebSocket: request path */
};
int target_parse(const char *url,
                 struct target *ret); /* rtmp://host:port/app/name, ws://host:port/path/mse */

/* Writes at most cap bytes to send when connected; returns how many. */
size_t rtmp_hello(const struct target *t, uint8_t *out, size_t cap);
size_t ws_hello(const struct target *t, uint8_t *out, size_t cap);

struct chunk_stream {
    uint32_t length;
    uint32_t left; /* of the message */
    uint8_t type;
    bool extended;
    uint16_t head_len;
};

#define CSIDS 10
struct rtmp_player {
    uint32_t skip;       /* handshake bytes still to come */
    uint32_t chunk_size; /* what the server sends in */
    uint32_t chunk_left; /* payload of the current chunk */
    uint32_t window, acked_at, received;
    uint8_t cs; /* current chunk stream */
    uint8_t header_len, header_need;
    uint8_t header[18];
    bool ready; /* handshake done, commands sent */
    struct chunk_stream streams[CSIDS];
    uint8_t head[64]; /* of the current video or control message */
};

struct ws_player {
    bool upgraded;
    uint8_t match; /* of "\r\n\r\n" */
    uint8_t header_len;
    uint8_t header[10];
    uint8_t opcode;
    bool pinged; /* wants a pong; who sends it clears this */
    uint64_t left;
    uint16_t head_len;
    uint8_t head[HEAD_MAX];
};

struct player {
    int fd;
    bool websocket;
    bool connected;
    bool probe; /* read at once; the others are read in turns */
    bool swept; /* off the epoll, read in turns */
    struct frames frames;
    union {
        struct rtmp_player rtmp;
        struct ws_player ws;
    };
};

/* Feeds received bytes. Returns -1 on nonsense; reply bytes (RTMP commands, acknowledgements) go to out. */
int rtmp_feed(struct rtmp_player *p, struct frames *f, struct tally *t, const struct target *target,
              const uint8_t *data, size_t n, uint8_t *out, size_t cap, size_t *ret_out);
int ws_feed(struct ws_player *p, struct frames *f, struct tally *t, const uint8_t *data, size_t n);

/*
 * HLS: one rendition, its requests one after the other on one connection. Low-latency players reload by blocking and fetch
 * parts; others fetch whole segments. Every body is searched for marks.
 */
#define HLS_QUEUE 64
#define HLS_URI   256

struct hls_player {
    bool low_latency;
    char list
        [HLS_URI]; /* path of the media playlist; empty until the master playlist has named it */
    char map[HLS_URI];
    bool has_map;
    char queue[HLS_QUEUE][HLS_URI];
    unsigned queued, taken;
    uint64_t next_msn; /* of what has not been queued yet */
    uint64_t next_part;
    uint64_t list_msn; /* of the last playlist: must not fall */
    uint64_t bad;      /* answers that a player cannot use, other than "not now" */
    uint64_t backwards;
    uint64_t skipped;      /* segments that slid out before this player got them */
    uint64_t unavailable;  /* "not now": 503, and playlists that have ended */
    int64_t not_before_ns; /* of the next request */
    bool asked;
    enum {
        HLS_MASTER,
        HLS_LIST,
        HLS_MAP,
        HLS_MEDIA
    } what;
    uint8_t *body;
    size_t len, cap, head_len, total;
    int status;
};
void hls_init(struct hls_player *p, bool low_latency);
void hls_done(struct hls_player *p);
/* The next request, when one is due; 0 otherwise. base is the path of the stream, without slashes around it. */
size_t hls_ask(struct hls_player *p, const char *host, const char *base, int64_t now, char *out,
               size_t cap);
int hls_feed(struct hls_player *p, struct frames *f, struct tally *t, const uint8_t *data,
             size_t n);

/* ---- the publisher ---- */

struct publish {
    unsigned kbps;
    unsigned audio_kbps; /* 0 = video only */
    unsigned fps;
    unsigned gop;   /* frames */
    double seconds; /* 0 = until the connection ends, or SIGTERM */
    double report;  /* every so many seconds: by how much frames were sent too late, at most */
};
int publish_run(const struct target *t, const struct publish *p);

/* AMF0 commands shared by both directions: returns the length written to out. */
size_t amf_string(uint8_t *out, const char *s);
size_t amf_number(uint8_t *out, double v);
size_t rtmp_command(uint8_t *out, unsigned csid, unsigned stream, const uint8_t *body, size_t n,
                    uint8_t type);
size_t rtmp_connect_body(uint8_t *out, const struct target *t);
