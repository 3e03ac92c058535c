/* SPDX-License-Identifier: Apache-2.0 */
#include "service/broadcast/rtp_ports.h"

#include "service/broadcast/broadcast_models.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T_MODEL    (&janus_track_model)
#define PORT_MIN   1024
#define PAIR(port) ((unsigned)(port) / 2)

/* ---- ranges ---- */

static unsigned first_pair(const struct rtp_port_range *r)
{
    return (r->first + 1u) / 2;
}

static unsigned end_pair(const struct rtp_port_range *r)
{
    return (r->last + 1u) / 2;
}

unsigned rtp_port_range_pairs(const struct rtp_port_range *r)
{
    return r->first && end_pair(r) > first_pair(r) ? end_pair(r) - first_pair(r) : 0;
}

/* Nothing but digits: strtoul() takes signs and spaces, too. */
static const char *take_port(const char *text, unsigned long *ret)
{
    size_t n = strspn(text, "0123456789");
    *ret = n > 0 && n <= 5 ? strtoul(text, NULL, 10) : 0;
    return *ret >= PORT_MIN && *ret <= 65535 ? text + n : NULL;
}

int rtp_port_range_parse(const char *text, struct rtp_port_range *ret, struct error *err)
{
    unsigned long first = 0;
    unsigned long last = 0;
    const char *at = take_port(text, &first);
    at = at && *at == '-' ? take_port(at + 1, &last) : NULL;
    if (!at || *at) {
        return error_set(err, -EINVAL, "", "must be two ports from %d to 65535: 20000-20999",
                         PORT_MIN);
    }
    const struct rtp_port_range range = {(uint16_t)first, (uint16_t)last};
    if (rtp_port_range_pairs(&range) == 0) {
        return error_set(err, -EINVAL, "", "must hold an even port and the one behind it");
    }
    *ret = range;
    return 0;
}

/* ---- sets ---- */

static bool has_pair(const struct rtp_port_set *s, unsigned pair)
{
    return s->pairs[pair / 64] >> (pair % 64) & 1;
}

static void add_pair(struct rtp_port_set *s, unsigned pair)
{
    s->pairs[pair / 64] |= UINT64_C(1) << (pair % 64);
}

void rtp_port_set_add(struct rtp_port_set *s, int64_t port)
{
    if (port > 0 && port <= 65535) {
        add_pair(s, PAIR(port));
    }
}

bool rtp_port_set_has(const struct rtp_port_set *s, int64_t port)
{
    return port > 0 && port <= 65535 && has_pair(s, PAIR(port));
}

unsigned rtp_port_set_count(const struct rtp_port_set *s, const struct rtp_port_range *range)
{
    unsigned n = 0;
    for (unsigned p = first_pair(range); p < end_pair(range); p++) {
        n += has_pair(s, p);
    }
    return n;
}

/* ---- choosing ---- */

struct choice {
    const struct rtp_port_range *range;
    struct rtp_port_set used; /* also by this very mountpoint */
    uint16_t *next;           /* a pair */
    bool over;
};

static bool is_free(const struct choice *c, unsigned pair)
{
    return pair >= first_pair(c->range) && pair < end_pair(c->range) && !has_pair(&c->used, pair);
}

/* The even port of a free pair; 0: there is none. */
static int64_t take(struct choice *c, int64_t before)
{
    unsigned n = rtp_port_range_pairs(c->range);
    unsigned first = first_pair(c->range);
    unsigned from = *c->next >= first && *c->next < first + n ? *c->next - first : 0;
    if (before > 0 && is_free(c, PAIR(before))) {
        add_pair(&c->used, PAIR(before));
        return 2 * (int64_t)PAIR(before);
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned pair = first + (from + i) % n;
        if (is_free(c, pair)) {
            add_pair(&c->used, pair);
            *c->next = (uint16_t)(pair + 1);
            return 2 * (int64_t)pair;
        }
    }
    c->over = true;
    return 0;
}

static bool wants_rtcp(const struct janus_track *t)
{
    return MODEL_HAS(T_MODEL, t, rtcpport) && t->rtcpport == 0;
}

static void choose_track(struct choice *c, struct janus_track *t, const struct endpoint *before)
{
    static const struct endpoint none;
    before = before ? before : &none;
    bool named = t->port > 0;
    if (!named) {
        MODEL_SET(T_MODEL, t, port, take(c, before->port));
    }
    if (wants_rtcp(t)) {
        int64_t even = named ? take(c, before->rtcp_port) : t->port;
        MODEL_SET(T_MODEL, t, rtcpport, even ? even + 1 : 0);
    }
    if (t->simulcast && t->port2 == 0) {
        MODEL_SET(T_MODEL, t, port2, take(c, before->port_2));
    }
    if (t->simulcast && t->port3 == 0) {
        MODEL_SET(T_MODEL, t, port3, take(c, before->port_3));
    }
}

int rtp_ports_choose(struct janus_mountpoint *m, const struct rtp_port_range *range,
                     const struct rtp_port_set *used, const struct endpoint_list *before,
                     uint16_t *next)
{
    struct choice c = {.range = range, .used = *used, .next = next};
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        rtp_port_set_add(&c.used, t->port);
        rtp_port_set_add(&c.used, t->rtcpport);
        rtp_port_set_add(&c.used, t->port2);
        rtp_port_set_add(&c.used, t->port3);
    }
    for (size_t i = 0; i < m->media.len && !c.over; i++) {
        bool known = before && i < before->items.len;
        choose_track(&c, &m->media.items[i], known ? &before->items.items[i] : NULL);
    }
    return c.over ? -ENOSPC : 0;
}

bool rtp_ports_wanted(const struct janus_mountpoint *m)
{
    if (m->type != JANUS_MOUNTPOINT_RTP) {
        return false; /* Janus fetches it itself */
    }
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        if (t->port == 0 || wants_rtcp(t) || (t->simulcast && (t->port2 == 0 || t->port3 == 0))) {
            return true;
        }
    }
    return false;
}

bool rtp_ports_named(const struct janus_mountpoint *m)
{
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        if (t->port || t->rtcpport || t->port2 || t->port3) {
            return true;
        }
    }
    return false;
}
