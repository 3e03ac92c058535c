/* SPDX-License-Identifier: Apache-2.0 */
#include "app/api_call.h"

#include "app/command.h"
#include "base/mem.h"
#include "base/model.h"
#include "base/url.h"

#include <curl/curl.h>
#include <stdio.h>

struct api_call api_call_to(const char *url, const char *ca)
{
    if (!url) {
        url = getenv("MAST_URL"); /* NOLINT(concurrency-mt-unsafe): commands have one thread */
    }
    if (!ca) {
        ca = getenv("MAST_CA"); /* NOLINT(concurrency-mt-unsafe): as above */
    }
    bool given = url && *url;
    return (struct api_call){
        .url = given ? url : "http://127.0.0.1:8888", .given = given, .ca = ca && *ca ? ca : NULL};
}

struct api_call api_call_options(const struct args *a)
{
    return api_call_to(args_option(a, "--url"), args_option(a, "--ca"));
}

/* ---- reading answers ---- */

/* What a terminal acts on: C0, DEL, C1. */
static bool is_control(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/* The escape sequence at the start of b, which begins with a backslash; returns its length. */
static size_t clean_escape(struct bytes b, struct out *o)
{
    char hex[5] = {0};
    const char c = b.len > 1 ? (char)b.data[1] : '\0';
    if (c == 'u' && b.len >= 6) {
        memcpy(hex, b.data + 2, 4);
        out_puts(o, is_control((unsigned)strtoul(hex, NULL, 16)) ? "\\" : "");
        out_mem(o, b.data, 6);
        return 6;
    }
    out_puts(o, c != 0 && strchr("bfnrt", c) ? "\\" : "");
    out_mem(o, b.data, MIN(b.len, (size_t)2));
    return MIN(b.len, (size_t)2);
}

/* Of JSON text, where control characters within strings are escaped, or DEL, or C1. */
static void clean(struct bytes json, struct out *o)
{
    while (json.len > 0) {
        const uint8_t *d = json.data;
        size_t n = 1;
        if (d[0] == '\\') {
            n = clean_escape(json, o);
        } else if (d[0] == 0x7f || (d[0] == 0xc2 && json.len > 1 && is_control(d[1]))) {
            n = d[0] == 0x7f ? 1 : 2;
            out_printf(o, "\\\\u%04x", d[n - 1]);
        } else {
            out_u8(o, d[0]);
        }
        json.data += n;
        json.len -= n;
    }
}

int api_parse(const struct model *m, void *ret, struct bytes json, struct error *err)
{
    static const struct model_parse_opts opts = {.max_bytes = 2 * API_REPLY_MAX,
                                                 .max_values = UINT32_MAX};
    _cleanup_(out_done) struct out text = {0};
    clean(json, &text);
    return model_parse_json(m, ret, out_view(&text), &opts, err);
}

int api_read(const struct model *m, void *ret, struct bytes json)
{
    struct error err = {0};
    if (api_parse(m, ret, json, &err) < 0) {
        fprintf(stderr, "mast: cannot read the server's reply: %s: %s\n", err.where, err.text);
        return 1;
    }
    return 0;
}

struct problem_view {
    char *detail;
    char *field;
};

static int complain(long status, const struct out *reply)
{
    static const struct model_field fields[] = {
        MODEL_STRING(struct problem_view, detail),
        MODEL_STRING(struct problem_view, field),
    };
    static const struct model model =
        MODEL("Problem", struct problem_view, fields, .unknown = MODEL_IGNORE);
    struct problem_view p;
    if (api_parse(&model, &p, out_view(reply), NULL) < 0) {
        fprintf(stderr, "mast: the server answered %ld\n", status);
        return 1;
    }
    fprintf(stderr, "mast: %s%s%s (%ld)\n", p.field ? p.field : "", p.field ? ": " : "",
            p.detail ? p.detail : "refused", status);
    model_done(&model, &p);
    return 1;
}

struct exchange {
    const struct api_call *call;
    const char *method;
    const char *target;
    const char *header; /* one more, or NULL */
    const char *body;
    bool (*on_data)(void *user, struct bytes data); /* NULL: the whole reply is collected */
    void *user;
    bool quiet; /* about a server that is not there */
    bool ended; /* by on_data */
    struct out *reply;
    CURL *curl;
};

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct exchange *x = user;
    long status = 0;
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    if (x->on_data && status == 200) {
        x->ended = !x->on_data(x->user, BYTES(data, size * n));
        return x->ended ? 0 : size * n;
    }
    if (x->reply->len + size * n > API_REPLY_MAX) {
        return 0;
    }
    out_mem(x->reply, data, size * n);
    return size * n;
}

static void set_options(struct exchange *x, const char *url, struct curl_slist *headers)
{
    CURL *c = x->curl;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, x->method);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    /* A stream has no end, but it has comments at least every 15 s: half a minute of nothing is a dead server. */
    long patience_s = x->call->patience_s ? (long)x->call->patience_s : 30;
    curl_easy_setopt(c, CURLOPT_TIMEOUT, x->on_data ? 0L : patience_s);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, patience_s);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 40L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    if (x->body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, x->body);
    }
    if (x->call->any_certificate) {
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (x->call->ca) {
        curl_easy_setopt(c, CURLOPT_CAINFO, x->call->ca);
    }
}

static enum api_result perform(struct exchange *x)
{
    size_t n = strlen(x->call->url);
    while (n > 0 && x->call->url[n - 1] == '/') {
        n--;
    }
    _cleanup_free_ char *url = mem_printf("%.*s%s", (int)n, x->call->url, x->target);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    long status = 0;
    if (x->header) {
        headers = curl_slist_append(headers, x->header);
    }
    x->curl = curl_easy_init();
    if (!x->curl || !headers) {
        fputs("mast: out of memory\n", stderr);
        return API_REFUSED;
    }
    set_options(x, url, headers);
    CURLcode code = curl_easy_perform(x->curl);
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(x->curl);
    if (x->ended) {
        return API_OK;
    }
    if (code != CURLE_OK) {
        _cleanup_free_ char *shown = url_redact(x->call->url, URL_MASK_KEYS);
        if (!x->quiet && !x->call->quiet) {
            fprintf(stderr,
                    "mast: %s: %s; is `mast serve` running there? (--url names another server)\n",
                    shown, curl_easy_strerror(code));
        }
        return API_GONE;
    }
    if (status >= 200 && status < 300) {
        return API_OK;
    }
    if (!x->call->quiet) {
        (void)complain(status, x->reply);
    }
    return API_REFUSED;
}

int api_call(const struct api_call *call, const char *method, const char *target, const char *body,
             struct out *ret)
{
    struct exchange x = {
        .call = call, .method = method, .target = target, .body = body, .reply = ret};
    return perform(&x) == API_OK ? 0 : 1;
}

enum api_result api_stream(const struct api_call *call, const char *target, const char *header,
                           bool quiet, bool (*on_data)(void *user, struct bytes data), void *user)
{
    _cleanup_(out_done) struct out reply = {0};
    struct exchange x = {.call = call,
                         .method = "GET",
                         .target = target,
                         .header = header,
                         .on_data = on_data,
                         .user = user,
                         .quiet = quiet,
                         .reply = &reply};
    return perform(&x);
}
