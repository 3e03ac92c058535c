/* SPDX-License-Identifier: Apache-2.0 */
#include "app/config.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/stream.h"
#include "io/net_guard.h"
#include "service/broadcast/broadcast.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

LOG_TOPIC(topic, "config");

#define FILE_MAX_BYTES (1u << 20)

static int check_address(const void *member, struct error *err)
{
    char *const *address = member;
    struct in6_addr ignored;
    if (inet_pton(AF_INET, *address, &ignored) == 1 ||
        inet_pton(AF_INET6, *address, &ignored) == 1) {
        return 0;
    }
    return error_set(
        err, -EINVAL, "",
        "'%s' is not an IP address (127.0.0.1 = this machine only, 0.0.0.0 or :: = everywhere)",
        *address);
}

static int check_log_level(const void *member, struct error *err)
{
    char *const *level = member;
    if (log_check(*level) < 0) {
        return error_set(
            err, -EINVAL, "",
            "'%s' is not a level (error, warn, info, debug, trace) nor a list as in info,rtmp=debug",
            *level);
    }
    return 0;
}

static int check_networks(const void *member, struct error *err)
{
    const MODEL_ARRAY(char *) *list = member;
    struct net_range ignored;
    int r = 0;
    for (size_t i = 0; r == 0 && i < list->len; i++) {
        r = net_range_parse(list->items[i], &ignored, err);
    }
    return r;
}

/* As browsers send them: a scheme, a host, a port that is not the scheme's own, and nothing behind. */
static int check_origins(const void *member, struct error *err)
{
    const MODEL_ARRAY(char *) *list = member;
    for (size_t i = 0; i < list->len; i++) {
        const char *origin = list->items[i];
        const char *host = strstr(origin, "://");
        if (strcmp(origin, "*") != 0 &&
            (!host || host == origin || strpbrk(host + 3, "/?#* ") || host[3] == '\0')) {
            return error_set(err, -EINVAL, "", "is no origin, such as https://www.example.org: %s",
                             origin);
        }
    }
    return 0;
}

/* They go into a header of ours, where a semicolon would begin something else. */
static int check_embedders(const void *member, struct error *err)
{
    const MODEL_ARRAY(char *) *list = member;
    for (size_t i = 0; i < list->len; i++) {
        for (const char *c = list->items[i]; *c; c++) {
            if (*c <= ' ' || *c >= 0x7f || strchr(";,'\"", *c)) {
                return error_set(err, -EINVAL, "",
                                 "is no origin, such as https://www.example.org: %s",
                                 list->items[i]);
            }
        }
    }
    return check_origins(member, err);
}

static int check_path(const void *member, struct error *err)
{
    char *const *path = member;
    return stream_path_check(*path, err);
}

static const struct model_field log_fields[] = {
    MODEL_STRING(
        struct config_log, level, .def = "info", .check = check_log_level,
        .doc = "error, warn, info, debug or trace; exceptions by topic follow: info,rtmp=debug."),
    MODEL_BOOL(struct config_log, json, .def = "false", .doc = "JSON lines instead of text."),
};
static const struct model log_model = MODEL("ConfigLog", struct config_log, log_fields);

static int check_pair(const char *certificate, const char *key, struct error *err)
{
    if ((certificate != NULL) != (key != NULL)) {
        return error_set(err, -EINVAL, key ? "certificate" : "key",
                         "certificate and key belong together");
    }
    return 0;
}

static int check_http_tls(void *obj, struct error *err)
{
    const struct config_http_tls *c = obj;
    return check_pair(c->certificate, c->key, err);
}

