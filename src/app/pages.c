/* SPDX-License-Identifier: Apache-2.0 */
#include "app/pages.h"

#include "app/where.h"
#include "base/mem.h"
#include "engine/stream.h"
#include "io/http_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct pages {
    char *dir;
    int fd;          /* of dir: every file is opened beneath it */
    char hsts[48];   /* the header's value; "" = none */
    char *embed_csp; /* of a player in somebody's frame */
};

/* Nothing from elsewhere, nothing inline; MSE plays blob: URLs; the WebSocket is on the page's own host. Who may frame
 * it stands last, so that more can be added. */
static const char csp[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self' ws: wss:; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

static const struct {
    const char *suffix;
    const char *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".json", "application/json"},
    {".woff2", "font/woff2"},
    {".webmanifest", "application/manifest+json"},
};

static const char *content_type(const char *name)
{
    size_t n = strlen(name);
    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        size_t m = strlen(types[i].suffix);
        if (n > m && strcmp(name + n - m, types[i].suffix) == 0) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

struct pages *pages_open(const char *dir, struct error *err)
{
    _cleanup_free_ char *found = dir ? mem_strdup(dir) : where_web_dir();
    if (!found) {
        error_set(err, -ENOENT, "http.web_dir",
                  "the page's files are not installed and not built (make web)");
        return NULL;
    }
    int fd = open(found, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || faccessat(fd, "index.html", R_OK, 0) < 0) {
        error_set(err, -errno, "http.web_dir", "no index.html can be read in %s", found);
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    struct pages *p = mem_new(struct pages);
    p->dir = TAKE_PTR(found);
    p->fd = fd;
    return p;
}

void pages_set_hsts(struct pages *p, int64_t seconds)
{
    p->hsts[0] = '\0';
    if (seconds > 0) {
        snprintf(p->hsts, sizeof(p->hsts), "max-age=%lld", (long long)seconds);
    }
}

void pages_set_embed(struct pages *p, char *const *origins, size_t n)
{
    _cleanup_(out_done) struct out o = {0};
    out_puts(&o, csp);
    for (size_t i = 0; i < n; i++) {
        out_printf(&o, " %s", origins[i]);
    }
    free(p->embed_csp);
    p->embed_csp = mem_strdup(out_str(&o));
}

struct pages *pages_close(struct pages *p)
{
    if (p) {
        close(p->fd);
        free(p->embed_csp);
        free(p->dir);
        free(p);
    }
    return NULL;
}

const char *pages_dir(const struct pages *p)
{
    return p->dir;
}

static void not_found(struct http_reply *reply, const char *what)
{
    struct error err = {0};
    error_set(&err, -ENOENT, "path", "there is no %s", what);
    http_reply_problem(reply, 404, "not-found", &err);
}

/* A name is refused when a segment starts with a dot: no way up, no hidden file. (The router has decoded it.) */
static bool name_is_plain(const char *name)
{
    bool at_start = true;
    for (const char *c = name; *c; c++) {
        if (at_start && (*c == '.' || *c == '/')) {
            return false;
        }
        at_start = *c == '/';
    }
    return *name != '\0' && !at_start;
}

static int open_file(const struct pages *p, const char *name)
{
    struct stat st;
    int fd = openat(p->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The build of the page packs its files once (web/vite.config.ts); without that they are sent as they are. */
static int open_packed(const struct pages *p, struct http_request *req, const char *name)
{
    _cleanup_free_ char *packed = mem_printf("%s.gz", name);
    bool accepted = http_accepts_gzip(http_request_header(req, "Accept-Encoding"));
    return accepted ? open_file(p, packed) : -1;
}

static void send_file(struct pages *p, struct http_request *req, struct http_reply *reply,
                      const char *name, const char *cache, const char *policy)
{
    bool plain = name_is_plain(name);
    int packed = plain ? open_packed(p, req, name) : -1;
    int fd = packed >= 0 || !plain ? packed : open_file(p, name);
    if (fd < 0) {
        not_found(reply, "such file");
        return;
    }
    http_reply_header(reply, "Vary", "Accept-Encoding");
    if (packed >= 0) {
        http_reply_header(reply, "Content-Encoding", "gzip");
    }
    http_reply_header(reply, "X-Content-Type-Options", "nosniff");
    http_reply_header(reply, "Content-Security-Policy", policy);
    http_reply_header(reply, "Referrer-Policy", "no-referrer");
    if (p->hsts[0] && http_request_is_tls(req)) {
        http_reply_header(reply, "Strict-Transport-Security", p->hsts);
    }
    http_reply_file(reply, fd, content_type(name), cache);
}

static void handle_index(void *user, struct http_request *req, struct http_reply *reply)
{
    send_file(user, req, reply, "index.html", "no-cache", csp);
}

static void handle_stream_page(void *user, struct http_request *req, struct http_reply *reply)
{
    const char *path = http_request_param(req, "path");
    if (stream_path_check_read(path, NULL) < 0) {
        not_found(reply, "such page");
        return;
    }
    /* The document is the same whether somebody publishes or not: it waits for the stream itself. */
    struct pages *p = user;
    char embed[8];
    bool framed = p->embed_csp && http_request_query_get(req, "embed", embed, sizeof(embed));
    send_file(p, req, reply, "index.html", "no-cache", framed ? p->embed_csp : csp);
}

static void handle_asset(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_free_ char *name = mem_printf("assets/%s", http_request_param(req, "name"));
    send_file(user, req, reply, name, "public, max-age=31536000, immutable", csp);
}

static void handle_root_file(void *user, struct http_request *req, struct http_reply *reply)
{
    send_file(user, req, reply, http_request_path(req) + 1, "public, max-age=3600", csp);
}

const struct http_route pages_routes[] = {
    {.method = HTTP_GET, .kind = HTTP_ROUTE_MEDIA, .pattern = "/", .handle = handle_index},
    {.method = HTTP_GET,
     .kind = HTTP_ROUTE_MEDIA,
     .pattern = "/assets/{name+}",
     .handle = handle_asset},
    {.method = HTTP_GET,
     .kind = HTTP_ROUTE_MEDIA,
     .pattern = "/favicon.ico",
     .handle = handle_root_file},
    {.method = HTTP_GET,
     .kind = HTTP_ROUTE_MEDIA,
     .pattern = "/favicon.svg",
     .handle = handle_root_file},
    {.method = HTTP_GET,
     .kind = HTTP_ROUTE_MEDIA,
     .pattern = "/{path+}",
     .handle = handle_stream_page},
};
const unsigned pages_routes_n = ARRAY_LEN(pages_routes);
