/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/session: logging in and out, and who one is. The cookie is HttpOnly: no script of a page can read it. */
#include "api/reply.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engine/access_http.h"
#include "io/http_doc.h"
#include "service/access/access_service.h"
#include "service/access/key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>

#define BODY_MAX 4096

struct login {
    char *user;
    char *password;
    char *key;
};

static int check_login(void *obj, struct error *err)
{
    const struct login *l = obj;
    if ((l->key != NULL) == (l->user && l->password)) {
        return error_set(err, -EINVAL, l->key ? "key" : "user",
                         "either user and password, or a key, is needed");
    }
    return 0;
}

static const struct model_field login_fields[] = {
    MODEL_STRING(struct login, user, .max = 64, .doc = "A user of the configuration."),
    MODEL_STRING(struct login, password, .max = 256, .secret = MODEL_SECRET_HASHED,
                 .doc = "Its password."),
    MODEL_STRING(struct login, key, .max = 256, .secret = MODEL_SECRET_HASHED,
                 .doc = "An API key, instead of user and password."),
};
static const struct model login_model =
    MODEL("Login", struct login, login_fields, .check = check_login);

static const struct model_enum by_names[] = {
    {"nobody", ACCESS_IDENTITY_NOBODY},  {"open", ACCESS_IDENTITY_OPEN},
    {"loopback", ACCESS_IDENTITY_LOCAL}, {"cookie", ACCESS_IDENTITY_COOKIE},
    {"key", ACCESS_IDENTITY_KEY},        {"password", ACCESS_IDENTITY_PASSWORD},
    {"token", ACCESS_IDENTITY_TOKEN},    {NULL, 0},
};
static const struct model_field identity_fields[] = {
    MODEL_ENUM(
        struct access_identity, by, by_names,
        .doc =
            "What let you in: a cookie (logged in), a key or password with this request, "
            "loopback (this machine's own right), open (everybody may everything); or nobody knows you."),
    MODEL_STRING(struct access_identity, user, .doc = "The user, when it is one."),
    MODEL_STRING(struct access_identity, key, .doc = "The key's name, or its id."),
    MODEL_LIST(struct access_identity, scopes, MODEL_ITEM_ENUM(access_scope_names),
               .max = ACCESS_SCOPE_N),
    MODEL_LIST_STRING(struct access_identity, watch, .doc = "Paths that may be watched."),
    MODEL_LIST_STRING(struct access_identity, publish, .doc = "Paths that may be published to."),
    MODEL_TIME(struct access_identity, expires_at, .doc = "When the cookie ends at the latest."),
};
const struct model access_identity_model =
    MODEL("Session", struct access_identity, identity_fields, .unknown = MODEL_IGNORE);

static void wipe(char *text)
{
    if (text) {
        OPENSSL_cleanse(text, strlen(text));
    }
}

/*
 * SameSite=Strict is enough for the page: its document needs no cookie, and what it then asks for is asked by itself. Over
 * TLS the name has the prefix that browsers bind to this host, and Secure.
 */
static void set_cookie(const struct http_request *req, struct http_reply *reply, const char *secret,
                       int64_t max_age_s)
{
    bool tls = http_request_is_tls(req);
    char line[256];
    snprintf(line, sizeof(line), "%s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s",
             tls ? ACCESS_COOKIE_TLS : ACCESS_COOKIE, secret, (long long)max_age_s,
             tls ? "; Secure" : "");
    http_reply_header(reply, "Set-Cookie", line);
    OPENSSL_cleanse(line, sizeof(line));
}

static void send_identity(struct http_reply *reply, int status, const struct access_identity *id)
{
    reply_model(reply, status, &access_identity_model, id);
}

static void refuse(struct http_reply *reply, int r)
{
    struct error err = {0};
    if (r == -EBUSY) {
        error_set(&err, r, "", "too many failed attempts from this address, try again later");
        http_reply_header(reply, "Retry-After", "5");
        http_reply_problem(reply, 429, "too-many-attempts", &err);
        return;
    }
    /* No WWW-Authenticate that browsers know: the page itself asks. */
    error_set(&err, r, "", "user and password, or the key, are wrong");
    http_reply_header(reply, "WWW-Authenticate", "Mast-Session realm=\"Mast\"");
    http_reply_problem(reply, 401, "wrong-credentials", &err);
}

