/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_client.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

LOG_TOPIC(topic, "io.http_client");

#define DEFAULT_REPLY_MAX (1024 * 1024)

enum call_state {
    CALL_QUEUED, /* libcurl gets it at the end of this iteration: it must not be called inside its own callbacks */
    CALL_ACTIVE,
    CALL_DEAD, /* cancelled or reported; leaves libcurl and memory at the end of this iteration */
};

struct http_client {
    struct loop *loop;
    CURLM *multi;
    char *user_agent;
    char *ca_file;
    struct loop_timer *timer;
    struct loop_task work; /* moves queued and dead calls */
    struct list queued;
    struct list active;
    struct list dead;
    unsigned live;
    unsigned depth; /* inside libcurl or a callback of a call */
};

struct http_call {
    struct list node;
    struct http_client *client;
    enum call_state state;
    CURL *easy;
    struct curl_slist *headers;
    const struct http_call_ops *ops;
    void *user;
    size_t max_reply_bytes;
    size_t header_bytes;
    struct out body;
    size_t body_bytes;
    char where[sizeof(((struct error *)0)->where)]; /* scheme, host and port of the first URL */
    char detail[CURL_ERROR_SIZE];
    struct error refused; /* set by our own checks; wins over what libcurl makes of it */
    int64_t started_ns;
};

/* A descriptor of libcurl's that we poll for it; lives until libuv has closed the handle. */
struct sock {
    uv_poll_t poll;
    struct http_client *client;
    curl_socket_t fd;
};

static void take_results(struct http_client *c);

/* ---- libcurl's sockets and timer on the loop ---- */

static void act(struct http_client *c, curl_socket_t fd, int what)
{
    int running;
    c->depth++;
    curl_multi_socket_action(c->multi, fd, what, &running);
    c->depth--;
    take_results(c);
}

static void on_sock(uv_poll_t *poll, int status, int events)
{
    struct sock *s = poll->data;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    act(s->client, s->fd, what);
}

static void on_sock_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void sock_close(struct sock *s)
{
    curl_multi_assign(s->client->multi, s->fd, NULL);
    uv_close((uv_handle_t *)&s->poll, on_sock_closed);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
    struct http_client *c = user;
    struct sock *s = assigned;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            sock_close(s);
        }
        return 0;
    }
    if (!s) {
        s = mem_new(struct sock);
        s->client = c;
        s->fd = fd;
        s->poll.data = s;
        if (uv_poll_init_socket(loop_uv(c->loop), &s->poll, fd) < 0) {
            free(s);
            return -1;
        }
        curl_multi_assign(c->multi, fd, s);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&s->poll, events, on_sock);
    return 0;
}

static int on_curl_timer(CURLM *multi, long ms, void *user)
{
    struct http_client *c = user;
    if (ms < 0) {
        loop_timer_stop(c->timer);
    } else {
        loop_timer_start(c->timer, (uint64_t)ms);
    }
    return 0;
}

static void on_timer(void *user)
{
    act(user, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- what libcurl asks of a call ---- */

static int refuse(struct http_call *call, int r, const char *sentence)
{
    if (call->refused.code == 0) {
        error_set(&call->refused, r, call->where, "%s", sentence);
    }
    return r;
}

static int check_address(struct http_call *call, const struct sockaddr *address, socklen_t len)
{
    struct error err = {0};
    if (call->state == CALL_DEAD || !call->ops->check_address) {
        return 0;
    }
    int r = call->ops->check_address(call->user, address, len, &err);
    if (r < 0) {
        refuse(call, -EACCES, err.text[0] ? err.text : "this address is not allowed");
    }
    return r;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    if (check_address(user, &a->addr, (socklen_t)a->addrlen) < 0) {
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

/* Kept connections were opened for another call, whose check may have been another: asked again before each request. */
static int on_before_request(void *user, char *peer, char *local, int peer_port, int local_port)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)peer_port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)peer_port)};
    struct http_call *call = user;
    int r;
    if (!call->ops->check_address) {
        return CURL_PREREQFUNC_OK;
    }
    if (inet_pton(AF_INET, peer, &in4.sin_addr) == 1) {
        r = check_address(call, (struct sockaddr *)&in4, sizeof(in4));
    } else if (inet_pton(AF_INET6, peer, &in6.sin6_addr) == 1) {
        r = check_address(call, (struct sockaddr *)&in6, sizeof(in6));
    } else {
        r = refuse(call, -EACCES, "the address of the connection is unknown");
    }
    return r < 0 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int take_data(struct http_call *call, struct bytes data)
{
    char sentence[96];
    if (call->state == CALL_DEAD) {
        return -ECANCELED;
    }
    if (data.len > call->max_reply_bytes - call->body_bytes) {
        snprintf(sentence, sizeof(sentence), "the reply is longer than %zu bytes",
                 call->max_reply_bytes);
        return refuse(call, -EFBIG, sentence);
    }
    call->body_bytes += data.len;
    if (call->ops->on_data) {
        int r = call->ops->on_data(call->user, data);
        return r < 0 && call->state != CALL_DEAD
                   ? refuse(call, r, "the receiver of the reply refused it")
                   : r;
    }
    out_bytes(&call->body, data);
    return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    size_t len = size * n;
    return take_data(user, BYTES(data, len)) < 0 ? 0 : len;
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
    struct http_call *call = user;
    size_t len = size * n;
    if (len > HTTP_CLIENT_HEADERS_MAX - call->header_bytes) {
        refuse(call, -EFBIG, "the headers of the reply are too long");
        return 0;
    }
    call->header_bytes += len;
    return len;
}

