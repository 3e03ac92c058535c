/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/stream.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

#define SEGMENTS_MAX 8

/* What the HTTP port answers itself (design 2, Paths): a stream of that name could not be reached there. */
static const char *const reserved_first[] = {"api",     "voice",  "trpc",   "metrics",
                                             "healthz", "readyz", "assets", ".well-known"};
static const char *const reserved_last[] = {"index.m3u8", "mse",          "whip",
                                            "whep",       "publish",      "still.jpg",
                                            "frame.jpg",  "stream.mjpeg", "keyframe.mp4"};

static bool is_one_of(struct bytes b, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes_equal_str(b, words[i])) {
            return true;
        }
    }
    return false;
}

/* What a stream can be derived as: its sound in that codec. */
static const char *const derived_words[] = {"aac", "opus"};

static bool is_legal(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static int check_segment(struct bytes seg, struct error *err)
{
    if (seg.len == 0) {
        return error_set(err, -EINVAL, "path",
                         "a path has no empty segments and no slash at its ends");
    }
    if (seg.data[0] == '.') {
        return error_set(err, -EINVAL, "path", "a path segment does not start with a dot");
    }
    for (size_t i = 0; i < seg.len; i++) {
        if (!is_legal((char)seg.data[i])) {
            return error_set(err, -EINVAL, "path",
                             "a path is of letters, digits, '.', '_', '-' and '/'");
        }
    }
    return 0;
}

static int check_derived(const char *path, char *parent, struct error *err)
{
    const char *tilde = strchr(path, '~');
    if (!tilde || strnlen(path, STREAM_PATH_MAX + 1) > STREAM_PATH_MAX) {
        return error_set(err, -EINVAL, "path", "a path has 1 to %d characters", STREAM_PATH_MAX);
    }
    memcpy(parent, path, (size_t)(tilde - path));
    parent[tilde - path] = '\0';
    int r = stream_path_check(parent, err);
    if (r < 0) {
        return r;
    }
    if (!is_one_of(BYTES_STR(tilde + 1), derived_words, ARRAY_LEN(derived_words))) {
        return error_set(err, -ENOENT, "path", "a stream has no ~%s: only ~aac and ~opus",
                         tilde + 1);
    }
    return 0;
}

const char *stream_path_derived(const char *path, char *parent)
{
    return check_derived(path, parent, NULL) == 0 ? strchr(path, '~') + 1 : NULL;
}

int stream_path_check_read(const char *path, struct error *err)
{
    char parent[STREAM_PATH_MAX + 1];
    return strchr(path, '~') ? check_derived(path, parent, err) : stream_path_check(path, err);
}

int stream_path_check(const char *path, struct error *err)
{
    size_t len = strnlen(path, STREAM_PATH_MAX + 1);
    if (len == 0 || len > STREAM_PATH_MAX) {
        return error_set(err, -EINVAL, "path", "a path has 1 to %d characters", STREAM_PATH_MAX);
    }
    unsigned n = 0;
    struct bytes seg = {0};
    for (const char *p = path;; p += seg.len + 1) {
        seg = BYTES(p, strcspn(p, "/"));
        /* ".well-known" is told as reserved, not as dotted. */
        if (n == 0 && is_one_of(seg, reserved_first, ARRAY_LEN(reserved_first))) {
            return error_set(err, -EINVAL, "path", "\"%.*s\" is reserved", (int)seg.len, p);
        }
        int r = check_segment(seg, err);
        if (r < 0) {
            return r;
        }
        if (++n > SEGMENTS_MAX) {
            return error_set(err, -EINVAL, "path", "a path has at most %d segments", SEGMENTS_MAX);
        }
        if (p[seg.len] == '\0') {
            break;
        }
    }
    if (is_one_of(seg, reserved_last, ARRAY_LEN(reserved_last))) {
        return error_set(err, -EINVAL, "path", "\"%.*s\" is reserved at the end of a path",
                         (int)seg.len, (const char *)seg.data);
    }
    return 0;
}
