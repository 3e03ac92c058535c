/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which ports of its Janus server's range a broadcast gets. Nothing is reserved or released: what is used is what the records
 * of the broadcasts at that server say that they have, or are about to have, as long as something of theirs may be there. So a
 * restart of ours, an undo that failed or a crash leaves nothing behind.
 */
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <stdlib.h>

static const struct janus_server_config *server_of(const struct broadcast *b)
{
    const struct janus_server_config *c = NULL;
    (void)janus_servers_find(b->service->config.janus, b->record.result.request.janus, &c, NULL);
    return c;
}

/* Its mountpoint is there, may be, or will be again. */
static bool holds_ports(const struct broadcast *b)
{
    const struct step *s = runner_find(&b->runner, step_mountpoint.name);
    return s && s->state != STEP_IDLE && b->record.result.mountpoint_response;
}

static void collect(const struct broadcast *b, struct rtp_port_set *ret)
{
    const struct janus_server_config *server = server_of(b);
    LIST_FOREACH (it, &b->service->all) {
        const struct broadcast *other = LIST_ENTRY(it, struct broadcast, node);
        if (other == b || !holds_ports(other) || server_of(other) != server) {
            continue;
        }
        const struct broadcast_mountpoint_response *m = other->record.result.mountpoint_response;
        for (size_t i = 0; i < m->ports.len; i++) {
            const struct endpoint *e = &m->ports.items[i];
            rtp_port_set_add(ret, e->port);
            rtp_port_set_add(ret, e->rtcp_port);
            rtp_port_set_add(ret, e->port_2);
            rtp_port_set_add(ret, e->port_3);
        }
    }
}

static void add_all(struct rtp_port_set *to, const struct rtp_port_set *from)
{
    for (size_t i = 0; i < ARRAY_LEN(to->pairs); i++) {
        to->pairs[i] |= from->pairs[i];
    }
}

bool broadcast_ports_wanted(const struct broadcast *b, const struct janus_server *server)
{
    const struct janus_mountpoint *spec = b->record.result.request.mountpoint_spec;
    return janus_server_ports(server)->first && spec->type == JANUS_MOUNTPOINT_RTP &&
           rtp_ports_wanted(spec);
}

int broadcast_ports_choose(const struct broadcast *b, struct janus_server *server,
                           struct janus_mountpoint *m, struct error *err)
{
    const struct rtp_port_range *range = janus_server_ports(server);
    const struct broadcast_mountpoint_response *had = b->record.result.mountpoint_response;
    struct endpoint_list before = {{0}};
    struct rtp_port_set *used = mem_new(struct rtp_port_set);
    collect(b, used);
    unsigned ours = rtp_port_set_count(used, range);
    add_all(used, janus_server_taken(server));
    unsigned all = rtp_port_set_count(used, range);
    if (had) {
        before = (struct endpoint_list){{had->ports.items, had->ports.len}};
    }
    int r = rtp_ports_choose(m, range, used, &before, janus_server_next_port(server));
    free(used);
    if (r < 0) {
        /* Who asks the next time finds those free again that others had today. */
        *janus_server_taken(server) = (struct rtp_port_set){0};
        error_set(
            err, -EADDRINUSE, "mountpoint",
            "rtp_ports %u-%u of janus %s are used up: of %u pairs %u are broadcasts', %u have "
            "others",
            range->first, range->last, janus_server_config(server)->name,
            rtp_port_range_pairs(range), ours, all - ours);
        return -EADDRINUSE;
    }
    return 0;
}

void broadcast_ports_put(const struct broadcast *b, struct janus_mountpoint *m)
{
    const struct broadcast_mountpoint_response *r = b->record.result.mountpoint_response;
    for (size_t i = 0; i < m->media.len && i < r->ports.len; i++) {
        const struct endpoint *e = &r->ports.items[i];
        struct janus_track *t = &m->media.items[i];
        MODEL_SET(&janus_track_model, t, port, e->port);
        if (MODEL_HAS(&janus_track_model, t, rtcpport)) {
            t->rtcpport = e->rtcp_port;
        }
        if (t->simulcast) {
            MODEL_SET(&janus_track_model, t, port2, e->port_2);
            MODEL_SET(&janus_track_model, t, port3, e->port_3);
        }
    }
}

bool broadcast_ports_refused(const struct broadcast *b, struct janus_server *server)
{
    const struct broadcast_mountpoint_response *r = b->record.result.mountpoint_response;
    if (rtp_ports_named(b->record.result.request.mountpoint_spec)) {
        return false;
    }
    for (size_t i = 0; i < r->ports.len; i++) {
        const struct endpoint *e = &r->ports.items[i];
        rtp_port_set_add(janus_server_taken(server), e->port);
        rtp_port_set_add(janus_server_taken(server), e->port_2);
        rtp_port_set_add(janus_server_taken(server), e->port_3);
    }
    return true;
}