static const struct model_field http_tls_fields[] = {
    MODEL_BOOL(struct config_http_tls, enabled, .def = "false", .restart = true,
               .doc = "HTTPS and wss on the HTTP port."),
    MODEL_BOOL(
        struct config_http_tls, plain, .def = "false", .restart = true,
        .doc =
            "Plain HTTP is served on the same port as well; the first byte of a connection tells."),
    MODEL_STRING(
        struct config_http_tls, certificate, .example = "/etc/mast/tls.crt",
        .doc =
            "Certificate chain, PEM. Without one a self-made certificate is kept in the state folder."),
    MODEL_STRING(struct config_http_tls, key, .example = "/etc/mast/tls.key",
                 .doc = "Its private key, PEM."),
    MODEL_DURATION(
        struct config_http_tls, hsts, .def = "180d", .max = 63072000000000000, .restart = true,
        .doc =
            "How long browsers are told to come back with HTTPS only (HSTS); 0 = not at all. Never said with "
            "a self-made certificate, nor while plain HTTP is served."),
};
static const struct model http_tls_model =
    MODEL("ConfigHttpTls", struct config_http_tls, http_tls_fields, .check = check_http_tls);

static const struct model_field http_fields[] = {
    MODEL_STRING(
        struct config_http, address, .def = "127.0.0.1", .check = check_address,
        .doc =
            "Where the page, the API, MSE, HLS and the metrics listen. 127.0.0.1 is this machine only, 0.0.0.0 or :: everywhere."),
    MODEL_INT(struct config_http, port, .def = "8888",
              .doc = "Port of all that is HTTP; 0 = any free port."),
    MODEL_LIST_STRING(
        struct config_http, hosts, .comma = true, .max = 64, .example = "media.example.org",
        .doc =
            "Names this server is reached by, besides addresses and localhost. Requests for other names "
            "are refused, so that nobody else's name can be pointed here."),
    MODEL_LIST_STRING(
        struct config_http, trusted_proxies, .comma = true, .max = 64, .check = check_networks,
        .example = "127.0.0.1, 10.0.0.0/8",
        .doc =
            "Addresses and networks of your reverse proxies. Only theirs are X-Forwarded-For, X-Forwarded-Proto and "
            "Forwarded believed; from others these only end the rights of this machine."),
    MODEL_LIST_STRING(
        struct config_http, embed, .comma = true, .max = 32, .check = check_embedders,
        .restart = true, .example = "https://www.example.org",
        .doc =
            "Pages of other sites that may show the player in a frame (/<path>?embed); * = every one. This server's own always may."),
    MODEL_STRING(struct config_http, web_dir, .restart = true,
                 .doc = "The folder with the page's files. Found by itself when not given."),
    MODEL_INT(struct config_http, max_connections, .def = "50000", .min = 1, .max = 1000000,
              .restart = true, .doc = "Connections at once."),
    MODEL_INT(struct config_http, max_connections_per_address, .def = "0", .max = 1000000,
              .restart = true, .doc = "Connections at once from one peer address; 0 = no limit."),
    MODEL_STRUCT(struct config_http, tls, &http_tls_model, .doc = "HTTPS."),
};
static const struct model http_model = MODEL("ConfigHttp", struct config_http, http_fields);

static const struct model_field rtmp_fields[] = {
    MODEL_BOOL(struct config_rtmp, enabled, .def = "true", .restart = true,
               .doc = "RTMP, for OBS, ffmpeg, GStreamer, VLC."),
    MODEL_STRING(
        struct config_rtmp, address, .def = "127.0.0.1", .check = check_address,
        .doc = "Where RTMP listens: 127.0.0.1 is this machine only, 0.0.0.0 or :: everywhere."),
    MODEL_INT(struct config_rtmp, port, .def = "1935", .doc = "Port of RTMP; 0 = any free port."),
    MODEL_INT(struct config_rtmp, max_connections, .def = "50000", .min = 1, .max = 1000000,
              .restart = true, .doc = "Connections at once, RTMP and RTMPS each."),
    MODEL_INT(struct config_rtmp, max_connections_per_address, .def = "0", .max = 1000000,
              .restart = true, .doc = "Connections at once from one peer address; 0 = no limit."),
    MODEL_BOOL(
        struct config_rtmp, challenge, .def = "false", .restart = true,
        .doc =
            "Ask publishers for user and password the way Flash servers did: for OBS with 'use authentication', "
            "rtmp://user:password@ in ffmpeg, username and password in GStreamer. What has them behind the key only "
            "(key?user=..&pass=..) is then asked too, and fails. Of no effect without access.users."),
    MODEL_DURATION(struct config_rtmp, publisher_timeout, .def = "30s", .min = 1000000000,
                   .max = 3600000000000, .restart = true,
                   .doc = "A publisher that sends nothing for so long is dropped."),
    MODEL_DURATION(struct config_rtmp, reader_timeout, .def = "30s", .min = 1000000000,
                   .max = 3600000000000, .restart = true,
                   .doc = "A reader that takes nothing for so long is dropped."),
};
static const struct model rtmp_model = MODEL("ConfigRtmp", struct config_rtmp, rtmp_fields);

