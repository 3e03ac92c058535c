/* SPDX-License-Identifier: Apache-2.0 */
#include "service/stream/stream_routes.h"

#include "api/reply.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "service/stream/stream_view.h"

#include <errno.h>
#include <stdio.h>

struct kick_body {
    char *session;
};

static const struct model_field kick_fields[] = {
    MODEL_STRING(struct kick_body, session, .def = "all", .max = 40,
                 .doc = "A session's id, or publisher, readers or all."),
};
static const struct model kick_model = MODEL("Kick", struct kick_body, kick_fields);

static void send_not_found(struct http_reply *reply, const char *what)
{
    struct error err = {0};
    error_set(&err, -ENOENT, "path", "%s", what);
    http_reply_problem(reply, 404, "not-found", &err);
}

static void on_list(void *user, const struct stream_info *list, unsigned n)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    stream_list_write(list, n, &j);
    reply_json(user, 200, &o);
}

static void handle_list(void *user, struct http_request *req, struct http_reply *reply)
{
    engine_list(user, on_list, reply);
}

static void on_show(void *user, const struct stream_info *info)
{
    if (!info) {
        send_not_found(user, "there is no stream of this name now");
        return;
    }
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    stream_view_write(info, &j);
    reply_json(user, 200, &o);
}

static void handle_show(void *user, struct http_request *req, struct http_reply *reply)
{
    engine_show(user, http_request_param(req, "path"), on_show, reply);
}

static void on_kicked(void *user, int r)
{
    if (r < 0) {
        send_not_found(user,
                       r == -ENOENT ? "there is no such stream or session now" : error_name(r));
        return;
    }
    http_reply_send(user, 204, NULL, NULL);
}

static void handle_kick(void *user, struct http_request *req, struct http_reply *reply)
{
    struct kick_body body;
    struct error err = {0};
    struct bytes json = http_request_body(req);
    int r = model_parse_json(&kick_model, &body, json.len ? json : BYTES_STR("{}"), NULL, &err);
    if (r < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
        return;
    }
    engine_kick(user, http_request_param(req, "path"), body.session, on_kicked, reply);
    model_done(&kick_model, &body);
}

static const struct http_doc_problem not_found[] = {
    {404, "not-found", "there is no stream of this name now"},
    {.status = 0},
};
static const struct http_doc_problem kick_problems[] = {
    {400, "invalid-body", "`field` says which part of the body"},
    {404, "not-found", "there is no such stream or session now"},
    {.status = 0},
};

static const struct http_route_doc list_doc = {
    .text =
        "Every stream that the server knows: on the air, or kept for a while because its publisher may return. "
        "`readers` is left out; ask for one stream to see them.",
    .reply_text = "The streams",
};
static const struct http_route_doc show_doc = {
    .text = "The tracks, the publisher, the first 1000 readers and how far each is behind.",
    .reply_text = "The stream",
    .problems = not_found,
};
static const struct http_route_doc kick_doc = {
    .text =
        "Ends one session by its id, or the publisher, or all readers, or all of them (the default). Nobody is kept "
        "from coming back: for that, delete the key or change the users.",
    .reply_text = "The sessions end",
    .body_optional = true,
    .body_example = "{\"session\":\"publisher\"}",
    .problems = kick_problems,
};

const struct http_route stream_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/streams",
        .handle = handle_list,
        .summary = "What is live, and what waits for its publisher",
        .doc = &list_doc,
        .reply_model = &stream_list_model,
        .scope = "read",
    },
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/streams/{path+}",
        .handle = handle_show,
        .summary = "One stream with its readers",
        .doc = &show_doc,
        .reply_model = &stream_view_model,
        .scope = "read",
    },
    {
        .method = HTTP_POST,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/streams/kick/{path+}",
        .handle = handle_kick,
        .max_body_bytes = 4096,
        .summary = "Ends sessions of a stream",
        .doc = &kick_doc,
        .body_model = &kick_model,
        .scope = "admin",
    },
};
const unsigned stream_routes_n = ARRAY_LEN(stream_routes);

