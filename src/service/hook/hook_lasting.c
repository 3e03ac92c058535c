/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that run as long as a stream is live: one supervisor for each hook and stream. */
#include "base/log.h"
#include "io/supervisor.h"
#include "service/hook/hook_internal.h"

LOG_TOPIC(topic, "hook");

#define LASTING_MAX 256 /* of one hook */

/*
 *   wanted, running   the stream is live
 *   not wanted        its program is ending; wanted again meanwhile: it is started anew when it is gone
 *   over              freed by hook_lasting_bury(), as a supervisor may not be inside its own calls
 */
struct lasting {
    struct hook_state *h;
    char *path;
    struct supervisor *supervisor;
    bool wanted;
    bool over;
    struct hook_child child; /* between make and release */
    struct hook_output output;
};

static int on_make(void *user, struct proc_spec *spec, struct error *err)
{
    struct lasting *l = user;
    _cleanup_free_ char *resource = mem_printf("streams/%s", l->path);
    hook_child_init(&l->child, &l->h->c, resource);
    spec->name = l->h->c.name;
    spec->argv = l->child.argv;
    spec->env = (const char *const *)l->child.env;
    spec->dir = "/";
    return 0;
}

static void on_release(void *user)
{
    struct lasting *l = user;
    hook_child_done(&l->child);
}

static void on_output(void *user, struct bytes chunk)
{
    struct lasting *l = user;
    hook_output_chunk(&l->output, chunk);
}

static void on_line(void *user, const char *line)
{
    struct lasting *l = user;
    hook_output_line(&l->output, line);
}

static enum supervisor_verdict on_exit_of_child(void *user, const struct proc_exit *e)
{
    struct lasting *l = user;
    hook_failed(l->h, NULL, l->path,
                e->err.code < 0 ? e->err.text : "ended while the stream is live", e->code);
    return SUPERVISOR_RESTART;
}

static void on_state(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason)
{
    const struct lasting *l = user;
    log_debug("hook %s: %s: %s -> %s (%s)", l->h->c.name, l->path, supervisor_state_to_str(old),
              supervisor_state_to_str(state), reason);
}

static const struct supervisor_ops ops = {
    .make = on_make,
    .release = on_release,
    .on_output = on_output,
    .on_line = on_line,
    .on_exit = on_exit_of_child,
    .on_state = on_state,
};

static void lasting_free(struct lasting *l)
{
    map_remove(&l->h->lasting, l->path);
    l->h->s->n_running--;
    supervisor_free(l->supervisor);
    hook_child_done(&l->child);
    hook_output_done(&l->output);
    free(l->path);
    free(l);
}

void hook_lasting_start(struct hook_state *h, const char *path)
{
    struct lasting *l = map_get(&h->lasting, path);
    if (l) {
        l->wanted = true; /* and started by hook_lasting_bury() when it was ending */
        return;
    }
    if (h->lasting.len >= LASTING_MAX) {
        log_error("hook %s: runs for %d streams already, not for %s", h->c.name, LASTING_MAX, path);
        h->dropped++;
        return;
    }
    l = mem_new(struct lasting);
    *l = (struct lasting){.h = h, .path = mem_strdup(path), .wanted = true};
    hook_output_init(&l->output, h->c.name);
    const struct supervisor_config sc = {
        .name = h->c.name, .backoff_initial_ms = 1000, .grace_ms = HOOK_GRACE_MS};
    l->supervisor = supervisor_new(h->s->control, &sc, &ops, l);
    map_set(&h->lasting, path, l);
    h->s->n_running++;
    (void)supervisor_start(l->supervisor);
}

static void on_stopped(void *user)
{
    struct lasting *l = user;
    l->over = true;
    hook_pump_soon(l->h->s);
}

static void stop(struct lasting *l)
{
    if (l->wanted) {
        l->wanted = false;
        /* -EALREADY: it was ending, wanted again, and is not any more */
        (void)supervisor_stop(l->supervisor, on_stopped, l);
    }
}

void hook_lasting_stop(struct hook_state *h, const char *path)
{
    if (path) {
        struct lasting *l = map_get(&h->lasting, path);
        if (l) {
            stop(l);
        }
        return;
    }
    MAP_FOREACH (slot, &h->lasting) {
        stop(slot->value);
    }
}

static struct lasting *one_over(const struct hook_state *h)
{
    MAP_FOREACH (slot, &h->lasting) {
        struct lasting *l = slot->value;
        if (l->over) {
            return l;
        }
    }
    return NULL;
}

void hook_lasting_bury(struct hook_state *h)
{
    struct lasting *l;
    while ((l = one_over(h)) != NULL) {
        l->over = false;
        if (l->wanted) {
            (void)supervisor_start(l->supervisor);
        } else {
            lasting_free(l);
        }
    }
}

void hook_lasting_kill(struct hook_state *h)
{
    struct map_slot *slot;
    while ((slot = map_next(&h->lasting, NULL)) != NULL) {
        lasting_free(slot->value);
    }
}
