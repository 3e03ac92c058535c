/* SPDX-License-Identifier: Apache-2.0 */
#include "app/serve_metrics.h"

#include "base/mem.h"
#include "io/proc.h"
#include "protocol/mse/mse.h"

struct gauges {
    const char *protocol;
    struct rtmp_server_gauges g;
};

static void put_counter(struct metrics_page *page, const struct gauges *all, unsigned n,
                        const char *name, const char *help, size_t offset)
{
    metrics_family(page, name, METRIC_COUNTER, help);
    for (unsigned i = 0; i < n; i++) {
        const char *const labels[] = {"protocol", all[i].protocol, NULL};
        metrics_value(page, labels, (double)*(const uint64_t *)((const char *)&all[i].g + offset));
    }
}

static void put_rtmp(struct metrics_page *page, const struct gauges *all, unsigned n)
{
    metrics_family(page, "mast_rtmp_sessions", METRIC_GAUGE,
                   "RTMP sessions by protocol and state.");
    for (unsigned i = 0; i < n; i++) {
        for (unsigned state = 0; state < RTMP_SERVER_STATE_N; state++) {
            const char *const labels[] = {"protocol", all[i].protocol, "state",
                                          rtmp_server_state_to_str(state), NULL};
            metrics_value(page, labels, (double)all[i].g.sessions[state]);
        }
    }
    put_counter(page, all, n, "mast_rtmp_sessions_total", "RTMP connections that were accepted.",
                offsetof(struct rtmp_server_gauges, sessions_total));
    put_counter(page, all, n, "mast_rtmp_dropped_total",
                "RTMP sessions ended by us: errors, deadlines, refusals.",
                offsetof(struct rtmp_server_gauges, dropped_total));
    put_counter(page, all, n, "mast_rtmp_received_bytes_total",
                "Bytes received on RTMP connections.",
                offsetof(struct rtmp_server_gauges, bytes_in_total));
    put_counter(page, all, n, "mast_rtmp_sent_bytes_total", "Bytes sent on RTMP connections.",
                offsetof(struct rtmp_server_gauges, bytes_out_total));
}

static void put_hls(struct metrics_page *page, const struct hls_server *server)
{
    struct hls_gauges g;
    hls_server_gauges(server, &g);
    metrics_single(page, "mast_hls_streams", METRIC_GAUGE, "Streams that are read for HLS.",
                   (double)g.streams);
    metrics_single(page, "mast_hls_readers", METRIC_GAUGE,
                   "HLS players, estimated by address and agent.", (double)g.readers);
    metrics_single(page, "mast_hls_waiting", METRIC_GAUGE,
                   "HLS requests that wait for a part or a stream.", (double)g.waiting);
    metrics_single(page, "mast_hls_requests_total", METRIC_COUNTER, "HLS requests.",
                   (double)g.requests_total);
}

void serve_metrics(void *user, struct metrics_page *page)
{
    const struct serve_counters *c = user;
    struct gauges all[2];
    unsigned n = 0;
    const struct {
        const char *protocol;
        const struct rtmp_server *server;
    } servers[] = {{"rtmp", c->rtmp}, {"rtmps", c->rtmps}};
    for (unsigned i = 0; i < ARRAY_LEN(servers); i++) {
        if (servers[i].server) {
            all[n].protocol = servers[i].protocol;
            rtmp_server_gauges(servers[i].server, &all[n].g);
            n++;
        }
    }
    put_rtmp(page, all, n);
    metrics_single(page, "mast_http_connections", METRIC_GAUGE, "HTTP and WebSocket connections.",
                   (double)http_server_live(c->http));
    metrics_single(page, "mast_http2_connections", METRIC_GAUGE, "Those of them that speak HTTP/2.",
                   (double)http_server_live_http2(c->http));
    metrics_single(page, "mast_mse_sessions", METRIC_GAUGE, "MSE sessions.", (double)mse_live());
    if (c->hls) {
        put_hls(page, c->hls);
    }
    metrics_single(page, "mast_children", METRIC_GAUGE, "Child processes that are not reaped.",
                   proc_live());
    metrics_source_done(page);
}
