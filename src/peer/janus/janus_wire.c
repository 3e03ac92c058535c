/* SPDX-License-Identifier: Apache-2.0 */
#include "peer/janus/janus_wire.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/model.h"
#include "peer/janus/janus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_MAX 2048
#define SDP_MAX    262144
#define VALUES_MAX 1000000 /* a list of ten thousand mountpoints has so many */

static const struct model_field error_fields[] = {
    MODEL_INT(struct janus_error_part, code),
    MODEL_STRING(struct janus_error_part, reason, .max = REASON_MAX),
};
static const struct model error_model =
    MODEL("JanusError", struct janus_error_part, error_fields, .unknown = MODEL_IGNORE);

static const struct model_field plugin_fields[] = {
    MODEL_STRING(struct janus_plugin_part, plugin, .max = 255),
    MODEL_RAW(struct janus_plugin_part, data, .max = JANUS_MESSAGE_MAX),
};
static const struct model plugin_model =
    MODEL("JanusPluginData", struct janus_plugin_part, plugin_fields, .unknown = MODEL_IGNORE);

static const struct model_field jsep_fields[] = {
    MODEL_STRING(struct janus_jsep_part, type, .max = 31),
    MODEL_STRING(struct janus_jsep_part, sdp, .max = SDP_MAX),
};
static const struct model jsep_model =
    MODEL("JanusJsep", struct janus_jsep_part, jsep_fields, .unknown = MODEL_IGNORE);

static const struct model_field message_fields[] = {
    MODEL_STRING(struct janus_message, janus, .required = true, .max = 63),
    MODEL_STRING(struct janus_message, transaction, .max = 255),
    MODEL_INT(struct janus_message, session_id),
    MODEL_INT(struct janus_message, sender),
    MODEL_STRING(struct janus_message, reason, .max = REASON_MAX),
    MODEL_RAW(struct janus_message, data, .max = JANUS_MESSAGE_MAX),
    MODEL_OPT(struct janus_message, error, &error_model),
    MODEL_OPT(struct janus_message, plugindata, &plugin_model),
    MODEL_OPT(struct janus_message, jsep, &jsep_model),
    MODEL_INT(struct janus_message, version),
    MODEL_STRING(struct janus_message, version_string, .max = 255),
    MODEL_STRING(struct janus_message, server_name, .key = "server-name", .max = 255),
    MODEL_INT(struct janus_message, session_timeout_s, .key = "session-timeout"),
    MODEL_INT(struct janus_message, reclaim_timeout_s, .key = "reclaim-session-timeout"),
};
static const struct model message_model =
    MODEL("JanusMessage", struct janus_message, message_fields, .unknown = MODEL_IGNORE);

/* What every plugin says when it refuses. */
struct refusal {
    int32_t error_code;
    char *error;
};
static const struct model_field refusal_fields[] = {
    MODEL_INT(struct refusal, error_code),
    MODEL_STRING(struct refusal, error, .max = REASON_MAX),
};
static const struct model refusal_model =
    MODEL("JanusRefusal", struct refusal, refusal_fields, .unknown = MODEL_IGNORE);

struct made {
    int64_t id;
};
static const struct model_field made_fields[] = {
    MODEL_INT(struct made, id),
};
static const struct model made_model =
    MODEL("JanusMade", struct made, made_fields, .unknown = MODEL_IGNORE);

static const struct model_parse_opts opts = {.max_bytes = JANUS_MESSAGE_MAX,
                                             .max_values = VALUES_MAX};

static enum janus_kind kind_of(const struct janus_message *m)
{
    static const struct model_enum words[] = {{"success", JANUS_SUCCESS},
                                              {"ack", JANUS_ACK},
                                              {"event", JANUS_EVENT},
                                              {"error", JANUS_ERROR},
                                              {"timeout", JANUS_TIMEOUT},
                                              {"detached", JANUS_DETACHED},
                                              {"server_info", JANUS_SERVER_INFO},
                                              {0}};
    int kind;
    if (model_enum_value(words, m->janus, &kind) == 0) {
        return (enum janus_kind)kind;
    }
    return m->sender != 0 ? JANUS_NEWS : JANUS_OTHER;
}

static void read_id(struct janus_message *m)
{
    struct made made;
    if (model_parse_json(&made_model, &made, BYTES_STR(m->data), &opts, NULL) == 0) {
        m->id = made.id;
    }
}

static void read_refusal(struct janus_message *m)
{
    struct refusal refusal;
    if (model_parse_json(&refusal_model, &refusal, BYTES_STR(m->plugindata->data), &opts, NULL) <
        0) {
        return;
    }
    m->plugin_code = refusal.error_code;
    m->plugin_error = TAKE_PTR(refusal.error);
    if (m->plugin_error) {
        /* Janus ends some of them with a newline. */
        m->plugin_error[strcspn(m->plugin_error, "\r\n")] = '\0';
    }
    model_done(&refusal_model, &refusal);
}

int janus_message_parse(struct janus_message *ret, struct bytes json, struct error *err)
{
    int r = model_parse_json(&message_model, ret, json, &opts, err);
    if (r < 0) {
        return r;
    }
    ret->kind = kind_of(ret);
    if (ret->data) {
        read_id(ret);
    }
    if (ret->plugindata && ret->plugindata->data) {
        read_refusal(ret);
    }
    return 0;
}

void janus_message_done(struct janus_message *m)
{
    free(m->plugin_error);
    model_done(&message_model, m);
}

static void put_text(struct json *j, const char *key, const char *text)
{
    if (text) {
        json_put_str(j, key, text);
    }
}

static void put_number(struct json *j, const char *key, int64_t n)
{
    if (n != 0) {
        json_put_int(j, key, n);
    }
}

void janus_request_put(struct out *o, const struct janus_request *r)
{
    char transaction[24];
    struct json j = json_init(o);
    snprintf(transaction, sizeof(transaction), "m%" PRIu64, r->transaction);
    json_object_begin(&j);
    json_put_str(&j, "janus", r->janus);
    json_put_str(&j, "transaction", transaction);
    put_text(&j, "apisecret", r->api_secret);
    put_text(&j, "token", r->token);
    put_number(&j, "session_id", r->session_id);
    put_number(&j, "handle_id", r->handle_id);
    put_text(&j, "plugin", r->plugin);
    put_text(&j, "opaque_id", r->opaque_id);
    if (r->body.len > 0) {
        json_key(&j, "body");
        _cleanup_free_ char *body = mem_strndup((const char *)r->body.data, r->body.len);
        json_raw(&j, body);
    }
    if (r->sdp) {
        json_key(&j, "jsep");
        json_object_begin(&j);
        json_put_str(&j, "type", r->sdp_type);
        json_put_str(&j, "sdp", r->sdp);
        json_object_end(&j);
    }
    json_object_end(&j);
}

uint64_t janus_transaction_parse(const char *text)
{
    char *end;
    if (!text || text[0] != 'm' || text[1] < '1' || text[1] > '9') {
        return 0;
    }
    errno = 0;
    uint64_t n = strtoull(text + 1, &end, 10);
    return *end == '\0' && errno == 0 ? n : 0;
}
