/* SPDX-License-Identifier: Apache-2.0 */
#include "api/system.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/model.h"
#include "io/http_doc.h"

#include <mast/version.h>

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

struct version_view {
    char *version;
    int64_t pid;
    int64_t started;
    char *libuv;
    char *openssl;
    char *sqlite;
    char *curl;
};

static const struct model_field version_fields[] = {
    MODEL_STRING(struct version_view, version, .doc = "Of Mast."),
    MODEL_INT(struct version_view, pid, .doc = "Process id."),
    MODEL_TIME(struct version_view, started, .doc = "When this process began to serve."),
    MODEL_STRING(struct version_view, libuv, .doc = "Version of the library."),
    MODEL_STRING(struct version_view, openssl, .doc = "Version of the library."),
    MODEL_STRING(struct version_view, sqlite, .doc = "Version of the library."),
    MODEL_STRING(struct version_view, curl, .doc = "Version of the library."),
};
static const struct model version_model =
    MODEL("Version", struct version_view, version_fields, .unknown = MODEL_IGNORE);

static void write_version(int64_t started_wall_ns, struct json *j)
{
    struct version_view v = {
        .version = (char *)mast_version(),
        .pid = getpid(),
        .started = started_wall_ns,
        .libuv = (char *)uv_version_string(),
        .openssl = (char *)OpenSSL_version(OPENSSL_VERSION_STRING),
        .sqlite = (char *)sqlite3_libversion(),
        .curl = (char *)curl_version_info(CURLVERSION_NOW)->version,
    };
    (void)model_write(&version_model, &v, NULL, j);
}

void system_version_write(struct json *j)
{
    write_version(0, j);
}

static void handle_version(void *user, struct http_request *req, struct http_reply *reply)
{
    const struct system_state *s = user;
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    write_version(s->started_wall_ns, &j);
    struct buf *body = buf_copy(out_view(&o));
    http_reply_send(reply, 200, "application/json", &body);
}

static void send_text(struct http_reply *reply, int status, const char *text)
{
    struct buf *body = buf_from_str(text);
    http_reply_header(reply, "Cache-Control", "no-store");
    http_reply_send(reply, status, "text/plain; charset=utf-8", &body);
}

static void handle_healthz(void *user, struct http_request *req, struct http_reply *reply)
{
    /* That the control loop answers is the whole statement. */
    send_text(reply, 200, "ok\n");
}

static void handle_readyz(void *user, struct http_request *req, struct http_reply *reply)
{
    const struct system_state *s = user;
    send_text(reply, s->ready ? 200 : 503, s->ready ? "ready\n" : "starting or ending\n");
}

static const struct http_route_doc version_doc = {.reply_text = "Versions"};
static const struct http_route_doc healthz_doc = {
    .text = "For a supervisor: restart the server when it does not answer.",
    .reply_type = "text/plain",
    .reply_text = "ok",
};
static const struct http_route_doc readyz_doc = {
    .text =
        "For a load balancer: send nobody here while it is 503, at the start and while it ends.",
    .reply_type = "text/plain",
    .reply_text = "ready",
};

const struct http_route system_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/version",
        .handle = handle_version,
        .summary = "What runs here",
        .doc = &version_doc,
        .reply_model = &version_model,
        .scope = "read",
    },
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/healthz",
        .handle = handle_healthz,
        .summary = "200 while the control loop answers",
        .doc = &healthz_doc,
    },
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/readyz",
        .handle = handle_readyz,
        .summary = "200 when every listener is up",
        .doc = &readyz_doc,
    },
};
const unsigned system_routes_n = ARRAY_LEN(system_routes);

static uint64_t resident_bytes(void)
{
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) { /* NOLINT(concurrency-mt-unsafe): the stream is this call's own */
        n++;
    }
    if (d) {
        closedir(d);
    }
    /* ".", ".." and the stream itself are not ours. */
    return n > 3 ? n - 3 : 0;
}

void system_usage_read(struct system_usage *ret)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    *ret = (struct system_usage){
        .cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
        .resident_bytes = resident_bytes(),
        .open_fds = open_fds(),
    };
}

static void put_loops(const struct system_state *s, struct metrics_page *page)
{
    metrics_family(page, "mast_loop_busy_ratio", METRIC_GAUGE,
                   "Share of the last second that a media loop worked.");
    for (unsigned i = 0; i < s->n_loops; i++) {
        const char *const labels[] = {"loop", loop_name(s->loops[i]), NULL};
        metrics_value(page, labels, loop_busy_permille(s->loops[i]) / 1000.0);
    }
}

void system_metrics(void *user, struct metrics_page *page)
{
    const struct system_state *s = user;
    struct system_usage usage;
    system_usage_read(&usage);
    metrics_family(page, "mast_build_info", METRIC_GAUGE, "1, with the version as a label.");
    const char *const labels[] = {"version", mast_version(), NULL};
    metrics_value(page, labels, 1);
    metrics_single(page, "mast_start_time_seconds", METRIC_GAUGE,
                   "When the process started, since 1970.", (double)s->started_wall_ns / 1e9);
    metrics_single(page, "mast_cpu_seconds_total", METRIC_COUNTER,
                   "CPU time used, user and system.", usage.cpu_seconds);
    metrics_single(page, "mast_resident_memory_bytes", METRIC_GAUGE, "Resident memory.",
                   (double)usage.resident_bytes);
    metrics_single(page, "mast_open_fds", METRIC_GAUGE, "Open file descriptors.", usage.open_fds);
    metrics_single(page, "mast_buffers", METRIC_GAUGE, "Shared buffers alive.",
                   (double)buf_live_count());
    metrics_single(page, "mast_buffer_bytes", METRIC_GAUGE, "Bytes in shared buffers.",
                   (double)buf_live_bytes());
    put_loops(s, page);
    metrics_source_done(page);
}
