/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_router.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

/* In the order of precedence. */
enum segment_kind {
    SEGMENT_LITERAL,
    SEGMENT_PARAM,
    SEGMENT_GREEDY_INNER, /* {name+} with a suffix */
    SEGMENT_GREEDY,
};

struct segment {
    enum segment_kind kind;
    struct bytes text; /* the literal, or the parameter's name */
};

#define PATTERN_SEGMENTS_MAX 12

struct entry {
    const struct http_route *route;
    void *user;
    unsigned n;
    int greedy; /* index of the greedy segment, -1 when there is none */
    struct segment segments[PATTERN_SEGMENTS_MAX];
};

struct http_router {
    unsigned n;
    struct entry *entries; /* sorted, those of one shape next to each other */
};

static const char *const method_names[] = {
    [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
    [HTTP_OPTIONS] = "OPTIONS",
};
_Static_assert(ARRAY_LEN(method_names) == HTTP_METHOD_N, "one name a method");

int http_method_from_bytes(struct bytes b)
{
    for (int i = 0; i < HTTP_METHOD_N; i++) {
        if (bytes_equal_str(b, method_names[i])) {
            return i;
        }
    }
    return -EINVAL;
}

const char *http_allow_format(unsigned allow, char buf[HTTP_ALLOW_MAX])
{
    struct out o = {0};
    if (allow & 1u << HTTP_GET) {
        allow |= 1u << HTTP_HEAD;
    }
    allow |= 1u << HTTP_OPTIONS;
    for (int i = 0; i < HTTP_METHOD_N; i++) {
        if (allow & 1u << i) {
            out_printf(&o, "%s%s", o.len > 0 ? ", " : "", method_names[i]);
        }
    }
    assert(o.len < HTTP_ALLOW_MAX);
    memcpy(buf, out_str(&o), o.len + 1);
    out_done(&o);
    return buf;
}

/* ---- patterns ---- */

static struct segment compile_segment(struct bytes text)
{
    bool braces = text.len > 2 && text.data[0] == '{' && text.data[text.len - 1] == '}';
    if (!braces) {
        assert(text.len > 0 && !memchr(text.data, '{', text.len));
        return (struct segment){SEGMENT_LITERAL, text};
    }
    struct bytes name = BYTES(text.data + 1, text.len - 2);
    bool greedy = name.data[name.len - 1] == '+';
    name.len -= greedy;
    assert(name.len > 0);
    return (struct segment){greedy ? SEGMENT_GREEDY : SEGMENT_PARAM, name};
}

static void compile(struct entry *e)
{
    const char *p = e->route->pattern;
    unsigned params = 0;
    e->greedy = -1;
    assert(p[0] == '/');
    /* "/" alone has no segments. */
    for (p++; *p;) {
        size_t len = strcspn(p, "/");
        assert(e->n < PATTERN_SEGMENTS_MAX);
        struct segment *s = &e->segments[e->n];
        *s = compile_segment(BYTES(p, len));
        params += s->kind != SEGMENT_LITERAL;
        if (s->kind == SEGMENT_GREEDY) {
            assert(e->greedy < 0); /* two greedy ones would have to guess */
            e->greedy = (int)e->n;
        }
        e->n++;
        p += len;
        p += *p == '/';
    }
    assert(params <= HTTP_PARAMS_MAX);
    if (e->greedy >= 0 && (unsigned)e->greedy + 1 < e->n) {
        e->segments[e->greedy].kind = SEGMENT_GREEDY_INNER;
    }
}

/* Order of precedence; 0 = the same shape: both match the same paths. */
static int compare(const struct entry *a, const struct entry *b)
{
    for (unsigned i = 0; i < a->n && i < b->n; i++) {
        const struct segment *x = &a->segments[i];
        const struct segment *y = &b->segments[i];
        if (x->kind != y->kind) {
            return x->kind < y->kind ? -1 : 1;
        }
        if (x->kind == SEGMENT_GREEDY_INNER && a->n != b->n) {
            return a->n > b->n ? -1 : 1;
        }
        if (x->kind == SEGMENT_LITERAL && !bytes_equal(x->text, y->text)) {
            int r = memcmp(x->text.data, y->text.data, MIN(x->text.len, y->text.len));
            return r != 0 ? r : x->text.len > y->text.len ? -1 : 1;
        }
    }
    return a->n == b->n ? 0 : a->n > b->n ? -1 : 1;
}

static void insert(struct http_router *r, const struct entry *e)
{
    unsigned at = 0;
    while (at < r->n && compare(&r->entries[at], e) <= 0) {
        /* The same shape and method twice: which one was meant? */
        assert(compare(&r->entries[at], e) != 0 ||
               r->entries[at].route->method != e->route->method);
        at++;
    }
    r->entries = mem_realloc(r->entries, (r->n + 1) * sizeof(*e));
    memmove(r->entries + at + 1, r->entries + at, (r->n - at) * sizeof(*e));
    r->entries[at] = *e;
    r->n++;
}

struct http_router *http_router_new(void)
{
    return mem_new(struct http_router);
}

void http_router_add(struct http_router *r, const struct http_route *routes, unsigned n, void *user)
{
    for (unsigned i = 0; i < n; i++) {
        struct entry e = {.route = &routes[i], .user = user};
        assert(routes[i].method < HTTP_METHOD_N && routes[i].handle);
        compile(&e);
        insert(r, &e);
    }
}

struct http_router *http_router_free(struct http_router *r)
{
    if (r) {
        free(r->entries);
        free(r);
    }
    return NULL;
}

void http_router_each(const struct http_router *r,
                      void (*each)(void *arg, const struct http_route *route), void *arg)
{
    for (unsigned i = 0; i < r->n; i++) {
        each(arg, r->entries[i].route);
    }
}

/* ---- matching ---- */

/* Returns the number of segments, or negative when no pattern can match: too many, or an empty one. */
static int split(struct bytes path, struct bytes segments[HTTP_SEGMENTS_MAX])
{
    const uint8_t *p = path.data + 1;
    const uint8_t *end = path.data + path.len;
    int n = 0;
    if (p == end) {
        return 0;
    }
    for (;;) {
        const uint8_t *slash = memchr(p, '/', (size_t)(end - p));
        const uint8_t *stop = slash ? slash : end;
        if (stop == p || n == HTTP_SEGMENTS_MAX) {
            return -ENOENT;
        }
        segments[n++] = BYTES(p, (size_t)(stop - p));
        if (!slash) {
            return n;
        }
        p = slash + 1;
        if (p == end) {
            return -ENOENT;
        }
    }
}

static bool match(const struct entry *e, const struct bytes *path, unsigned n)
{
    if (e->greedy >= 0 ? n < e->n : n != e->n) {
        return false;
    }
    unsigned more = n - e->n; /* segments that the greedy one takes beyond its first */
    for (unsigned i = 0; i < e->n; i++) {
        unsigned at = e->greedy >= 0 && i > (unsigned)e->greedy ? i + more : i;
        if (e->segments[i].kind == SEGMENT_LITERAL && !bytes_equal(e->segments[i].text, path[at])) {
            return false;
        }
    }
    return true;
}

static void take_params(const struct entry *e, const struct bytes *path, unsigned n,
                        struct http_match *ret)
{
    unsigned more = n - e->n;
    for (unsigned i = 0; i < e->n; i++) {
        bool after = e->greedy >= 0 && i > (unsigned)e->greedy;
        struct bytes value = path[after ? i + more : i];
        if (e->segments[i].kind == SEGMENT_LITERAL) {
            continue;
        }
        if ((int)i == e->greedy) {
            struct bytes last = path[i + more];
            value.len = (size_t)(last.data + last.len - value.data);
        }
        ret->params[ret->n_params++] = (struct http_param){e->segments[i].text, value};
    }
}

void http_router_match(const struct http_router *r, enum http_method method, struct bytes path,
                       struct http_match *ret)
{
    struct bytes segments[HTTP_SEGMENTS_MAX];
    const struct entry *shape = NULL;
    const struct entry *found = NULL;
    const struct entry *get = NULL;
    int n = split(path, segments);

    ret->route = NULL;
    ret->user = NULL;
    ret->allow = 0;
    ret->n_params = 0;
    if (n < 0) {
        return;
    }
    for (unsigned i = 0; i < r->n; i++) {
        const struct entry *e = &r->entries[i];
        if (shape && compare(shape, e) != 0) {
            break;
        }
        if (!shape && !match(e, segments, (unsigned)n)) {
            continue;
        }
        shape = e;
        ret->allow |= 1u << e->route->method;
        found = e->route->method == method ? e : found;
        get = e->route->method == HTTP_GET ? e : get;
    }
    if (!found && method == HTTP_HEAD) {
        found = get;
    }
    if (found) {
        ret->route = found->route;
        ret->user = found->user;
        take_params(found, segments, (unsigned)n, ret);
    }
}
