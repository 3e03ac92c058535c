/* SPDX-License-Identifier: Apache-2.0 */
#include "service/webhook/webhook.h"

#include "base/mem.h"
#include "base/url.h"
#include "service/stream/stream_events.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <strings.h>

#define TOKEN_CHARS "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static int check_url(const void *member, struct error *err)
{
    char *const *text = member;
    struct url u;
    int r = url_parse(*text, &u, err);
    if (r < 0) {
        return r;
    }
    bool ok = (strcmp(u.scheme, "http") == 0 || strcmp(u.scheme, "https") == 0) && *u.host;
    url_done(&u);
    return ok ? 0 : error_set(err, -EINVAL, "", "is not an http or https address");
}

static int check_id(const void *member, struct error *err)
{
    char *const *id = member;
    size_t n = strspn(*id, TOKEN_CHARS);
    if ((*id)[n] != '\0' || strpbrk(*id, "!#$%&'*+^`|~")) {
        return error_set(err, -EINVAL, "", "has other characters than letters, digits, . _ -");
    }
    if (strncmp(*id, WEBHOOK_ID_PREFIX, strlen(WEBHOOK_ID_PREFIX)) == 0) {
        return error_set(err, -EINVAL, "",
                         "begins with " WEBHOOK_ID_PREFIX ", as those that the API makes do");
    }
    return 0;
}

