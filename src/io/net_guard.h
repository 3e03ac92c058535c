/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The one check of addresses that users of the API make us connect to (design 7): an address that only this machine or its
 * network can reach is refused, so that nobody uses the server as a way in (SSRF). It judges addresses, not names, after
 * resolution and before a byte is sent: http_call_ops.check_address and conn_connect.guard ask it for each address, so a name
 * that resolves to something else at the second question gains nothing.
 *
 * Refused is everything but global unicast, in each form in which an IPv4 address can hide in an IPv6 one, and the cloud
 * metadata services with public addresses; allowed is what the administrator lists. A guard is a plain value that is not
 * changed while it is used: any thread.
 */
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop;

/* "10.0.0.0/8", "fd00::/8", "192.0.2.7"; IPv4 as mapped IPv6. */
struct net_range {
    uint8_t ip[16];
    uint8_t bits; /* 0 to 128 */
};

#define NET_GUARD_ALLOW_MAX 64
struct net_guard {
    struct net_range allow[NET_GUARD_ALLOW_MAX];
    unsigned n_allow;
};

/* -EINVAL with a sentence: not an address, more bits than it has, or bits set behind them. */
int net_range_parse(const char *text, struct net_range *ret, struct error *err);
/* Whichever family the address has; false for what is neither IPv4 nor IPv6. */
bool net_range_contains(const struct net_range *range, const struct sockaddr *address);
/* Bad or too many entries are -EINVAL, and ret is left as it was. */
int net_guard_init(struct net_guard *ret, char *const *allow, size_t n, struct error *err);
/* 0, or -EACCES with a sentence; also for families other than IPv4 and IPv6. */
int net_guard_check(const struct net_guard *g, const struct sockaddr *address, struct error *err);
/* The same for host when it is an address; 0 for a name, which is judged when it is resolved. */
int net_guard_check_host(const struct net_guard *g, const char *host, struct error *err);

/*
 * The same for a name that a child of ours will resolve itself, all its addresses now: 0, -EACCES when one of them is
 * refused, -EHOSTUNREACH when it has none. It may have others when the child asks, so this keeps out mistakes and what has a
 * fixed name, not somebody who answers for his own name. host may be an address. done comes once, after the call returned.
 */
struct net_guard_question;
typedef void (*net_guard_fn)(void *user, int r, const struct error *err);
struct net_guard_question *net_guard_ask(struct loop *l, const struct net_guard *g,
                                         const char *host, net_guard_fn done, void *user);
/* No answer any more. NULL is fine; returns NULL. Not after done. */
struct net_guard_question *net_guard_forget(struct net_guard_question *q);
