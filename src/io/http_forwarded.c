/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_forwarded.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool proxy_is_trusted(const struct trusted_proxies *t, const struct sockaddr *sa)
{
    for (size_t i = 0; i < t->n; i++) {
        if (net_range_contains(&t->nets[i], sa)) {
            return true;
        }
    }
    return false;
}

static struct bytes trim(struct bytes b)
{
    while (b.len > 0 && (b.data[0] == ' ' || b.data[0] == '\t')) {
        b = BYTES(b.data + 1, b.len - 1);
    }
    while (b.len > 0 && (b.data[b.len - 1] == ' ' || b.data[b.len - 1] == '\t')) {
        b.len--;
    }
    return b;
}

/* The last elements of a list, in order. */
struct hops {
    unsigned n;
    struct bytes items[FORWARDED_HOPS_MAX];
};

static void add_hop(struct hops *h, struct bytes item)
{
    item = trim(item);
    if (item.len == 0) {
        return;
    }
    if (h->n == FORWARDED_HOPS_MAX) {
        memmove(&h->items[0], &h->items[1], (FORWARDED_HOPS_MAX - 1) * sizeof(h->items[0]));
        h->n--;
    }
    h->items[h->n++] = item;
}

/*
 * Behind the quoted string (RFC 9110 5.6.4) that opens at i, or i when it is none. The client writes the front of the header: a
 * quote that it left open would swallow what the proxy added, up to the proxy's own quotes. So one opens as a value only, and
 * is closed only where an element or a parameter may end.
 */
static size_t skip_quoted(const char *text, size_t i, size_t len)
{
    size_t at = i + 1;
    if (i == 0 || text[i - 1] != '=') {
        return i;
    }
    while (at < len && text[at] != '"') {
        at += text[at] == '\\' ? 2 : 1;
    }
    return at + 1 == len || (at + 1 < len && strchr(",; \t", text[at + 1])) ? at + 1 : i;
}

/* Where the first `stop` outside of quotes is, or the end. */
static size_t span(const char *text, size_t len, char stop)
{
    for (size_t i = 0; i < len;) {
        size_t behind = text[i] == '"' ? skip_quoted(text, i, len) : i;
        if (behind == i && text[i] == stop) {
            return i;
        }
        i = MAX(behind, i + 1);
    }
    return len;
}

/* Forwarded has quotes, in which commas do not part; the older headers have none. */
static void split(const char *header, bool quotes, struct hops *ret)
{
    size_t len = strlen(header);
    *ret = (struct hops){0};
    for (size_t at = 0; at < len;) {
        const char *rest = header + at;
        size_t n = quotes ? span(rest, len - at, ',') : strcspn(rest, ",");
        add_hop(ret, BYTES(rest, n));
        at += n + 1;
    }
}

/*
 * "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". The port is left out: some write one, some do
 * not. False for "unknown" and hidden names (RFC 7239 6.2, 6.3).
 */
static bool parse_node(struct bytes node, struct sockaddr_storage *ret)
{
    char text[INET6_ADDRSTRLEN + 8];
    if (node.len == 0 || node.len >= sizeof(text)) {
        return false;
    }
    memcpy(text, node.data, node.len);
    text[node.len] = '\0';
    if (strlen(text) != node.len) {
        return false;
    }
    char *host = text;
    char *colon = strchr(text, ':');
    if (*host == '[') {
        char *end = strchr(++host, ']');
        if (!end || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        *end = '\0';
    } else if (colon && !strchr(colon + 1, ':')) {
        *colon = '\0';
    }
    *ret = (struct sockaddr_storage){0};
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        return true;
    }
    in6->sin6_family = AF_INET6;
    return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1;
}

bool forwarded_walk_list(const char *header, const struct sockaddr *peer,
                         const struct trusted_proxies *t, struct sockaddr_storage *ret)
{
    struct hops hops;
    bool found = false;
    split(header, false, &hops);
    while (hops.n > 0 && proxy_is_trusted(t, found ? (struct sockaddr *)ret : peer)) {
        struct sockaddr_storage next;
        if (!parse_node(hops.items[--hops.n], &next)) {
            break;
        }
        *ret = next;
        found = true;
    }
    return found;
}