/* ---- results ---- */

static int code_of(CURLcode code)
{
    switch (code) { // NOLINT: the rest of a hundred codes is one case
    case CURLE_OK:
        return 0;
    case CURLE_COULDNT_RESOLVE_HOST:
        return -EHOSTUNREACH;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    case CURLE_TOO_MANY_REDIRECTS:
        return -ELOOP;
    case CURLE_UNSUPPORTED_PROTOCOL: /* of a redirect, or HTTP/0.9 */
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        return -EPROTO;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return -ECONNRESET;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static void describe(struct http_call *call, CURLcode code, struct http_result *res)
{
    if (code == CURLE_OK) {
        return;
    }
    if (call->refused.code) {
        res->err = call->refused;
        return;
    }
    const char *text = call->detail[0] ? call->detail : curl_easy_strerror(code);
    error_set(&res->err, code_of(code), call->where, "%s", text);
}

static void bury(struct http_call *call)
{
    struct http_client *c = call->client;
    list_remove(&call->node);
    list_append(&c->dead, &call->node);
    call->state = CALL_DEAD;
    loop_defer(c->loop, LOOP_STAGE_NOTIFY, &c->work);
}

static void report(struct http_call *call, CURLcode code)
{
    struct http_client *c = call->client;
    struct http_result res = {.call = call, .body = out_view(&call->body)};
    long status = 0;
    char *url = NULL;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
    res.status = (int)status;
    res.url = url ? url : "";
    res.elapsed_ns = clock_mono_ns() - call->started_ns;
    describe(call, code, &res);
    log_debug("%s: status %d after %lld ms%s%s", call->where, res.status,
              (long long)(res.elapsed_ns / NS_PER_MS), res.err.code ? ": " : "", res.err.text);
    bury(call);
    c->depth++;
    call->ops->on_done(call->user, &res);
    c->depth--;
}

static void take_results(struct http_client *c)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct http_call *call = NULL;
        CURLcode code = m->data.result; /* m dies with the next call of libcurl */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (m->msg == CURLMSG_DONE && call->state == CALL_ACTIVE) {
            report(call, code);
        }
    }
}

/* ---- calls come and go ---- */

static void call_free(struct http_call *call)
{
    list_remove(&call->node);
    call->client->live--;
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    out_done(&call->body);
    free(call);
}

static void on_work(struct loop_task *t)
{
    struct http_client *c = CONTAINER_OF(t, struct http_client, work);
    while (!list_empty(&c->dead)) {
        struct http_call *call = LIST_ENTRY(c->dead.next, struct http_call, node);
        curl_multi_remove_handle(c->multi, call->easy); /* harmless for one that was never added */
        call_free(call);
    }
    while (!list_empty(&c->queued)) {
        struct http_call *call = LIST_ENTRY(c->queued.next, struct http_call, node);
        list_remove(&call->node);
        list_append(&c->active, &call->node);
        call->state = CALL_ACTIVE;
        curl_multi_add_handle(c->multi, call->easy);
    }
}

void http_call_cancel(struct http_call *call)
{
    if (call && call->state != CALL_DEAD) {
        bury(call);
    }
}

static void global_init(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        fprintf(stderr, "mast: cannot set up libcurl, aborting\n");
        abort();
    }
}

struct http_client *http_client_new(struct loop *l, const struct http_client_config *config)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    struct http_client *c = mem_new(struct http_client);
    c->loop = l;
    c->multi = curl_multi_init();
    if (!c->multi) {
        fprintf(stderr, "mast: cannot set up libcurl, aborting\n");
        abort();
    }
    c->user_agent = mem_strdup(config && config->user_agent ? config->user_agent : "mast");
    c->ca_file = config && config->ca_file ? mem_strdup(config->ca_file) : NULL;
    c->timer = loop_timer_new(l, on_timer, c);
    loop_task_init(&c->work, on_work);
    list_init(&c->queued);
    list_init(&c->active);
    list_init(&c->dead);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    long per_host = config && config->max_per_host ? (long)config->max_per_host : 8L;
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
    return c;
}

