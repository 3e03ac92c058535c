/* SPDX-License-Identifier: Apache-2.0 */
#include "app/api_call.h"

#include "app/command.h"
#include "base/mem.h"
#include "base/model.h"
#include "base/url.h"

#include <curl/curl.h>
#include <stdio.h>

struct api_call api_call_options(int *argc, char **argv)
{
    const char *url = command_option(argc, argv, "--url");
    if (!url) {
        url = getenv("MAST_URL"); /* NOLINT(concurrency-mt-unsafe): commands have one thread */
    }
    const char *ca = command_option(argc, argv, "--ca");
    if (!ca) {
        ca = getenv("MAST_CA"); /* NOLINT(concurrency-mt-unsafe): as above */
    }
    return (struct api_call){.url = url && *url ? url : "http://127.0.0.1:8888",
                             .ca = ca && *ca ? ca : NULL};
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
    struct out *o = user;
    if (o->len + size * n > API_REPLY_MAX) {
        return 0;
    }
    out_mem(o, data, size * n);
    return size * n;
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
    if (model_parse_json(&model, &p, out_view(reply), NULL, NULL) < 0) {
        fprintf(stderr, "mast: the server answered %ld\n", status);
        return 1;
    }
    fprintf(stderr, "mast: %s%s%s (%ld)\n", p.field ? p.field : "", p.field ? ": " : "",
            p.detail ? p.detail : "refused", status);
    model_done(&model, &p);
    return 1;
}

static void set_options(CURL *c, const char *method, const char *body, struct out *ret)
{
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, ret);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, 30L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    if (body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
    }
}

int api_call(const struct api_call *call, const char *method, const char *target, const char *body,
             struct out *ret)
{
    size_t n = strlen(call->url);
    while (n > 0 && call->url[n - 1] == '/') {
        n--;
    }
    _cleanup_free_ char *url = mem_printf("%.*s%s", (int)n, call->url, target);
    CURL *c = curl_easy_init();
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!c || !headers) {
        fputs("mast: out of memory\n", stderr);
        return 1;
    }
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    set_options(c, method, body, ret);
    if (call->ca) {
        curl_easy_setopt(c, CURLOPT_CAINFO, call->ca);
    }
    CURLcode code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
    if (code != CURLE_OK) {
        _cleanup_free_ char *shown = url_redact(call->url, URL_MASK_KEYS);
        fprintf(stderr,
                "mast: %s: %s; is `mast serve` running there? (--url names another server)\n",
                shown, curl_easy_strerror(code));
        return 1;
    }
    return status >= 200 && status < 300 ? 0 : complain(status, ret);
}