/* The value of a parameter of an element ("for=..;proto=.."), without quotes and escapes, into buf; false when absent. */
static bool parameter(struct bytes element, const char *name, char *buf, size_t size)
{
    const size_t n = strlen(name);
    for (size_t at = 0; at < element.len;) {
        const char *text = (const char *)element.data + at;
        size_t len = span(text, element.len - at, ';');
        struct bytes pair = trim(BYTES(text, len));
        if (pair.len > n && pair.data[n] == '=' &&
            strncasecmp((const char *)pair.data, name, n) == 0) {
            size_t out = 0;
            for (size_t i = n + 1; i < pair.len && out + 1 < size; i++) {
                if (pair.data[i] == '"' || (pair.data[i] == '\\' && ++i == pair.len)) {
                    continue;
                }
                buf[out++] = (char)pair.data[i];
            }
            buf[out] = '\0';
            return true;
        }
        at += len + 1;
    }
    return false;
}

bool forwarded_walk(const char *header, const struct sockaddr *peer,
                    const struct trusted_proxies *t, struct forwarded *ret)
{
    struct hops hops;
    bool found = false;
    split(header, true, &hops);
    while (hops.n > 0 &&
           proxy_is_trusted(t, found ? (const struct sockaddr *)&ret->client : peer)) {
        char text[INET6_ADDRSTRLEN + 8];
        struct sockaddr_storage next;
        struct bytes element = hops.items[--hops.n];
        if (!parameter(element, "for", text, sizeof(text)) ||
            !parse_node(BYTES(text, strlen(text)), &next)) {
            break;
        }
        ret->client = next;
        ret->tls =
            parameter(element, "proto", text, sizeof(text)) && strcasecmp(text, "https") == 0;
        found = true;
    }
    return found;
}

/* All lines of a header as one list (RFC 9110 5.3). NULL when there is none. */
static char *join(const struct http_request *req, const char *name)
{
    struct out o = {0};
    const char *line;
    for (unsigned i = 0; (line = http_request_header_at(req, name, i)); i++) {
        out_puts(&o, i ? "," : "");
        out_puts(&o, line);
    }
    return o.len ? out_take_str(&o) : NULL;
}

/* The last word: that of the proxy that is next to us. */
static bool says_https(const char *protos)
{
    struct hops hops;
    split(protos ? protos : "", false, &hops);
    return hops.n > 0 && hops.items[hops.n - 1].len == 5 &&
           strncasecmp((const char *)hops.items[hops.n - 1].data, "https", 5) == 0;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    struct net_range net = {.bits = 128};
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(a->ss_family,
              a->ss_family == AF_INET ? (const void *)&((const struct sockaddr_in *)a)->sin_addr
                                      : (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr,
              text, sizeof(text));
    return net_range_parse(text, &net, NULL) == 0 &&
           net_range_contains(&net, (const struct sockaddr *)b);
}

bool forwarded_resolve(const struct http_request *req, const struct trusted_proxies *t,
                       struct forwarded *ret)
{
    const struct sockaddr_storage *from = &http_request_peer(req)->sa;
    const struct sockaddr *peer = (const struct sockaddr *)from;
    if (!proxy_is_trusted(t, peer)) {
        return false;
    }
    struct forwarded x = {.client = *from, .tls = http_request_is_tls(req)};
    struct forwarded f = x;
    _cleanup_free_ char *list = join(req, "X-Forwarded-For");
    _cleanup_free_ char *protos = join(req, "X-Forwarded-Proto");
    _cleanup_free_ char *standard = join(req, "Forwarded");
    bool has_list = list && forwarded_walk_list(list, peer, t, &x.client);
    bool has_standard = standard && forwarded_walk(standard, peer, t, &f);
    if (protos) {
        x.tls = says_https(protos);
    }
    if (has_list && has_standard && !same_address(&x.client, &f.client)) {
        return false;
    }
    *ret = has_standard && !has_list ? f : x;
    return has_list || has_standard || protos;
}