static int check_rtmps(void *obj, struct error *err)
{
    const struct config_rtmps *c = obj;
    return check_pair(c->certificate, c->key, err);
}

static const struct model_field rtmps_fields[] = {
    MODEL_BOOL(struct config_rtmps, enabled, .def = "true", .restart = true,
               .doc = "RTMP over TLS."),
    MODEL_STRING(
        struct config_rtmps, address, .def = "127.0.0.1", .check = check_address,
        .doc = "Where RTMPS listens: 127.0.0.1 is this machine only, 0.0.0.0 or :: everywhere."),
    MODEL_INT(struct config_rtmps, port, .def = "1936", .doc = "Port of RTMPS; 0 = any free port."),
    MODEL_STRING(
        struct config_rtmps, certificate, .example = "/etc/mast/tls.crt",
        .doc =
            "Certificate chain, PEM. Without one a self-made certificate is kept in the state folder."),
    MODEL_STRING(struct config_rtmps, key, .example = "/etc/mast/tls.key",
                 .doc = "Its private key, PEM."),
};
static const struct model rtmps_model =
    MODEL("ConfigRtmps", struct config_rtmps, rtmps_fields, .check = check_rtmps);

static const struct model_field hls_fields[] = {
    MODEL_BOOL(struct config_hls, enabled, .def = "true", .restart = true,
               .doc = "HLS and LL-HLS at /PATH/index.m3u8, on the HTTP port."),
    MODEL_DURATION(
        struct config_hls, segment, .def = "2s", .min = 1000000000, .max = 10000000000,
        .restart = true,
        .doc =
            "A segment ends at the first key frame after so long; let encoders make one as often, or twice."),
    MODEL_DURATION(struct config_hls, part, .def = "300ms", .min = 100000000, .max = 1000000000,
                   .restart = true,
                   .doc = "Parts of segments, for low latency, are at most so long."),
    MODEL_INT(struct config_hls, segments, .def = "8", .min = 4, .max = 1000, .restart = true,
              .doc = "Segments in a playlist; they are kept for twice as long."),
    MODEL_SIZE(
        struct config_hls, memory_max, .def = "128MiB", .min = 1048576, .max = 17179869184,
        .restart = true,
        .doc =
            "Segments kept for one stream that is watched over HLS, at most; the oldest go first."),
    MODEL_LIST_STRING(
        struct config_hls, origins, .comma = true, .max = 64, .check = check_origins,
        .restart = true,
        .doc =
            "Pages of other sites that may play HLS, by their origin (https://www.example.org); when none is given, all may."),
};
static const struct model hls_model = MODEL("ConfigHls", struct config_hls, hls_fields);

static const struct model_enum second_publisher_names[] = {
    {"refuse", PUBLISH_REFUSE},
    {"takeover", PUBLISH_TAKEOVER},
    {NULL, 0},
};

