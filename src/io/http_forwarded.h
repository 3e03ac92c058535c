/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who is behind a proxy: X-Forwarded-For with X-Forwarded-Proto, or Forwarded (RFC 7239). Each proxy appends the address it
 * was asked from, so the list is read from its end: as long as an address is one of the trusted proxies, the one before it is
 * believed. The rightmost that is not trusted is the client; what stands before it may be anybody's invention.
 *
 * A proxy that writes one of the two headers passes the other on as the client sent it. So when both are there and name
 * different clients, neither is believed. Pure functions.
 */
#include "io/http.h"
#include "io/net_guard.h"

#define FORWARDED_HOPS_MAX 32 /* what stands before is not looked at */

struct forwarded {
    struct sockaddr_storage client;
    bool tls; /* the client came by TLS */
};

struct trusted_proxies {
    size_t n;
    const struct net_range *nets;
};

bool proxy_is_trusted(const struct trusted_proxies *t, const struct sockaddr *sa);
/* The request's client, when its peer is a trusted proxy that says one; false: the peer is as good as it gets. */
bool forwarded_resolve(const struct http_request *req, const struct trusted_proxies *t,
                       struct forwarded *ret);

/* The walks over one header each; peer is who sent it. False when it names nobody. For tests and fuzzers. */
bool forwarded_walk_list(const char *header, const struct sockaddr *peer,
                         const struct trusted_proxies *t, struct sockaddr_storage *ret);
bool forwarded_walk(const char *header, const struct sockaddr *peer,
                    const struct trusted_proxies *t, struct forwarded *ret);
