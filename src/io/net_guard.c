/* SPDX-License-Identifier: Apache-2.0 */
#include "io/net_guard.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define MAPPED_BITS 96

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b}; /* RFC 6052 */

static bool has_prefix(const uint8_t *ip, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);
    return memcmp(ip, prefix, whole) == 0 &&
           (rest == 0 || (ip[whole] & mask) == (prefix[whole] & mask));
}

static bool is_v4(const uint8_t ip[16])
{
    return memcmp(ip, mapped, sizeof(mapped)) == 0;
}

/* ---- what is refused (the IANA special-purpose registries, RFC 6890) ---- */

static const struct {
    uint8_t ip[4];
    uint8_t bits;
    const char *what;
} refused_v4[] = {
    {{0, 0, 0, 0}, 8, "this network"},
    {{10, 0, 0, 0}, 8, "a private address"},
    {{100, 64, 0, 0}, 10, "a carrier's private address"}, /* also 100.100.100.200, metadata */
    {{127, 0, 0, 0}, 8, "this machine"},
    {{168, 63, 129, 16}, 32, "a metadata service"}, /* Azure's, in public space */
    {{169, 254, 0, 0}, 16, "a link-local address"}, /* 169.254.169.254: metadata */
    {{172, 16, 0, 0}, 12, "a private address"},
    {{192, 0, 0, 0}, 24, "a reserved address"}, /* 192.0.0.192: metadata */
    {{192, 0, 2, 0}, 24, "a reserved address"},
    {{192, 88, 99, 0}, 24, "a reserved address"},
    {{192, 168, 0, 0}, 16, "a private address"},
    {{198, 18, 0, 0}, 15, "a reserved address"},
    {{198, 51, 100, 0}, 24, "a reserved address"},
    {{203, 0, 113, 0}, 24, "a reserved address"},
    {{224, 0, 0, 0}, 4, "a multicast address"},
    {{240, 0, 0, 0}, 4, "a reserved address"},
};

/* Inside global unicast (2000::/3); all outside of it is refused anyway. */
static const struct {
    uint8_t ip[4];
    uint8_t bits;
} refused_v6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments: Teredo, ORCHID, benchmarking */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff, 0x00, 0x00}, 20}, /* documentation */
};

static const char *why_v4(const uint8_t *ip)
{
    for (unsigned i = 0; i < ARRAY_LEN(refused_v4); i++) {
        if (has_prefix(ip, refused_v4[i].ip, refused_v4[i].bits)) {
            return refused_v4[i].what;
        }
    }
    return NULL;
}

/* Where an IPv4 address hides in this IPv6 address: its offset, 0 = nowhere. */
static unsigned embedded_at(const uint8_t ip[16])
{
    static const uint8_t isatap[3] = {0x00, 0x5e, 0xfe}; /* RFC 5214 */
    if (is_v4(ip) || memcmp(ip, nat64, sizeof(nat64)) == 0) {
        return 12;
    }
    if (ip[0] == 0x20 && ip[1] == 0x02) { /* 6to4, RFC 3056 */
        return 2;
    }
    return (ip[8] & 0xfd) == 0 && memcmp(ip + 9, isatap, 3) == 0 ? 12 : 0;
}

static const char *why_v6(const uint8_t ip[16])
{
    static const uint8_t loopback[16] = {[15] = 1};
    if (memcmp(ip, loopback, 16) == 0) {
        return "this machine";
    }
    if (ip[0] == 0xff) {
        return "a multicast address";
    }
    if ((ip[0] & 0xfe) == 0xfc) {
        return "a private address";
    }
    if (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) {
        return "a link-local address";
    }
    if ((ip[0] & 0xe0) != 0x20 && memcmp(ip, nat64, sizeof(nat64)) != 0) {
        return "not a public address";
    }
    for (unsigned i = 0; i < ARRAY_LEN(refused_v6); i++) {
        if (has_prefix(ip, refused_v6[i].ip, refused_v6[i].bits)) {
            return "a reserved address";
        }
    }
    return NULL;
}

static const char *why(const uint8_t ip[16])
{
    unsigned at = embedded_at(ip);
    const char *what = at ? why_v4(ip + at) : NULL;
    return what || is_v4(ip) ? what : why_v6(ip);
}