static const struct model_field streams_fields[] = {
    MODEL_ENUM(
        struct config_streams, second_publisher, second_publisher_names, .def = "refuse",
        .doc =
            "What happens when somebody publishes to a path that is on air: refuse the second, or let it take over."),
    MODEL_DURATION(
        struct config_streams, continuity, .def = "10s", .max = 3600000000000,
        .doc =
            "How long readers are kept when the publisher is gone; when it returns within, they go on."),
    MODEL_DURATION(
        struct config_streams, linger, .def = "5s", .max = 3600000000000,
        .doc =
            "A stream that is made for its readers, such as live/cam~opus, ends so long after the last one left."),
    MODEL_SIZE(
        struct config_streams, history_max, .def = "16MiB", .min = 65536, .max = 1073741824,
        .doc =
            "The most that a stream keeps as history, from which new readers start and slow ones catch up. A stream whose groups are larger has none: its readers start at the next key frame."),
    MODEL_DURATION(struct config_streams, history_max_time, .def = "15s", .min = 1000000000,
                   .max = 600000000000, .doc = "The longest history of a stream in time."),
    MODEL_DURATION(
        struct config_streams, ready_after, .def = "500ms", .min = 0, .max = 60000000000,
        .doc =
            "A stream is ready this long after its first key frame, even if an announced track has not shown up."),
    MODEL_DURATION(
        struct config_streams, fanout_wait, .def = "40ms", .max = 1000000000,
        .doc =
            "When a stream has hundreds of readers, samples may wait this long for others, so that each write carries more. With few readers nothing waits; 0s: never."),
    MODEL_SIZE(
        struct config_streams, memory_max, .def = "0",
        .doc =
            "Media memory of all streams together; over it new publishers are refused. 0 = a quarter of the RAM."),
    MODEL_INT(struct config_streams, max, .def = "10000", .min = 1, .max = 1000000,
              .doc = "Streams at once."),
};
static const struct model streams_model =
    MODEL("ConfigStreams", struct config_streams, streams_fields);

static const struct model_field av_fields[] = {
    MODEL_INT(
        struct config_av, workers, .def = "1", .min = 1, .max = 16, .restart = true,
        .doc =
            "Processes that sound is converted in, 256 tracks each at most; one core is enough for about a hundred. They run only "
            "while there is sound to convert."),
};
static const struct model av_model = MODEL("ConfigAv", struct config_av, av_fields);

static const struct model_field demo_fields[] = {
    MODEL_STRING(struct config_demo, path, .def = "live/demo", .check = check_path, .restart = true,
                 .doc = "Where `mast serve --demo` publishes its test picture."),
    MODEL_INT(struct config_demo, width, .def = "1280", .min = 160, .max = 3840, .restart = true,
              .doc = "Width of the test picture in pixels; even."),
    MODEL_INT(struct config_demo, height, .def = "720", .min = 90, .max = 2160, .restart = true,
              .doc = "Height of the test picture in pixels; even."),
    MODEL_INT(struct config_demo, fps, .def = "30", .min = 1, .max = 60, .restart = true,
              .doc = "Frames per second."),
};
static const struct model demo_model = MODEL("ConfigDemo", struct config_demo, demo_fields);

static const struct model_enum on_exit_names[] = {
    {"suspend", BROADCASTS_SUSPEND},
    {"stop", BROADCASTS_STOP},
    {"keep", BROADCASTS_HAND_ON},
    {NULL, 0},
};
static const struct model_field broadcasts_fields[] = {
    MODEL_INT(struct config_broadcasts, max, .def = "10000", .min = 1, .max = 100000,
              .restart = true, .doc = "Broadcasts that run at once."),
    MODEL_INT(struct config_broadcasts, keep, .def = "1000", .min = 1, .max = 100000,
              .restart = true,
              .doc = "Ended ones that stay listed; the oldest go first, those with debts stay."),
    MODEL_DURATION(struct config_broadcasts, keep_for, .def = "168h", .min = 60000000000,
                   .max = 315360000000000000, .restart = true, .doc = "And for how long."),
    MODEL_DURATION(struct config_broadcasts, check, .def = "2s", .min = 100000000,
                   .max = 600000000000, .restart = true,
                   .doc = "How often peers are asked whether all is well."),
    MODEL_DURATION(struct config_broadcasts, stale, .def = "5s", .min = 500000000,
                   .max = 3600000000000, .restart = true,
                   .doc = "A mountpoint whose last packet is older makes its broadcast degraded."),
    MODEL_DURATION(
        struct config_broadcasts, debt_retry, .def = "30s", .min = 1000000000, .max = 3600000000000,
        .restart = true,
        .doc = "What could not be undone is tried again after so long, then less and less often."),
    MODEL_ENUM(
        struct config_broadcasts, on_exit, on_exit_names, .def = "suspend", .restart = true,
        .doc =
            "When the server ends: suspend undoes what broadcasts made and brings them back at the next start, "
            "stop ends them, keep leaves all as it is for the next start to take up."),
};
static const struct model broadcasts_model =
    MODEL("ConfigBroadcasts", struct config_broadcasts, broadcasts_fields);

