/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "service/hook/hook_internal.h"
#include "service/stream/stream_events.h"

#include <string.h>

LOG_TOPIC(topic, "hook");

#define LINES_MAX 200 /* in a minute */
#define MINUTE_NS (60 * NS_PER_S)
#define ENV_MAX   96
#define VALUE_MAX (64 * 1024) /* the kernel takes 128 KiB; who needs more reads stdin */

/* ---- output ---- */

void hook_output_init(struct hook_output *o, const char *hook)
{
    *o = (struct hook_output){.hook = hook, .since_ns = clock_mono_ns()};
}

static bool on_line(void *user, char *line)
{
    hook_output_line(user, line);
    return true;
}

void hook_output_chunk(struct hook_output *o, struct bytes chunk)
{
    proc_lines_feed(&o->out, chunk, on_line, o);
}

void hook_output_done(struct hook_output *o)
{
    proc_lines_end(&o->out, on_line, o);
    proc_lines_done(&o->out);
}

void hook_output_line(struct hook_output *o, const char *line)
{
    int64_t now = clock_mono_ns();
    if (now - o->since_ns > MINUTE_NS) {
        o->since_ns = now;
        o->n = 0;
    }
    if (o->n < LINES_MAX) {
        log_info("hook %s: %s", o->hook, line);
    } else if (o->n == LINES_MAX) {
        log_warn("hook %s: more than %d lines in a minute, leaving the rest out", o->hook,
                 LINES_MAX);
    }
    o->n += o->n <= LINES_MAX;
}

/* ---- what a child is given ---- */

void hook_child_put(struct hook_child *c, const char *name, struct bytes value)
{
    bool fits = value.len <= VALUE_MAX && c->n_env < ENV_MAX;
    if (fits && (value.len == 0 || !memchr(value.data, '\0', value.len))) {
        c->env[c->n_env++] = mem_printf("%s=%.*s", name, (int)value.len, (const char *)value.data);
    }
}

void hook_child_init(struct hook_child *c, const struct hook *h, const char *resource)
{
    const char *path = stream_event_path(resource);
    *c = (struct hook_child){0};
    c->argv = mem_new_array(const char *, h->run.len + 1);
    for (size_t i = 0; i < h->run.len; i++) {
        c->argv[i] = h->run.items[i];
    }
    c->env = mem_new_array(char *, ENV_MAX + 1);
    hook_child_put(c, "MAST_HOOK", BYTES_STR(h->name));
    hook_child_put(c, "MAST_RESOURCE", BYTES_STR(resource));
    if (path) {
        hook_child_put(c, "MAST_PATH", BYTES_STR(path));
    }
    for (size_t i = 0; i < h->env.len; i++) {
        hook_child_put(c, h->env.items[i].key, BYTES_STR(h->env.items[i].value));
    }
}

void hook_child_done(struct hook_child *c)
{
    for (unsigned i = 0; i < c->n_env; i++) {
        free(c->env[i]);
    }
    free(c->env);
    free(c->argv);
    *c = (struct hook_child){0};
}
