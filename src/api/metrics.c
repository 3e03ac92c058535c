/* SPDX-License-Identifier: Apache-2.0 */
#include "api/metrics.h"

#include "base/mem.h"
#include "io/http_doc.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>

#define SOURCES_MAX 16

struct metrics {
    unsigned n;
    struct {
        metrics_source_fn fn;
        void *user;
    } sources[SOURCES_MAX];
};

/* One answer in the making; sources fill it in turn. */
struct metrics_page {
    struct metrics *metrics;
    struct http_reply *reply;
    struct out text;
    const char *family;
    unsigned next; /* source */
    bool stepping; /* the loop in step() runs: a source that finishes at once must not recurse */
    bool ready;    /* the running source is done */
};

struct metrics *metrics_new(void)
{
    return mem_new(struct metrics);
}

struct metrics *metrics_free(struct metrics *m)
{
    free(m);
    return NULL;
}

void metrics_add(struct metrics *m, metrics_source_fn source, void *user)
{
    assert(m->n < SOURCES_MAX);
    m->sources[m->n].fn = source;
    m->sources[m->n].user = user;
    m->n++;
}

void metrics_family(struct metrics_page *page, const char *name, enum metric_type type,
                    const char *help)
{
    static const char *const types[METRIC_TYPE_N] = {"gauge", "counter"};
    out_printf(&page->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
    page->family = name;
}

static void put_label_value(struct out *o, const char *s)
{
    for (; *s; s++) {
        if (*s == '\n') {
            out_puts(o, "\\n");
            continue;
        }
        if (*s == '"' || *s == '\\') {
            out_u8(o, '\\');
        }
        out_u8(o, (uint8_t)*s);
    }
}

void metrics_value(struct metrics_page *page, const char *const labels[], double value)
{
    struct out *o = &page->text;
    out_puts(o, page->family);
    for (unsigned i = 0; labels && labels[i]; i += 2) {
        out_printf(o, "%s%s=\"", i == 0 ? "{" : ",", labels[i]);
        put_label_value(o, labels[i + 1]);
        out_u8(o, '"');
    }
    if (labels && labels[0]) {
        out_u8(o, '}');
    }
    /* Counters are whole numbers: written so, they stay exact up to 2^53. */
    if (value == floor(value) && fabs(value) < 9007199254740992.0) {
        out_printf(o, " %lld\n", (long long)value);
    } else {
        out_printf(o, " %.9g\n", value);
    }
}

void metrics_single(struct metrics_page *page, const char *name, enum metric_type type,
                    const char *help, double value)
{
    metrics_family(page, name, type, help);
    metrics_value(page, NULL, value);
}

static void finish(struct metrics_page *page)
{
    struct buf *body = buf_copy(out_view(&page->text));
    http_reply_send(page->reply, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
    out_done(&page->text);
    free(page);
}

static void step(struct metrics_page *page)
{
    page->stepping = true;
    while (page->next < page->metrics->n) {
        unsigned i = page->next++;
        page->ready = false;
        page->metrics->sources[i].fn(page->metrics->sources[i].user, page);
        if (!page->ready) {
            page->stepping = false;
            return;
        }
    }
    finish(page);
}

void metrics_source_done(struct metrics_page *page)
{
    page->ready = true;
    if (!page->stepping) {
        step(page);
    }
}

static void handle_metrics(void *user, struct http_request *req, struct http_reply *reply)
{
    struct metrics_page *page = mem_new(struct metrics_page);
    page->metrics = user;
    page->reply = reply;
    step(page);
}

static const struct http_route_doc metrics_doc = {
    .text =
        "Text format 0.0.4. docs/metrics.md lists the metrics. A token needs the action `metrics` or `api`.",
    .reply_type = "text/plain",
    .reply_text = "The metrics",
};

const struct http_route metrics_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/metrics",
        .handle = handle_metrics,
        .summary = "Metrics in the Prometheus text format",
        .doc = &metrics_doc,
        .scope = "read",
    },
};
const unsigned metrics_routes_n = ARRAY_LEN(metrics_routes);
