/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A UDP socket on a loop: datagrams out in runs, with generic segmentation (UDP_SEGMENT) where neighbours have one size, which is
 * what costs several times less per packet; datagrams in by callback. One owner, its loop's thread, as are all callbacks.
 *
 * It keeps nothing: what the kernel does not take now is the caller's to send again when on_writable comes. It does not
 * connect, so errors of one destination (ICMP) do not reach another; a datagram that cannot be sent is counted and gone.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"

#include <sys/socket.h>

struct udp;

struct udp_ops {
    void (*on_datagram)(void *user, struct bytes data, const struct sockaddr *from);
    void (*on_writable)(void *user); /* once after udp_send() took fewer than all; may be NULL */
};

struct udp_stats {
    uint64_t packets_out, bytes_out, errors_out;
    uint64_t packets_in;
    uint64_t full; /* how often the socket's buffer was */
};

/* Bound to an address (port 0: any). NULL with err. */
struct udp *udp_open(struct loop *l, const struct sockaddr *bind, const struct udp_ops *ops,
                     void *user, struct error *err);
struct udp *udp_close(struct udp *u); /* no callback comes after it. NULL is fine; returns NULL */
void udp_local(const struct udp *u, struct sockaddr_storage *ret);
void udp_stats(const struct udp *u, struct udp_stats *ret);

/* One datagram in two pieces, so that a shared payload is not copied behind its own header. */
struct udp_datagram {
    struct bytes head;
    struct bytes body;
};
/* How many of n were taken, in order; fewer: the socket's buffer is full and on_writable will come. */
unsigned udp_send(struct udp *u, const struct sockaddr *to, const struct udp_datagram *d,
                  unsigned n);

/* Length of an address of this family; 0 for a family that is none of ours. */
socklen_t sockaddr_len(const struct sockaddr *a);