/* What we say ourselves, and what would change where the request ends. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {"host",       "content-length", "transfer-encoding",
                                       "connection", "upgrade",        "content-type",
                                       "expect"};
    for (unsigned i = 0; i < ARRAY_LEN(ours); i++) {
        if (strcasecmp(name, ours[i]) == 0) {
            return true;
        }
    }
    return strncasecmp(name, "mast-", 5) == 0;
}

static int check_header_value(const void *member, struct error *err)
{
    char *const *value = member;
    for (const char *c = *value; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) {
            return error_set(err, -EINVAL, "", "has control characters");
        }
    }
    return 0;
}

static int check_webhook(void *obj, struct error *err)
{
    const struct webhook *w = obj;
    for (size_t i = 0; i < w->headers.len; i++) {
        const char *name = w->headers.items[i].key;
        if (*name == '\0' || strlen(name) > 64 || name[strspn(name, TOKEN_CHARS)] != '\0') {
            return error_set(err, -EINVAL, "headers", "has a name that is none of HTTP");
        }
        if (is_ours(name)) {
            return error_set(err, -EINVAL, "headers", "%s is not for you to say", name);
        }
    }
    return 0;
}

#define FIELD_NAME MODEL_STRING(struct webhook, name, .max = 100, .doc = "For people.")
#define FIELD_URL                                                                                  \
    MODEL_STRING(struct webhook, url, .required = true, .max = 2048, .check = check_url,           \
                 .mask = MODEL_MASK_URL,                                                           \
                 .doc = "Where events are sent to, each by POST; a reply of 2xx accepts it.",      \
                 .example = "https://example.org/mast")
#define FIELD_EVENTS                                                                               \
    MODEL_LIST_STRING(struct webhook, events, .def = "*", .min = 1, .max = 64, .comma = true,      \
                      .doc = "Which types of events; * stands for any run of characters.",         \
                      .example = "stream.*")
#define FIELD_PATHS                                                                                \
    MODEL_LIST_STRING(struct webhook, paths, .max = 64, .comma = true,                             \
                      .doc = "Of which streams; * stands for any run of characters. None: of all " \
                             "streams, and what is about no stream.",                              \
                      .example = "live/*")
#define FIELD_SECRET(text)                                                                         \
    MODEL_STRING(struct webhook, secret, .min = 16, .max = 256, .secret = MODEL_SECRET_SEALED,     \
                 .doc = (text))
#define FIELD_HEADERS                                                                              \
    MODEL_MAP(struct webhook, headers,                                                             \
              MODEL_ITEM_STRING(.name = "headers", .min = 1, .max = 1024,                          \
                                .secret = MODEL_SECRET_SEALED, .check = check_header_value),       \
              .max = 16, .doc = "Further headers of each request, never shown.")
#define FIELD_ENABLED                                                                              \
    MODEL_BOOL(struct webhook, enabled, .def = "true",                                             \
               .doc = "While false no event is taken, and what waits is kept.")
#define FIELD_TIMEOUT                                                                              \
    MODEL_DURATION(struct webhook, timeout, .def = "10s", .min = 100000000, .max = 60000000000,    \
                   .doc = "No reply in this time is a failure.")
#define FIELD_GIVE_UP                                                                              \
    MODEL_DURATION(struct webhook, give_up, .def = "6h", .max = 604800000000000,                   \
                   .doc = "After so long a delivery is dead, and can only be replayed.")
#define SECRET_DOC                                                                                 \
    "Signs each request; at least 16 characters. Made here, and shown once, when none is given."

static const struct model_field file_fields[] = {
    MODEL_STRING(struct webhook, id, .key = "name", .required = true, .min = 1, .max = 40,
                 .check = check_id, .doc = "What it is called.", .example = "studio"),
    FIELD_URL,
    FIELD_EVENTS,
    FIELD_PATHS,
    FIELD_SECRET("Signs each request; at least 16 characters. Without one nothing is signed."),
    FIELD_HEADERS,
    FIELD_ENABLED,
    FIELD_TIMEOUT,
    FIELD_GIVE_UP,
};
const struct model webhook_file_model =
    MODEL("ConfigWebhook", struct webhook, file_fields, .check = check_webhook);

static const struct model_field stored_fields[] = {
    MODEL_STRING(struct webhook, id, .required = true),
    FIELD_NAME,
    FIELD_URL,
    FIELD_EVENTS,
    FIELD_PATHS,
    FIELD_SECRET(SECRET_DOC),
    FIELD_HEADERS,
    FIELD_ENABLED,
    FIELD_TIMEOUT,
    FIELD_GIVE_UP,
    MODEL_TIME(struct webhook, created_at),
};
const struct model webhook_stored_model =
    MODEL("StoredWebhook", struct webhook, stored_fields, .unknown = MODEL_IGNORE);

static const struct model_field new_fields[] = {
    FIELD_NAME,    FIELD_URL,     FIELD_EVENTS,  FIELD_PATHS,   FIELD_SECRET(SECRET_DOC),
    FIELD_HEADERS, FIELD_ENABLED, FIELD_TIMEOUT, FIELD_GIVE_UP,
};
const struct model webhook_new_model =
    MODEL("NewWebhook", struct webhook, new_fields, .check = check_webhook);

static const struct model_field view_fields[] = {
    MODEL_STRING(struct webhook_view, id, .required = true),
    MODEL_STRING(struct webhook_view, name),
    MODEL_STRING(struct webhook_view, url, .mask = MODEL_MASK_URL),
    MODEL_LIST_STRING(struct webhook_view, events),
    MODEL_LIST_STRING(struct webhook_view, paths),
    MODEL_BOOL(struct webhook_view, enabled),
    MODEL_DURATION(struct webhook_view, timeout, .max = -1),
    MODEL_DURATION(struct webhook_view, give_up, .max = -1),
    MODEL_TIME(struct webhook_view, created_at),
    MODEL_STRING(struct webhook_view, managed_by,
                 .doc = "file: mast.yml declares it, and only there it changes; api."),
    MODEL_STRING(struct webhook_view, status,
                 .doc = "ok; failing: the last attempt failed; disabled; gone: the receiver "
                        "answered 410; needs-secret: the key that its secrets were sealed with is "
                        "not there, so give it new ones."),
    MODEL_STRING(struct webhook_view, secret,
                 .doc = "Only in the reply that made it, never again."),
    MODEL_INT(struct webhook_view, pending, .doc = "Deliveries that wait."),
    MODEL_INT(struct webhook_view, dead, .doc = "Deliveries that were given up."),
    MODEL_INT(struct webhook_view, accepted, .doc = "Since the server started."),
    MODEL_INT(struct webhook_view, failed, .doc = "Attempts, since the server started."),
    MODEL_TIME(struct webhook_view, last_at, .doc = "Of the last attempt."),
    MODEL_INT(struct webhook_view, last_status, .doc = "0: no reply."),
    MODEL_STRING(struct webhook_view, last_error),
};
const struct model webhook_view_model =
    MODEL("Webhook", struct webhook_view, view_fields, .unknown = MODEL_IGNORE);

static const struct model_field view_list_fields[] = {
    MODEL_LIST_STRUCT(struct webhook_view_list, items, &webhook_view_model, .max = 4096),
};
const struct model webhook_view_list_model =
    MODEL("WebhookList", struct webhook_view_list, view_list_fields, .unknown = MODEL_IGNORE);

bool webhook_wants(const struct webhook *w, const struct event *e)
{
    return w->enabled && strncmp(e->resource, "webhooks/", 9) != 0 &&
           stream_event_matches(e, w->events.items, w->events.len, w->paths.items, w->paths.len);
}

void webhook_done(struct webhook *w)
{
    if (w->secret) {
        OPENSSL_cleanse(w->secret, strlen(w->secret));
    }
    for (size_t i = 0; i < w->headers.len; i++) {
        OPENSSL_cleanse(w->headers.items[i].value, strlen(w->headers.items[i].value));
    }
    model_done(&webhook_stored_model, w);
}
