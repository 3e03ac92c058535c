/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends to whom: what a relay reads, what OBS publishes to, where Janus takes RTP. */
#include "service/broadcast/broadcast_private.h"

#include "base/mem.h"
#include "base/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

void broadcast_input_done(struct broadcast_input *in)
{
    free(in->url);
    free(in->shown);
    free(in->path);
    *in = (struct broadcast_input){0};
}

/* ---- what a relay reads ---- */

/* The credentials of the fields win over those in the URL. */
static char *camera_url(const struct rtsp_camera *c, struct error *err)
{
    _cleanup_(out_done) struct out o = {0};
    struct url u;
    if (url_parse(c->url, &u, err) < 0) {
        return NULL;
    }
    if (c->username) {
        free(u.user);
        u.user = mem_strdup(c->username);
    }
    if (c->password) {
        free(u.password);
        u.password = mem_strdup(c->password);
    }
    url_format(&u, &o);
    url_done(&u);
    return out_take_str(&o);
}

/* Our own RTMP server. */
static int own_input(const struct broadcast *b, struct broadcast_input *ret, struct error *err)
{
    const char *rtmp = b->service->config.ingest.rtmp;
    if (!rtmp) {
        return error_set(err, -ENOTSUP, "stream", "needs the RTMP server here, which is off");
    }
    ret->path = broadcast_stream_path(b);
    ret->url = mem_printf("%s/%s", rtmp, ret->path);
    ret->shown = mem_printf("stream %s", ret->path);
    return 0;
}

int broadcast_input(const struct broadcast *b, struct broadcast_input *ret, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    *ret = (struct broadcast_input){0};
    if (broadcast_relay_now(b) != broadcast_request_relay(q) && b->service->config.ingest.rtmp) {
        /* In place of builtin, whose stream is here, pulled or not. Without an RTMP server it is read where it comes from. */
        return own_input(b, ret, err);
    }
    if (q->gstreamer_pipeline) {
        ret->shown = mem_strdup("a pipeline of the caller's own");
    } else if (q->input_url) {
        ret->url = mem_strdup(q->input_url);
        ret->shown = url_redact(q->input_url, URL_MASK_TAIL);
    } else if (q->source_kind == BROADCAST_RTSP_CAMERA) {
        ret->url = camera_url(q->rtsp_camera, err);
        if (!ret->url) {
            error_prefix(err, "rtsp_camera");
            return -EINVAL;
        }
        ret->shown = url_redact(q->rtsp_camera->url, URL_MASK_KEYS);
    } else if (q->srs && q->source_kind != BROADCAST_STREAM) {
        ret->url = srs_ingest_publish_url(q->srs, false);
        ret->shown = srs_ingest_publish_url(q->srs, true);
    } else {
        return own_input(b, ret, err);
    }
    return 0;
}

char *broadcast_grant(const struct broadcast *b, const char *path, bool publish)
{
    const struct broadcast_ingest *own = &b->service->config.ingest;
    return own->grant ? own->grant(own->user, path, publish) : NULL;
}

void broadcast_ungrant(const struct broadcast *b, char *grant)
{
    const struct broadcast_ingest *own = &b->service->config.ingest;
    if (grant && own->ungrant) {
        own->ungrant(own->user, grant);
    }
    if (grant) {
        explicit_bzero(grant, strlen(grant));
    }
    free(grant);
}

/* ---- what OBS publishes to ---- */

/* OBS wants an application; Mast passes over that of Adobe. */
static void split_path(const char *rtmp, const char *path, struct broadcast_target *ret)
{
    const char *slash = strrchr(path, '/');
    const char *grant = ret->grant ? ret->grant : "";
    if (slash) {
        ret->server = mem_printf("%s/%.*s", rtmp, (int)(slash - path), path);
    } else {
        ret->server = mem_printf("%s/_definst_", rtmp);
    }
    ret->key = mem_printf("%s%s%s", slash ? slash + 1 : path, grant[0] ? "?" : "", grant);
}

int broadcast_target(const struct broadcast *b, struct broadcast_target *ret, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    const char *rtmp = b->service->config.ingest.rtmp;
    *ret = (struct broadcast_target){0};
    if (q->srs) {
        ret->server = srs_ingest_server(q->srs);
        ret->key = mem_strdup(q->srs->stream_key);
        return 0;
    }
    if (!rtmp) {
        return error_set(err, -ENOTSUP, "stream", "needs the RTMP server here, which is off");
    }
    _cleanup_free_ char *path = broadcast_stream_path(b);
    ret->grant = broadcast_grant(b, path, true);
    split_path(rtmp, path, ret);
    return 0;
}

void broadcast_target_done(const struct broadcast *b, struct broadcast_target *t)
{
    if (t->key) {
        explicit_bzero(t->key, strlen(t->key));
    }
    free(t->server);
    free(t->key);
    broadcast_ungrant(b, t->grant);
    *t = (struct broadcast_target){0};
}

/* ---- where Janus takes RTP ---- */

static bool is_numeric(const char *host)
{
    struct in_addr in;
    struct in6_addr in6;
    return inet_pton(AF_INET, host, &in) == 1 || inet_pton(AF_INET6, host, &in6) == 1;
}

/* NULL: its URL is none, which connecting will tell. */
static char *server_host(const struct broadcast *b)
{
    const struct janus_server_config *server;
    struct url u;
    if (janus_servers_find(b->service->config.janus, b->record.result.request.janus, &server,
                           NULL) < 0 ||
        url_parse(server->url, &u, NULL) < 0) {
        return NULL;
    }
    char *host = mem_strdup(strcmp(u.host, "localhost") == 0 ? "127.0.0.1" : u.host);
    url_done(&u);
    return host;
}

static int guard_host(const struct broadcast *b, const char *host, struct error *err)
{
    const struct net_guard *guard = b->service->config.guard;
    int r = guard ? net_guard_check_host(guard, host, err) : 0;
    if (r < 0) {
        error_prefix(err, "host");
    }
    return r;
}

int broadcast_rtp_host(const struct broadcast *b, char **ret, struct error *err)
{
    const struct broadcast_request *q = &b->record.result.request;
    bool relay = broadcast_request_relay(q) != BROADCAST_RELAY_NONE && !q->gstreamer_pipeline;
    if (!relay) {
        /* From one plugin to the other. */
        *ret = mem_strdup(q->host ? q->host : "127.0.0.1");
        return 0;
    }
    _cleanup_free_ char *server = server_host(b);
    const char *host = q->host ? q->host : server ? server : "";
    if (!is_numeric(host)) {
        return error_set(err, -EINVAL, "host",
                         q->host ? "must be a numeric address: relays resolve no names"
                                 : "is needed: the Janus server is known by a name, and relays "
                                   "want a numeric address");
    }
    /* Where the administrator has put Janus needs no further leave. */
    if (!server || strcmp(host, server) != 0) {
        int r = guard_host(b, host, err);
        if (r < 0) {
            return r;
        }
    }
    *ret = mem_strdup(host);
    return 0;
}
