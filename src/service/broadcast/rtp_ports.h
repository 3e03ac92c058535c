/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Ports for the tracks of mountpoints, out of a range that the configuration gives to a Janus server. They go in pairs: RTP is
 * at an even port, RTCP at the odd one beside it, which stays free where none is asked for, since some senders of RTP send
 * theirs there anyway. Plain values, nothing is asked outside: any thread.
 */
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct janus_mountpoint;
struct endpoint_list;

struct rtp_port_range {
    uint16_t first, last; /* 0: there is none */
};
/* "20000-20999". -EINVAL: not two ports above 1023, or no pair in between. */
int rtp_port_range_parse(const char *text, struct rtp_port_range *ret, struct error *err);
unsigned rtp_port_range_pairs(const struct rtp_port_range *range);

/* Pairs of which at least one port is used. */
struct rtp_port_set {
    uint64_t pairs[65536 / 2 / 64];
};
/* 0 is no port. */
void rtp_port_set_add(struct rtp_port_set *s, int64_t port);
bool rtp_port_set_has(const struct rtp_port_set *s, int64_t port);
unsigned rtp_port_set_count(const struct rtp_port_set *s, const struct rtp_port_range *range);

/*
 * Gives a port to each track of m that has none, to its RTCP when that is asked for (0), and to the other layers of simulcast:
 * the one that it had before (NULL, or its tracks in order) when that is free, else the next behind *next, which begins at 0.
 * What the caller named stays. -ENOSPC: m is half done.
 */
int rtp_ports_choose(struct janus_mountpoint *m, const struct rtp_port_range *range,
                     const struct rtp_port_set *used, const struct endpoint_list *before,
                     uint16_t *next);
/* Whether there is anything to give. */
bool rtp_ports_wanted(const struct janus_mountpoint *m);
/* Whether m names a port itself. */
bool rtp_ports_named(const struct janus_mountpoint *m);