/* ---- ranges ---- */

static bool address_bytes(const struct sockaddr *sa, uint8_t ret[16])
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        memcpy(ret, mapped, sizeof(mapped));
        memcpy(ret + 12, &in.sin_addr, 4);
        return true;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        memcpy(ret, &in6.sin6_addr, 16);
        return true;
    }
    return false;
}

bool net_range_contains(const struct net_range *range, const struct sockaddr *address)
{
    uint8_t ip[16];
    return address_bytes(address, ip) && has_prefix(ip, range->ip, range->bits);
}

static bool is_allowed(const struct net_guard *g, const uint8_t ip[16])
{
    for (unsigned i = 0; i < g->n_allow; i++) {
        if (has_prefix(ip, g->allow[i].ip, g->allow[i].bits)) {
            return true;
        }
    }
    return false;
}

static bool is_clear_behind(const struct net_range *r)
{
    for (unsigned bit = r->bits; bit < 128; bit++) {
        if (r->ip[bit / 8] & (0x80u >> (bit % 8))) {
            return false;
        }
    }
    return true;
}

int net_range_parse(const char *text, struct net_range *ret, struct error *err)
{
    char address[INET6_ADDRSTRLEN];
    struct net_range r = {.bits = 128};
    size_t n = strcspn(text, "/");
    const char *slash = text[n] ? text + n + 1 : NULL;
    unsigned offset = 0;
    if (n >= sizeof(address)) {
        return error_set(err, -EINVAL, "", "'%.60s' is not an address or a range of them", text);
    }
    memcpy(address, text, n);
    address[n] = '\0';
    if (inet_pton(AF_INET, address, r.ip + 12) == 1) {
        memcpy(r.ip, mapped, sizeof(mapped));
        offset = MAPPED_BITS;
    } else if (inet_pton(AF_INET6, address, r.ip) != 1) {
        return error_set(err, -EINVAL, "", "'%.60s' is not an address or a range of them", text);
    }
    if (slash) {
        size_t digits = strspn(slash, "0123456789");
        unsigned long bits = digits >= 1 && digits <= 3 ? strtoul(slash, NULL, 10) : 999;
        if (slash[digits] != '\0' || bits > 128 - offset) {
            return error_set(err, -EINVAL, "", "'%.60s' has no number of bits behind the slash",
                             text);
        }
        r.bits = (uint8_t)(bits + offset);
    }
    if (!is_clear_behind(&r)) {
        return error_set(err, -EINVAL, "", "'%.60s' has bits behind its first %d", text,
                         (int)(r.bits - offset));
    }
    *ret = r;
    return 0;
}

int net_guard_init(struct net_guard *ret, char *const *allow, size_t n, struct error *err)
{
    struct net_guard g = {0};
    if (n > NET_GUARD_ALLOW_MAX) {
        return error_set(err, -EINVAL, "", "more than %d ranges", NET_GUARD_ALLOW_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        int r = net_range_parse(allow[i], &g.allow[g.n_allow++], err);
        if (r < 0) {
            return r;
        }
    }
    *ret = g;
    return 0;
}

/* ---- the check ---- */

int net_guard_check(const struct net_guard *g, const struct sockaddr *address, struct error *err)
{
    uint8_t ip[16];
    char text[INET6_ADDRSTRLEN] = "";
    if (!address_bytes(address, ip)) {
        return error_set(err, -EACCES, "", "this kind of address is not allowed");
    }
    const char *what = why(ip);
    if (!what || is_allowed(g, ip)) {
        return 0;
    }
    inet_ntop(is_v4(ip) ? AF_INET : AF_INET6, is_v4(ip) ? ip + 12 : ip, text, sizeof(text));
    return error_set(err, -EACCES, "", "%s is %s, which outgoing.allow does not name", text, what);
}

int net_guard_check_host(const struct net_guard *g, const char *host, struct error *err)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        return net_guard_check(g, (const struct sockaddr *)&in, err);
    }
    if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
        return net_guard_check(g, (const struct sockaddr *)&in6, err);
    }
    return 0;
}