static int check_range(const void *member, struct error *err)
{
    char *const *text = member;
    struct net_range ignored;
    return net_range_parse(*text, &ignored, err);
}

static const struct model_field outgoing_fields[] = {
    MODEL_LIST(
        struct config_outgoing, allow, MODEL_ITEM_STRING(.check = check_range),
        .max = NET_GUARD_ALLOW_MAX, .comma = true, .example = "10.1.0.0/16",
        .doc =
            "Private addresses that addresses given through the API may lead to; without one of them only public "
            "ones. What this file names may be anywhere."),
};
static const struct model outgoing_model =
    MODEL("ConfigOutgoing", struct config_outgoing, outgoing_fields);

static int check_config(void *obj, struct error *err)
{
    const struct config *c = obj;
    for (size_t i = 0; i < c->webhooks.len; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(c->webhooks.items[i].id, c->webhooks.items[k].id) == 0) {
                return error_set(err, -EINVAL, "webhooks", "two are called '%s'",
                                 c->webhooks.items[i].id);
            }
        }
    }
    for (size_t i = 0; i < c->janus.len; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(c->janus.items[i].name, c->janus.items[k].name) == 0) {
                return error_set(err, -EINVAL, "janus", "two are called '%s'",
                                 c->janus.items[i].name);
            }
        }
    }
    for (size_t i = 0; i < c->hooks.len; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(c->hooks.items[i].name, c->hooks.items[k].name) == 0) {
                return error_set(err, -EINVAL, "hooks", "two are called '%s'",
                                 c->hooks.items[i].name);
            }
        }
    }
    return 0;
}

static const struct model_field config_fields[] = {
    MODEL_STRUCT(struct config, log, &log_model, .doc = "Log lines go to standard error."),
    MODEL_STRING(
        struct config, state_dir, .restart = true, .example = "/var/lib/mast",
        .doc =
            "Where certificates and keys made here are kept. Default: the service manager's folder, "
            "/var/lib/mast for root, else ~/.local/state/mast."),
    MODEL_INT(struct config, loops, .def = "0", .max = LOOPS_MAX, .restart = true,
              .doc = "Media threads; 0 = one for each core."),
    MODEL_BOOL(
        struct config, watch, .def = "true",
        .doc =
            "Reads this file and the certificates again when they change; without it on SIGHUP or "
            "`mast reload` only. Keys that need a restart say so in the log."),
    MODEL_STRUCT(struct config, http, &http_model, .doc = "The one HTTP port."),
    MODEL_STRUCT(struct config, rtmp, &rtmp_model, .doc = "RTMP in and out."),
    MODEL_STRUCT(struct config, rtmps, &rtmps_model, .doc = "RTMP over TLS."),
    MODEL_STRUCT(struct config, hls, &hls_model, .doc = "HLS and LL-HLS out."),
    MODEL_STRUCT(struct config, streams, &streams_model, .doc = "How streams behave."),
    MODEL_STRUCT(struct config, av, &av_model,
                 .doc = "Sound in another codec: live/cam~opus and live/cam~aac; docs/sound.md."),
    MODEL_STRUCT(struct config, access, &access_config_model,
                 .doc = "Who may publish, watch and use the API."),
    MODEL_STRUCT(struct config, outgoing, &outgoing_model, .doc = "Where this server connects to."),
    MODEL_LIST_STRUCT(struct config, webhooks, &webhook_file_model, .max = 64,
                      .doc = "Events are sent to these by POST, signed; docs/webhooks.md."),
    MODEL_LIST_STRUCT(struct config, hooks, &hook_model, .max = HOOKS_MAX,
                      .doc = "Programs that run on events; docs/hooks.md."),
    MODEL_LIST_STRUCT(struct config, janus, &janus_server_model, .max = 64, .restart = true,
                      .doc =
                          "The Janus servers that broadcasts are made at; without one, `main` at "
                          "ws://127.0.0.1:8188. docs/broadcasts.md."),
    MODEL_STRUCT(struct config, broadcasts, &broadcasts_model,
                 .doc = "Sources that become mountpoints of a Janus."),
    MODEL_STRUCT(struct config, demo, &demo_model, .doc = "The picture of `mast serve --demo`."),
};
const struct model config_model =
    MODEL("Config", struct config, config_fields, .check = check_config);