struct http_client *http_client_free(struct http_client *c)
{
    if (!c) {
        return NULL;
    }
    assert(c->depth == 0);
    while (!list_empty(&c->queued)) {
        bury(LIST_ENTRY(c->queued.next, struct http_call, node));
    }
    while (!list_empty(&c->active)) {
        bury(LIST_ENTRY(c->active.next, struct http_call, node));
    }
    on_work(&c->work);
    loop_task_cancel(&c->work);
    /* Closes kept connections; each socket's poll handle is closed through on_curl_socket(). */
    curl_multi_cleanup(c->multi);
    c->timer = loop_timer_free(c->timer);
    free(c->user_agent);
    free(c->ca_file);
    free(c);
    return NULL;
}

unsigned http_client_live(const struct http_client *c)
{
    return c->live;
}

/* ---- setting up a call ---- */

/* "https://example.org:8443", without user, path and query, which may hold secrets. */
static int describe_url(struct http_call *call, const char *url)
{
    CURLU *u = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    int r = -EINVAL;
    if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0)) {
        snprintf(call->where, sizeof(call->where), "%s://%s:%s", scheme, host, port);
        r = 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return r;
}

static bool method_is_token(const char *m)
{
    size_t n = strspn(m, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_");
    return n > 0 && n <= 32 && m[n] == '\0';
}

/* libcurl sends what it is given: a line end inside would begin another header, or another request. */
static bool headers_are_lines(const char *const *headers)
{
    for (; headers && *headers; headers++) {
        if (strpbrk(*headers, "\r\n")) {
            return false;
        }
    }
    return true;
}

static void set_method(CURL *easy, const char *method, struct bytes body)
{
    if (body.len > 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, body.data);
    }
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "POST") == 0) {
        if (body.len == 0) {
            curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, "");
        }
    } else if (strcmp(method, "GET") != 0 || body.len > 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    }
}

static void set_headers(struct http_call *call, const char *const *headers)
{
    /* libcurl would wait a second for "100 Continue" from servers that do not know it. */
    call->headers = curl_slist_append(NULL, "Expect:");
    for (; headers && *headers; headers++) {
        call->headers = curl_slist_append(call->headers, *headers);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void set_limits(CURL *easy, const struct http_call_spec *spec)
{
    long connect_ms = spec->connect_timeout_ms ? (long)spec->connect_timeout_ms : 10000L;
    long whole_ms = spec->timeout_ms ? (long)spec->timeout_ms : 30000L;
    long redirects = (long)MIN(spec->max_redirects, (unsigned)HTTP_CLIENT_REDIRECTS);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, whole_ms);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, redirects > 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, redirects);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY,
                     ""); /* not even from the environment: it would see what the check refuses */
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Else cancelling waits for a name server: libcurl joins its resolver thread. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
}

static void set_tls(struct http_call *call, const struct http_call_spec *spec)
{
    const char *ca = spec->ca_file ? spec->ca_file : call->client->ca_file;
    curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYPEER, spec->insecure ? 0L : 1L);
    curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYHOST, spec->insecure ? 0L : 2L);
    if (ca) {
        curl_easy_setopt(call->easy, CURLOPT_CAINFO, ca);
    }
}

static void set_callbacks(struct http_call *call)
{
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
}

int http_client_start(struct http_client *c, const struct http_call_spec *spec,
                      const struct http_call_ops *ops, void *user, struct http_call **ret,
                      struct error *err)
{
    const char *method = spec->method ? spec->method : (spec->body.len > 0 ? "POST" : "GET");
    if (c->live >= HTTP_CLIENT_CALLS_MAX) {
        return error_set(err, -ENOBUFS, "", "more than %d HTTP requests are under way",
                         HTTP_CLIENT_CALLS_MAX);
    }
    struct http_call *call = mem_new(struct http_call);
    if (!method_is_token(method) || !headers_are_lines(spec->headers) ||
        describe_url(call, spec->url) < 0) {
        free(call);
        return error_set(err, -EINVAL, "", "not a method, headers, and an http or https URL");
    }
    call->easy = curl_easy_init();
    if (!call->easy) {
        free(call);
        return error_set(err, -ENOMEM, "", "cannot make an HTTP request: out of memory");
    }
    call->client = c;
    call->ops = ops;
    call->user = user;
    call->max_reply_bytes = spec->max_reply_bytes ? spec->max_reply_bytes : DEFAULT_REPLY_MAX;
    call->started_ns = clock_mono_ns();
    curl_easy_setopt(call->easy, CURLOPT_URL, spec->url);
    curl_easy_setopt(call->easy, CURLOPT_USERAGENT, c->user_agent);
    set_tls(call, spec);
    set_method(call->easy, method, spec->body);
    set_headers(call, spec->headers);
    set_limits(call->easy, spec);
    set_callbacks(call);
    c->live++;
    list_append(&c->queued, &call->node);
    loop_defer(c->loop, LOOP_STAGE_NOTIFY, &c->work);
    if (ret) {
        *ret = call;
    }
    return 0;
}

const char *http_result_header(const struct http_result *r, const char *name)
{
    struct curl_header *h;
    if (curl_easy_header(r->call->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK) {
        return NULL;
    }
    return h->value;
}