/* ---- metrics ---- */

static void put_totals(struct engine *e, struct metrics_page *page)
{
    struct engine_gauges g;
    engine_gauges(e, &g);
    const struct {
        const char *name;
        enum metric_type type;
        const char *help;
        uint64_t value;
    } rows[] = {
        {"mast_streams", METRIC_GAUGE, "Streams known to the engine.", g.streams},
        {"mast_publishers", METRIC_GAUGE, "Publishers attached.", g.publishers},
        {"mast_readers", METRIC_GAUGE, "Readers attached.", g.readers},
        {"mast_replicas", METRIC_GAUGE, "Replicas of streams on media loops.", g.replicas},
        {"mast_samples", METRIC_GAUGE, "Samples held in memory.", g.samples},
        {"mast_media_memory_bytes", METRIC_GAUGE, "Media memory held.", g.bytes},
        {"mast_media_memory_max_bytes", METRIC_GAUGE, "Media memory budget.", g.memory_max_bytes},
        {"mast_publishes_total", METRIC_COUNTER, "Publishers that were attached.",
         g.publishes_total},
        {"mast_reads_total", METRIC_COUNTER, "Readers that were attached.", g.reads_total},
        {"mast_refused_total", METRIC_COUNTER, "Publishers and readers that were refused.",
         g.refused_total},
        {"mast_received_bytes_total", METRIC_COUNTER, "Media bytes received from publishers.",
         g.bytes_in_total},
        {"mast_sent_bytes_total", METRIC_COUNTER, "Bytes sent to readers.", g.bytes_out_total},
        {"mast_received_samples_total", METRIC_COUNTER, "Samples received from publishers.",
         g.samples_in_total},
        {"mast_dropped_samples_total", METRIC_COUNTER,
         "Samples not given to readers that were too slow.", g.samples_dropped_total},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        metrics_single(page, rows[i].name, rows[i].type, rows[i].help, (double)rows[i].value);
    }
}

static void put_per_stream(struct metrics_page *page, const struct stream_info *list, unsigned n,
                           const char *name, enum metric_type type, const char *help,
                           double (*value)(const struct stream_info *))
{
    metrics_family(page, name, type, help);
    for (unsigned i = 0; i < n; i++) {
        const char *const labels[] = {"path", list[i].path, NULL};
        metrics_value(page, labels, value(&list[i]));
    }
}

static double value_on_air(const struct stream_info *s)
{
    return s->on_air ? 1 : 0;
}

static double value_readers(const struct stream_info *s)
{
    return s->n_readers;
}

static double value_bytes_in(const struct stream_info *s)
{
    return (double)s->bytes_in;
}

static double value_bytes_out(const struct stream_info *s)
{
    return (double)s->bytes_out;
}

static double value_dropped(const struct stream_info *s)
{
    return (double)s->dropped;
}

static void on_metrics_list(void *user, const struct stream_info *list, unsigned n)
{
    struct metrics_page *page = user;
    put_per_stream(page, list, n, "mast_stream_on_air", METRIC_GAUGE, "1 while somebody publishes.",
                   value_on_air);
    put_per_stream(page, list, n, "mast_stream_readers", METRIC_GAUGE, "Readers of the stream.",
                   value_readers);
    put_per_stream(page, list, n, "mast_stream_received_bytes_total", METRIC_COUNTER,
                   "Media bytes received.", value_bytes_in);
    put_per_stream(page, list, n, "mast_stream_sent_bytes_total", METRIC_COUNTER,
                   "Bytes sent to its readers.", value_bytes_out);
    put_per_stream(page, list, n, "mast_stream_dropped_samples_total", METRIC_COUNTER,
                   "Samples not given to readers that were too slow.", value_dropped);
    metrics_source_done(page);
}

void stream_metrics(void *user, struct metrics_page *page)
{
    put_totals(user, page);
    engine_list(user, on_metrics_list, page);
}
