/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/obs/obs_wire.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/model.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096

/* ---- models ---- */

static const struct model_field connection_fields[] = {
    MODEL_STRING(struct obs_connection, host, .aliases = "obs_host", .def = "127.0.0.1",
                 .max = 255),
    MODEL_INT(struct obs_connection, port, .aliases = "obs_port", .def = "4455", .min = 1,
              .max = 65535),
    MODEL_STRING(struct obs_connection, password, .aliases = "obs_password", .max = 1024,
                 .secret = MODEL_SECRET_SEALED),
    MODEL_BOOL(struct obs_connection, secure, .aliases = "obs_secure",
               .doc = "wss, through a front: OBS has no TLS of its own."),
    MODEL_DURATION(struct obs_connection, timeout_ns, .key = "timeout", .def = "10s",
                   .min = 100000000, .max = 300000000000),
};
const struct model obs_connection_model =
    MODEL("ObsConnectionConfig", struct obs_connection, connection_fields);

static const struct model_field service_fields[] = {
    MODEL_STRING(struct obs_service, type, .key = "streamServiceType", .max = 255),
    MODEL_RAW(struct obs_service, settings, .key = "streamServiceSettings", .max = 65536,
              .secret = MODEL_SECRET_SEALED),
};
const struct model obs_service_model =
    MODEL("ObsService", struct obs_service, service_fields, .unknown = MODEL_IGNORE);

struct envelope {
    int32_t op;
    char *d;
};
static const struct model_field envelope_fields[] = {
    MODEL_INT(struct envelope, op, .required = true),
    MODEL_RAW(struct envelope, d, .required = true, .max = OBS_MESSAGE_MAX),
};
static const struct model envelope_model =
    MODEL("ObsMessage", struct envelope, envelope_fields, .unknown = MODEL_IGNORE);

struct authentication {
    char *challenge, *salt;
};
static const struct model_field authentication_fields[] = {
    MODEL_STRING(struct authentication, challenge, .required = true, .max = 512),
    MODEL_STRING(struct authentication, salt, .required = true, .max = 512),
};
static const struct model authentication_model = MODEL(
    "ObsAuthentication", struct authentication, authentication_fields, .unknown = MODEL_IGNORE);
struct hello {
    struct authentication *authentication;
};
static const struct model_field hello_fields[] = {
    MODEL_OPT(struct hello, authentication, &authentication_model),
};
static const struct model hello_model =
    MODEL("ObsHello", struct hello, hello_fields, .unknown = MODEL_IGNORE);

struct status_part {
    int32_t code;
    bool result;
    char *comment;
};
static const struct model_field status_part_fields[] = {
    MODEL_INT(struct status_part, code),
    MODEL_BOOL(struct status_part, result, .required = true),
    MODEL_STRING(struct status_part, comment, .max = TEXT_MAX),
};
static const struct model status_part_model =
    MODEL("ObsRequestStatus", struct status_part, status_part_fields, .unknown = MODEL_IGNORE);
struct response {
    char *request_id;
    struct status_part status;
    char *data;
};
static const struct model_field response_fields[] = {
    MODEL_STRING(struct response, request_id, .key = "requestId", .required = true, .max = 255),
    MODEL_STRUCT(struct response, status, &status_part_model, .key = "requestStatus",
                 .required = true),
    MODEL_RAW(struct response, data, .key = "responseData", .max = OBS_MESSAGE_MAX),
};
static const struct model response_model =
    MODEL("ObsResponse", struct response, response_fields, .unknown = MODEL_IGNORE);

struct event {
    char *type;
    char *data;
};
static const struct model_field event_fields[] = {
    MODEL_STRING(struct event, type, .key = "eventType", .required = true, .max = 255),
    MODEL_RAW(struct event, data, .key = "eventData", .max = OBS_MESSAGE_MAX),
};
static const struct model event_model =
    MODEL("ObsEvent", struct event, event_fields, .unknown = MODEL_IGNORE);