static int read_file(const char *file, struct out *o, struct error *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return error_set(err, -errno, file, "cannot be opened: %s", error_name(-errno));
    }
    int r = 0;
    while (r == 0) {
        uint8_t *room = out_extend(o, 16384);
        ssize_t n = read(fd, room, 16384);
        o->len -= (size_t)(16384 - MAX(n, (ssize_t)0));
        if (n == 0) {
            break;
        }
        if (n < 0) {
            r = error_set(err, -errno, file, "cannot be read: %s", error_name(-errno));
        } else if (o->len > FILE_MAX_BYTES) {
            r = error_set(err, -E2BIG, file, "is larger than %u bytes", FILE_MAX_BYTES);
        }
    }
    close(fd);
    return r;
}

static int parse_file(struct config *config, const char *file, struct error *err)
{
    _cleanup_(out_done) struct out text = {0};
    int r = read_file(file, &text, err);
    if (r < 0) {
        return r;
    }
    size_t n = strlen(file);
    struct model_parse_opts opts = {.file = file, .max_bytes = FILE_MAX_BYTES};
    if (n > 5 && strcmp(file + n - 5, ".json") == 0) {
        r = model_parse_json(&config_model, config, out_view(&text), &opts, err);
        error_prefix(err, r < 0 ? file : NULL);
        return r;
    }
    return model_parse_yaml(&config_model, config, out_view(&text), &opts, err);
}

const struct config_variable config_variables[] = {
    {"MAST_CONFIG", "The configuration file."},
    {"MAST_STATE_DIR", "The state folder, when `state_dir` is not given; before $STATE_DIRECTORY."},
    {"MAST_WEB_DIR", "The folder with the page's files, when `http.web_dir` is not given."},
    {"MAST_LIBEXEC_DIR", "Where the programs are that only mast starts."},
    {"MAST_SECRET_KEY_FILE",
     "The file with the keys that secrets are sealed with, 64 hexadecimal digits a line. Without it the service manager's credential, else one made in the state folder."},
    {"MAST_URL", "The server that commands talk to, when --url is not given."},
    {"MAST_CA", "The certificates that they trust, when --ca is not given."},
    {"MAST_BIN", NULL},
    {"MAST_BUILD", NULL},
    {"MAST_LONG", NULL},
    {NULL, NULL},
};

static bool variable_is_ours(const char *name)
{
    for (const struct config_variable *v = config_variables; v->name; v++) {
        if (strcmp(name, v->name) == 0) {
            return true;
        }
    }
    return false;
}

static void warn_of_misspelt(char *const *env)
{
    for (; env && *env; env++) {
        const char *eq = strchr(*env, '=');
        if (strncmp(*env, "MAST_", 5) != 0 || !eq) {
            continue;
        }
        _cleanup_free_ char *name = mem_strndup(*env, (size_t)(eq - *env));
        if (!variable_is_ours(name) && !model_env_known(&config_model, "MAST", name)) {
            log_warn("%s: no such key in the configuration, ignoring the variable", name);
        }
    }
}

