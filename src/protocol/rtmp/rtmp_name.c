/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_name.h"

#include "base/url.h"

#include <errno.h>

static bool take_until(struct bytes *rest, char sep, struct bytes *ret)
{
    const uint8_t *at = rest->len ? memchr(rest->data, sep, rest->len) : NULL;
    if (!at) {
        *ret = *rest;
        *rest = BYTES(NULL, 0);
        return false;
    }
    const size_t n = (size_t)(at - rest->data);
    *ret = BYTES(rest->data, n);
    *rest = BYTES(at + 1, rest->len - n - 1);
    return true;
}

static void set_credential(char **field, struct bytes value)
{
    char *decoded = url_decode(value, false);
    free(*field);
    /* What is not well encoded was not encoded: keys are often pasted as they are. */
    *field = decoded ? decoded : mem_strndup(value.len ? (const char *)value.data : "", value.len);
}

static void credentials_from_query(struct rtmp_name *n, struct bytes query)
{
    while (query.len > 0) {
        struct bytes pair;
        struct bytes key;
        take_until(&query, '&', &pair);
        take_until(&pair, '=', &key);
        if (bytes_equal_str(key, "user")) {
            set_credential(&n->user, pair);
        } else if (bytes_equal_str(key, "pass") || bytes_equal_str(key, "password")) {
            set_credential(&n->password, pair);
        }
    }
}

/* scheme://user:password@host... */
static void credentials_from_url(struct rtmp_name *n, struct bytes url)
{
    static const char sep[] = "://";
    const uint8_t *at = url.len ? memmem(url.data, url.len, sep, 3) : NULL;
    if (!at) {
        return;
    }
    struct bytes rest = BYTES(at + 3, url.len - (size_t)(at + 3 - url.data));
    struct bytes authority;
    take_until(&rest, '/', &authority);
    struct bytes userinfo;
    if (take_until(&authority, '@', &userinfo)) {
        struct bytes user;
        const bool has_password = take_until(&userinfo, ':', &user);
        set_credential(&n->user, user);
        if (has_password) {
            set_credential(&n->password, userinfo);
        }
    }
}

/* Appends the segments of a path, without empty ones and Adobe's default instance. */
static void add_segments(struct out *path, struct bytes part)
{
    while (part.len > 0) {
        struct bytes segment;
        take_until(&part, '/', &segment);
        if (segment.len > 0 && !bytes_equal_str(segment, "_definst_")) {
            if (path->len > 0) {
                out_u8(path, '/');
            }
            out_bytes(path, segment);
        }
    }
}

static struct bytes without_type_prefix(struct bytes name)
{
    static const char *const prefixes[] = {"mp4:", "flv:", "f4v:", "mp3:", "id3:"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (name.len > 4 && memcmp(name.data, prefixes[i], 4) == 0) {
            return BYTES(name.data + 4, name.len - 4);
        }
    }
    return name;
}

static int check(struct bytes b, const char *what, struct error *err)
{
    if (b.len > RTMP_NAME_MAX) {
        return error_set(err, -EINVAL, what, "longer than %d bytes", RTMP_NAME_MAX);
    }
    if (b.len > 0 && memchr(b.data, 0, b.len)) {
        return error_set(err, -EINVAL, what, "holds a zero byte");
    }
    return 0;
}

int rtmp_name_parse(struct bytes app, struct bytes tc_url, struct bytes name, struct rtmp_name *ret,
                    struct error *err)
{
    int r = check(app, "app", err);
    r = r < 0 ? r : check(tc_url, "tcUrl", err);
    r = r < 0 ? r : check(name, "stream name", err);
    if (r < 0) {
        return r;
    }
    struct bytes app_path;
    struct bytes name_path;
    take_until(&app, '?', &app_path); /* app and name are their queries from here on */
    take_until(&name, '?', &name_path);

    struct rtmp_name n = {0};
    struct out path = {0};
    add_segments(&path, app_path);
    add_segments(&path, without_type_prefix(name_path));
    n.path = out_take_str(&path);
    if (app.len > 0 || name.len > 0) {
        struct out query = {0};
        out_bytes(&query, app);
        if (app.len > 0 && name.len > 0) {
            out_u8(&query, '&');
        }
        out_bytes(&query, name);
        n.query = out_take_str(&query);
    }
    /* What stands nearest to the name wins. */
    credentials_from_url(&n, tc_url);
    credentials_from_query(&n, app);
    credentials_from_query(&n, name);
    *ret = n;
    return 0;
}

void rtmp_name_done(struct rtmp_name *n)
{
    free(n->path);
    free(n->query);
    free(n->user);
    free(n->password);
    *n = (struct rtmp_name){0};
}