static const struct model_enum output_names[] = {
    {"", OBS_OUTPUT_UNKNOWN},
    {"OBS_WEBSOCKET_OUTPUT_STOPPED", OBS_OUTPUT_STOPPED},
    {"OBS_WEBSOCKET_OUTPUT_STARTING", OBS_OUTPUT_STARTING},
    {"OBS_WEBSOCKET_OUTPUT_STARTED", OBS_OUTPUT_STARTED},
    {"OBS_WEBSOCKET_OUTPUT_RECONNECTED", OBS_OUTPUT_STARTED},
    {"OBS_WEBSOCKET_OUTPUT_RECONNECTING", OBS_OUTPUT_RECONNECTING},
    {"OBS_WEBSOCKET_OUTPUT_STOPPING", OBS_OUTPUT_STOPPING},
    {0}};
struct state_part {
    enum obs_output output;
};
static const struct model_field state_part_fields[] = {
    MODEL_ENUM(struct state_part, output, output_names, .key = "outputState", .lenient = true,
               .def = ""),
};
static const struct model state_part_model =
    MODEL("ObsStreamState", struct state_part, state_part_fields, .unknown = MODEL_IGNORE);

static const struct model_field status_fields[] = {
    MODEL_BOOL(struct obs_status, active, .key = "outputActive", .required = true),
    MODEL_BOOL(struct obs_status, reconnecting, .key = "outputReconnecting"),
    MODEL_DOUBLE(struct obs_status, congestion, .key = "outputCongestion"),
    MODEL_INT(struct obs_status, bytes, .key = "outputBytes"),
    MODEL_INT(struct obs_status, duration_ms, .key = "outputDuration"),
    MODEL_INT(struct obs_status, skipped_frames, .key = "outputSkippedFrames"),
    MODEL_INT(struct obs_status, total_frames, .key = "outputTotalFrames"),
};
static const struct model status_model =
    MODEL("ObsStreamStatus", struct obs_status, status_fields, .unknown = MODEL_IGNORE);

/* ---- in ---- */

static int parse_hello(const char *d, struct obs_message *m, struct error *err)
{
    struct hello h;
    int r = model_parse_json(&hello_model, &h, BYTES_STR(d), NULL, err);
    if (r == 0 && h.authentication) {
        m->challenge = TAKE_PTR(h.authentication->challenge);
        m->salt = TAKE_PTR(h.authentication->salt);
    }
    model_done(&hello_model, &h);
    return r;
}

static uint64_t parse_id(const char *text)
{
    char *end;
    if (text[0] != 'm' || text[1] < '1' || text[1] > '9') {
        return 0;
    }
    errno = 0;
    uint64_t n = strtoull(text + 1, &end, 10);
    return *end == '\0' && errno == 0 ? n : 0;
}

static int parse_response(const char *d, struct obs_message *m, struct error *err)
{
    static const struct model_parse_opts opts = {.max_bytes = OBS_MESSAGE_MAX};
    struct response p;
    int r = model_parse_json(&response_model, &p, BYTES_STR(d), &opts, err);
    if (r == 0) {
        m->id = parse_id(p.request_id);
        m->code = p.status.code;
        m->result = p.status.result;
        m->comment = TAKE_PTR(p.status.comment);
        m->data = TAKE_PTR(p.data);
    }
    model_done(&response_model, &p);
    return r;
}

static int parse_event(const char *d, struct obs_message *m, struct error *err)
{
    static const struct model_parse_opts opts = {.max_bytes = OBS_MESSAGE_MAX};
    struct event e;
    struct state_part state;
    int r = model_parse_json(&event_model, &e, BYTES_STR(d), &opts, err);
    if (r == 0) {
        m->event = TAKE_PTR(e.type);
        bool is_state = strcmp(m->event, "StreamStateChanged") == 0 && e.data;
        if (is_state &&
            model_parse_json(&state_part_model, &state, BYTES_STR(e.data), &opts, NULL) == 0) {
            m->output = state.output;
        }
    }
    model_done(&event_model, &e);
    return r;
}

int obs_message_parse(struct bytes json, struct obs_message *ret, struct error *err)
{
    static const struct model_parse_opts opts = {.max_bytes = OBS_MESSAGE_MAX};
    struct envelope e;
    *ret = (struct obs_message){.op = -1};
    int r = model_parse_json(&envelope_model, &e, json, &opts, err);
    if (r < 0) {
        return r;
    }
    ret->op = e.op;
    switch (e.op) {
    case OBS_OP_HELLO:
        r = parse_hello(e.d, ret, err);
        break;
    case OBS_OP_RESPONSE:
        r = parse_response(e.d, ret, err);
        break;
    case OBS_OP_EVENT:
        r = parse_event(e.d, ret, err);
        break;
    default:
        break;
    }
    model_done(&envelope_model, &e);
    return r;
}