int config_load(struct config *config, const char *file, char *const *env, struct error *err)
{
    int r = 0;
    *config = (struct config){0};
    if (file) {
        r = parse_file(config, file, err);
    } else {
        model_init(&config_model, config);
    }
    if (r >= 0) {
        r = model_set_env(&config_model, config, "MAST", env, err);
    }
    if (r < 0) {
        model_done(&config_model, config);
        return r;
    }
    warn_of_misspelt(env);
    return 0;
}

void config_done(struct config *config)
{
    model_done(&config_model, config);
}

struct guard_config config_guard(const struct config *config)
{
    const struct config_http *c = &config->http;
    return (struct guard_config){
        .hosts = c->hosts.items,
        .n_hosts = c->hosts.len,
        .proxies = c->trusted_proxies.items,
        .n_proxies = c->trusted_proxies.len,
    };
}

struct engine_config config_engine(const struct config *config)
{
    const struct config_streams *c = &config->streams;
    return (struct engine_config){
        .publish_policy = (enum publish_policy)c->second_publisher,
        .continuity_ms = (uint32_t)(c->continuity / NS_PER_MS),
        .continuity_none = c->continuity == 0,
        .linger_ms = (uint32_t)(c->linger / NS_PER_MS),
        .linger_none = c->linger == 0,
        .history_max_bytes = (uint32_t)c->history_max,
        .history_max_ms = (uint32_t)(c->history_max_time / NS_PER_MS),
        .ready_after_ms = (uint32_t)(c->ready_after / NS_PER_MS),
        .fanout_wait_ms = (uint32_t)(c->fanout_wait / NS_PER_MS),
        .fanout_wait_none = c->fanout_wait == 0,
        .memory_max_bytes = c->memory_max,
        .streams_max = c->max,
    };
}

static void write_doc(struct out *o, unsigned indent, const char *doc)
{
    /* Wrapped at spaces so that no line is longer than 100 columns. */
    size_t column = 0;
    while (doc && *doc) {
        size_t word = strcspn(doc, " ");
        if (column == 0 || column + word + 1 > 100) {
            out_printf(o, "%s%*s# ", column == 0 ? "" : "\n", (int)indent, "");
            column = indent + 2;
        } else {
            out_u8(o, ' ');
            column++;
        }
        out_mem(o, doc, word);
        column += word;
        doc += word + strspn(doc + word, " ");
    }
    if (column > 0) {
        out_u8(o, '\n');
    }
}

static int write_example_field(const struct model_visit *v, void *user)
{
    struct out *o = user;
    const struct model_field *f = v->field;
    bool in_list = strstr(v->path, "[]") != NULL;
    /* Below a list everything is shown as a comment; each level of YAML is two columns. */
    unsigned indent = v->depth * 2;
    if (v->depth == 0) {
        out_u8(o, '\n');
    }
    write_doc(o, indent, f->doc);
    switch (f->type) {
    case MODEL_T_STRUCT:
        out_printf(o, "%*s%s:\n", (int)indent, "", model_key(f));
        return 0;
    case MODEL_T_LIST:
        if (f->item->model) {
            out_printf(o, "%*s%s: []\n", (int)indent, "", model_key(f));
        } else {
            out_printf(o, "%*s%s%s: [%s]\n", (int)indent, "", in_list || !f->def ? "# " : "",
                       model_key(f), f->example ? f->example : "");
        }
        return 0;
    default:
        break;
    }
    const char *value = f->def ? f->def : f->example;
    out_printf(o, "%*s%s%s: %s\n", (int)indent, "", f->def && !in_list ? "" : "# ", model_key(f),
               value ? value : "");
    return 0;
}

void config_write_example(struct out *o)
{
    out_puts(
        o,
        "# The configuration of Mast: every key with its default. Keys that are commented out have none.\n"
        "# Each can be given by the environment too: http.port is MAST_HTTP_PORT. `mast check FILE` tells\n"
        "# what is wrong with a file before it is used.\n");
    model_walk(&config_model, write_example_field, o);
}
