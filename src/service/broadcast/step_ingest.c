/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream here that the front end publishes to, and that no step of ours reads: asked for now and then, which is all that tells
 * whether media arrives. Nothing is made, nothing undone.
 */
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#define LOOK_MS 2000

/* A question to the engine, which cannot be called off: it outlives a step that is dropped. */
struct ingest_look {
    struct step *s; /* NULL: nobody waits for the answer */
};

struct ingest_step {
    struct step step;
    struct ingest_look *look;
    struct loop_timer *again; /* while it waits: nobody checks it then */
    bool ends;                /* with the answer that is under way */
};
#define INGEST(s) CONTAINER_OF((s), struct ingest_step, step)

static void describe(const struct step *s, struct out *o)
{
    out_printf(o, "watch for a publisher of stream %s", request_of(s)->stream);
}

static void judge(struct step *s, bool live)
{
    const struct runner_pace *pace = &s->runner->pace;
    MODEL_SET(&broadcast_health_model, broadcast_health(broadcast_of(s)), stream, live);
    if (live && s->state == STEP_UP) {
        step_well(s);
    } else if (live) {
        step_started(s, 0);
    } else if (s->state == STEP_UP) {
        step_sick(s, "nobody publishes %s", request_of(s)->stream);
    } else {
        step_waits(s, "nobody publishes %s yet", request_of(s)->stream);
        loop_timer_start(INGEST(s)->again, pace->check_ms ? pace->check_ms : LOOK_MS);
    }
}

static void on_show(void *user, const struct stream_info *info)
{
    struct ingest_look *l = user;
    struct step *s = l->s;
    free(l);
    if (!s) {
        return;
    }
    INGEST(s)->look = NULL;
    if (INGEST(s)->ends) {
        step_stopped(s, 0, NULL);
    } else {
        judge(s, info && info->on_air);
    }
}

static void look(struct step *s)
{
    struct ingest_step *in = INGEST(s);
    if (!in->look) {
        in->look = mem_new(struct ingest_look);
        in->look->s = s;
        engine_show(broadcast_of(s)->service->config.engine, request_of(s)->stream, on_show,
                    in->look);
    }
}

static void on_again(void *user)
{
    look(user);
}

static void drop(struct step *s)
{
    struct ingest_step *in = INGEST(s);
    in->again = loop_timer_free(in->again);
    in->ends = false;
    if (in->look) {
        in->look->s = NULL;
        in->look = NULL;
    }
}

static void start(struct step *s)
{
    drop(s);
    INGEST(s)->again = loop_timer_new(s->runner->loop, on_again, s);
    look(s);
}

/* Not before the answer is here: the engine, which may be about to end, gives it to somebody. */
static void stop(struct step *s)
{
    struct ingest_step *in = INGEST(s);
    in->again = loop_timer_free(in->again);
    in->ends = in->look != NULL;
    if (!in->ends) {
        step_stopped(s, 0, NULL);
    }
}

const struct step_kind step_ingest = {
    .name = "ingest",
    .peer = "engine",
    .size = sizeof(struct ingest_step),
    .describe = describe,
    .start = start,
    .check = look,
    .stop = stop,
    .drop = drop,
};