static void handle_login(void *user, struct http_request *req, struct http_reply *reply)
{
    struct access_service *s = user;
    struct login l;
    struct error err = {0};
    const struct model_parse_opts opts = {.client = true};
    if (model_parse_json(&login_model, &l, http_request_body(req), &opts, &err) < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
        return;
    }
    _cleanup_(access_credentials_wipe) struct access_credentials credentials;
    struct access_request asked;
    (void)access_request_from_http(req, &credentials, &asked);
    asked.protocol = "http";
    asked.query = NULL;
    asked.user = l.user;
    asked.password = l.password;
    asked.token = l.key;
    char secret[ACCESS_SESSION_SECRET_MAX];
    int64_t expires_ns = 0;
    int r = access_login(s, &asked, secret, &expires_ns);
    wipe(l.password);
    wipe(l.key);
    model_done(&login_model, &l);
    if (r < 0) {
        refuse(reply, r);
        return;
    }
    /* A session that the browser had goes: the cookie is replaced. */
    (void)access_logout(s, &asked);
    set_cookie(req, reply, secret, (expires_ns - clock_wall_ns()) / NS_PER_S);
    struct access_identity id;
    asked = (struct access_request){.cookie = secret, .peer = asked.peer};
    (void)access_identify(s, &asked, &id);
    OPENSSL_cleanse(secret, sizeof(secret));
    send_identity(reply, 200, &id);
    model_done(&access_identity_model, &id);
}

static void handle_show(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_(access_credentials_wipe) struct access_credentials credentials;
    struct access_request asked;
    struct access_identity id;
    (void)access_request_from_http(req, &credentials, &asked);
    int r = access_identify(user, &asked, &id);
    if (r < 0) {
        refuse(reply, r);
    } else {
        send_identity(reply, 200, &id);
    }
    model_done(&access_identity_model, &id);
}

static void handle_logout(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_(access_credentials_wipe) struct access_credentials credentials;
    struct access_request asked;
    (void)access_request_from_http(req, &credentials, &asked);
    (void)access_logout(user, &asked);
    set_cookie(req, reply, "", 0);
    http_reply_send(reply, 204, NULL, NULL);
}

static const struct http_doc_problem login_problems[] = {
    {400, "invalid-body", "`field` says which part of the body"},
    {401, "wrong-credentials", "no user has this password, or nobody has this key"},
    {429, "too-many-attempts", "too many failed attempts from this address"},
    {.status = 0},
};
static const struct http_doc_problem show_problems[] = {
    {401, "wrong-credentials", "the credentials of this request are wrong"},
    {429, "too-many-attempts", "too many failed attempts from this address"},
    {.status = 0},
};
static const struct http_route_doc show_doc = {
    .text =
        "For pages: what to offer. Who shows no credentials gets `by: nobody`, with what everybody may.",
    .reply_text = "You",
    .problems = show_problems,
};
static const struct http_route_doc login_doc = {
    .text =
        "The cookie is HttpOnly and SameSite=Strict: scripts cannot read it, other sites cannot use it. It stands for the user or "
        "the key in all requests to the same host, WebSockets too.",
    .reply_text = "Logged in",
    .body_example = "{\"user\":\"studio\",\"password\":\"choose-a-long-one\"}",
    .problems = login_problems,
};
static const struct http_route_doc logout_doc = {.reply_text =
                                                     "Logged out; the cookie is taken back"};

const struct http_route access_session_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/session",
        .handle = handle_show,
        .summary = "Who you are, what you may, and what let you in",
        .doc = &show_doc,
        .reply_model = &access_identity_model,
    },
    {
        .method = HTTP_POST,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/session",
        .handle = handle_login,
        .max_body_bytes = BODY_MAX,
        .summary = "Logs in by user and password or by an API key; the answer sets a cookie",
        .doc = &login_doc,
        .body_model = &login_model,
        .reply_model = &access_identity_model,
    },
    {
        .method = HTTP_DELETE,
        .kind = HTTP_ROUTE_CONTROL,
        .pattern = "/api/v1/session",
        .handle = handle_logout,
        .summary = "Logs out, and ends what plays by the cookie",
        .doc = &logout_doc,
    },
};
const unsigned access_session_routes_n = ARRAY_LEN(access_session_routes);
