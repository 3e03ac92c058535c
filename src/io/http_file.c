/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_private.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Files as answers. The entity tag is strong: inode, size and time of change in nanoseconds name the bytes as well as a
 * server can that does not read them. Pieces are read on the loop as the client takes them: meant for the page's files,
 * which live in the page cache, not for recordings on slow disks.
 */

#define ETAG_MAX 64

/* ---- sending, for the carriers ---- */

struct http_file *http_file_new(int fd, uint64_t at, uint64_t len)
{
    struct http_file *f = mem_new(struct http_file);
    *f = (struct http_file){.fd = fd, .at = at, .left = len};
    return f;
}

struct buf *http_file_next(struct http_file *f, size_t max)
{
    size_t want = (size_t)MIN(f->left, (uint64_t)max);
    _cleanup_buf_ struct buf *b = buf_new(want);
    ssize_t n = pread(f->fd, b->data, want, (off_t)f->at);
    if (n <= 0) {
        return NULL;
    }
    b->len = (uint32_t)n;
    f->at += (uint64_t)n;
    f->left -= (uint64_t)n;
    return TAKE_PTR(b);
}

struct http_file *http_file_free(struct http_file *f)
{
    if (f) {
        close(f->fd);
        free(f);
    }
    return NULL;
}

/* ---- answering, for the handlers ---- */

static void refuse_file(struct http_reply *p, int fd)
{
    struct error err;
    close(fd);
    error_set(&err, -2, "", "there is no file at this path");
    http_reply_problem(p, 404, "not-found", &err);
}

static void set_headers(struct http_reply *p, const char *etag, time_t changed,
                        const char *cache_control)
{
    char date[HTTP_DATE_MAX];
    http_date_format(changed, date);
    http_reply_header(p, "ETag", etag);
    http_reply_header(p, "Last-Modified", date);
    http_reply_header(p, "Accept-Ranges", "bytes");
    if (cache_control) {
        http_reply_header(p, "Cache-Control", cache_control);
    }
}

static void answer(struct http_reply *p, int status, int fd, uint64_t at, uint64_t len)
{
    p->state = HTTP_REPLY_DONE;
    if (p->gone) {
        close(fd);
    } else {
        p->on->ops->answer_file(p->on, status, out_view(&p->headers), fd, at, len);
    }
    http_reply_unref(p);
}

/* A status without the file; 416 tells how large the thing is (RFC 9110 15.5.17). */
static void answer_empty(struct http_reply *p, int status, int fd)
{
    struct buf *none = NULL;
    close(fd);
    http_reply_send(p, status, NULL, &none);
}

void http_reply_file(struct http_reply *p, int fd, const char *content_type,
                     const char *cache_control)
{
    struct stat st;
    char etag[ETAG_MAX];
    char range[80];
    uint64_t first = 0;
    uint64_t last = 0;
    assert(!p->on_control && p->state == HTTP_REPLY_OWED);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        refuse_file(p, fd);
        return;
    }
    const struct http_conditions conditions = {
        .if_match = http_request_header(&p->req, "If-Match"),
        .if_none_match = http_request_header(&p->req, "If-None-Match"),
        .if_modified_since = http_request_header(&p->req, "If-Modified-Since"),
        .if_unmodified_since = http_request_header(&p->req, "If-Unmodified-Since"),
        .if_range = http_request_header(&p->req, "If-Range"),
        .range = p->req.method == HTTP_GET ? http_request_header(&p->req, "Range") : NULL,
    };
    uint64_t size = (uint64_t)st.st_size;
    snprintf(etag, sizeof(etag), "\"%jx-%jx-%jx%08lx\"", (uintmax_t)st.st_ino, (uintmax_t)size,
             (uintmax_t)st.st_mtim.tv_sec, (unsigned long)st.st_mtim.tv_nsec);
    set_headers(p, etag, st.st_mtime, cache_control);
    enum http_verdict verdict = http_judge(&conditions, etag, st.st_mtime, size, &first, &last);
    switch (verdict) {
    case HTTP_NOT_MODIFIED:
        answer_empty(p, 304, fd);
        return;
    case HTTP_FAILED:
        answer_empty(p, 412, fd);
        return;
    case HTTP_UNSATISFIABLE:
        snprintf(range, sizeof(range), "bytes */%" PRIu64, size);
        http_reply_header(p, "Content-Range", range);
        answer_empty(p, 416, fd);
        return;
    case HTTP_PARTIAL:
        snprintf(range, sizeof(range), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last, size);
        http_reply_header(p, "Content-Range", range);
        http_reply_header(p, "Content-Type", content_type);
        answer(p, 206, fd, first, last - first + 1);
        return;
    case HTTP_PROCEED:
        http_reply_header(p, "Content-Type", content_type);
        answer(p, 200, fd, 0, size);
        return;
    }
}
