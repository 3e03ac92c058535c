/* SPDX-License-Identifier: Apache-2.0 */
/* The gst-launch-1.0 of one relay under its supervisor. Its command is made once: nothing of it changes between starts. */
#include "peer/gstreamer/gstreamer.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/proc_secrets.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_STALL_MS 10000u
#define START_MS         10000 /* until the first sign of life, beside stall_ms */
#define BACKOFF_MAX_MS   10000u
#define CHECKS_A_STALL   4u

struct gstreamer_relay {
    struct gstreamer_command command;
    bool reports; /* a pipeline of ours: it tells that something passes */
    unsigned stall_ms;
    struct gstreamer_relay_ops ops;
    void *user;
    struct supervisor *supervisor;
    struct proc_secrets secrets;
    struct proc_secrets
        former; /* of the child that is being replaced: it may still have something to say */
    bool reported;
    int64_t advanced_ns;
    char stall[96];
};

/* The value of name=value, too, as pipelines have it, and of what is a URL all its parts. */
static void add_word_secrets(struct proc_secrets *s, const char *word)
{
    static const char *const names[] = {"user-pw=", "password=", "passphrase=", "proxy-pw="};
    const char *scheme = strstr(word, "://");
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        const char *at = strcasestr(word, names[i]);
        if (at) {
            proc_secrets_add(s, at + strlen(names[i]));
        }
    }
    if (scheme) {
        const char *value = memrchr(word, '=', (size_t)(scheme - word));
        proc_secrets_add_url(s, value ? value + 1 : word);
    }
}

static void find_secrets(struct gstreamer_relay *r, const struct gstreamer_spec *spec)
{
    if (!spec->pipeline) {
        proc_secrets_add_url(&r->secrets, spec->url);
        proc_secrets_add(&r->secrets, spec->password);
        return;
    }
    for (unsigned i = 0; i < r->command.n; i++) {
        add_word_secrets(&r->secrets, r->command.argv[i]);
    }
}

/* ---- the supervisor's questions ---- */

static int make(void *user, struct proc_spec *spec, struct error *err)
{
    struct gstreamer_relay *r = user;
    spec->argv = (const char *const *)r->command.argv;
    proc_secrets_done(&r->former);
    r->reported = false;
    r->advanced_ns = clock_mono_ns();
    return 0;
}

/* With -q nothing but progressreport writes there. */
static void on_output(void *user, struct bytes chunk)
{
    struct gstreamer_relay *r = user;
    r->reported = true;
    r->advanced_ns = clock_mono_ns();
}

static const char *check(void *user)
{
    struct gstreamer_relay *r = user;
    int64_t limit_ms = (int64_t)r->stall_ms + (r->reported ? 0 : START_MS);
    if (!r->reports || clock_mono_ns() - r->advanced_ns < limit_ms * NS_PER_MS) {
        return NULL;
    }
    snprintf(r->stall, sizeof(r->stall), "nothing has passed for %.1f s", (double)limit_ms / 1000);
    return r->stall;
}

static void on_line(void *user, const char *line)
{
    struct gstreamer_relay *r = user;
    if (r->ops.on_line) {
        r->ops.on_line(r->user, line);
    }
}

static void redact(void *user, char *line)
{
    struct gstreamer_relay *r = user;
    proc_secrets_redact(&r->secrets, line);
    proc_secrets_redact(&r->former, line);
}

static void on_state(void *user, enum supervisor_state old, enum supervisor_state state,
                     const char *reason)
{
    struct gstreamer_relay *r = user;
    if (r->ops.on_state) {
        r->ops.on_state(r->user, state, reason);
    }
}

static const struct supervisor_ops supervisor_ops = {.make = make,
                                                     .on_output = on_output,
                                                     .on_line = on_line,
                                                     .redact = redact,
                                                     .check = check,
                                                     .on_state = on_state};

/* ---- life ---- */

struct gstreamer_relay *gstreamer_relay_new(struct loop *l, const char *name,
                                            const struct gstreamer_spec *spec, unsigned stall_ms,
                                            const struct gstreamer_relay_ops *ops, void *user,
                                            struct error *err)
{
    struct gstreamer_command command;
    if (gstreamer_command_make(spec, &command, err) < 0) {
        return NULL;
    }
    struct gstreamer_relay *r = mem_new(struct gstreamer_relay);
    r->command = command;
    r->reports = spec->pipeline == NULL;
    r->stall_ms = stall_ms ? stall_ms : DEFAULT_STALL_MS;
    r->ops = *ops;
    r->user = user;
    find_secrets(r, spec);
    const struct supervisor_config config = {
        .name = name,
        .backoff_max_ms = BACKOFF_MAX_MS,
        .grace_ms = GSTREAMER_GRACE_MS,
        .check_ms = MAX(1u, MIN(1000u, r->stall_ms / CHECKS_A_STALL)),
    };
    r->supervisor = supervisor_new(l, &config, &supervisor_ops, r);
    return r;
}

int gstreamer_relay_start(struct gstreamer_relay *r)
{
    return supervisor_start(r->supervisor);
}

int gstreamer_relay_change(struct gstreamer_relay *r, const struct gstreamer_spec *spec,
                           struct error *err)
{
    struct gstreamer_command command;
    int result = gstreamer_command_make(spec, &command, err);
    if (result < 0) {
        return result;
    }
    gstreamer_command_done(&r->command);
    r->command = command;
    r->reports = spec->pipeline == NULL;
    if (r->former.n == 0) { /* else no child has had the present ones */
        r->former = r->secrets;
    } else {
        proc_secrets_done(&r->secrets);
    }
    r->secrets = (struct proc_secrets){0};
    find_secrets(r, spec);
    supervisor_restart(r->supervisor, "it is to do something else");
    return 0;
}

int gstreamer_relay_stop(struct gstreamer_relay *r, void (*done)(void *user), void *user)
{
    return supervisor_stop(r->supervisor, done, user);
}

struct gstreamer_relay *gstreamer_relay_free(struct gstreamer_relay *r)
{
    if (!r) {
        return NULL;
    }
    supervisor_free(r->supervisor);
    gstreamer_command_done(&r->command);
    proc_secrets_done(&r->secrets);
    proc_secrets_done(&r->former);
    free(r);
    return NULL;
}

void gstreamer_relay_replace(struct gstreamer_relay *r, const char *reason)
{
    supervisor_restart(r->supervisor, reason);
}

const struct supervisor *gstreamer_relay_supervisor(const struct gstreamer_relay *r)
{
    return r->supervisor;
}

bool gstreamer_relay_secret_visible(const struct gstreamer_relay *r)
{
    return r->command.secret_visible;
}

int64_t gstreamer_relay_flowed_ns(const struct gstreamer_relay *r)
{
    return r->reported && r->reports ? r->advanced_ns : 0;
}