void obs_message_done(struct obs_message *m)
{
    free(m->challenge);
    free(m->salt);
    free(m->comment);
    free(m->data);
    free(m->event);
    *m = (struct obs_message){.op = -1};
}

int obs_status_parse(struct bytes data, struct obs_status *ret, struct error *err)
{
    return model_parse_json(&status_model, ret, data, NULL, err);
}

int obs_service_parse(struct bytes data, struct obs_service *ret, struct error *err)
{
    return model_parse_json(&obs_service_model, ret, data, NULL, err);
}

/* ---- out ---- */

static char *hash_text(const char *a, const char *b)
{
    uint8_t sum[SHA256_DIGEST_LENGTH];
    _cleanup_free_ char *text = mem_printf("%s%s", a, b);
    SHA256((const unsigned char *)text, strlen(text), sum);
    return base64_to_str(BYTES(sum, sizeof(sum)), BASE64_STD);
}

char *obs_authentication(const char *password, const char *salt, const char *challenge)
{
    _cleanup_free_ char *secret = hash_text(password, salt);
    return hash_text(secret, challenge);
}

static struct json begin(struct out *o, enum obs_op op)
{
    struct json j = json_init(o);
    json_object_begin(&j);
    json_put_int(&j, "op", op);
    json_key(&j, "d");
    json_object_begin(&j);
    return j;
}

static void end(struct json *j)
{
    json_object_end(j);
    json_object_end(j);
}

void obs_put_identify(struct out *o, const char *authentication)
{
    struct json j = begin(o, OBS_OP_IDENTIFY);
    json_put_int(&j, "rpcVersion", OBS_RPC_VERSION);
    json_put_int(&j, "eventSubscriptions", OBS_EVENTS_OUTPUT);
    if (authentication) {
        json_put_str(&j, "authentication", authentication);
    }
    end(&j);
}

void obs_put_request(struct out *o, const char *type, uint64_t id, struct bytes data)
{
    char text[24];
    snprintf(text, sizeof(text), "m%" PRIu64, id);
    struct json j = begin(o, OBS_OP_REQUEST);
    json_put_str(&j, "requestType", type);
    json_put_str(&j, "requestId", text);
    if (data.len > 0) {
        _cleanup_free_ char *copy = mem_strndup((const char *)data.data, data.len);
        json_put_raw(&j, "requestData", copy);
    }
    end(&j);
}

void obs_put_service(struct out *o, const struct obs_service *s)
{
    struct json j = json_init(o);
    json_object_begin(&j);
    json_put_str(&j, "streamServiceType", s->type);
    json_put_raw(&j, "streamServiceSettings", s->settings);
    json_object_end(&j);
}

void obs_put_target(struct out *o, const struct obs_stream_target *t)
{
    struct json j = json_init(o);
    json_object_begin(&j);
    json_put_str(&j, "streamServiceType", "rtmp_custom");
    json_key(&j, "streamServiceSettings");
    json_object_begin(&j);
    json_put_str(&j, "server", t->server);
    json_put_str(&j, "key", t->key);
    json_put_bool(&j, "use_auth", false);
    json_object_end(&j);
    json_object_end(&j);
}

struct settings {
    char *server, *key;
};
static const struct model_field settings_fields[] = {
    MODEL_STRING(struct settings, server, .max = TEXT_MAX),
    MODEL_STRING(struct settings, key, .max = TEXT_MAX),
};
static const struct model settings_model =
    MODEL("ObsSettings", struct settings, settings_fields, .unknown = MODEL_IGNORE);

bool obs_service_is(const struct obs_service *s, const struct obs_stream_target *t)
{
    struct settings set;
    if (!s->settings || !s->type || strcmp(s->type, "rtmp_custom") != 0 ||
        model_parse_json(&settings_model, &set, BYTES_STR(s->settings), NULL, NULL) < 0) {
        return false;
    }
    size_t len = strcspn(t->key, "?");
    bool same = set.server && set.key && strcmp(set.server, t->server) == 0 &&
                strcspn(set.key, "?") == len && strncmp(set.key, t->key, len) == 0;
    model_done(&settings_model, &set);
    return same;
}
