/* SPDX-License-Identifier: Apache-2.0 */
/* What is written down of a broadcast, and when. One write at a time; what changes meanwhile is written once after it. */
#include "base/log.h"
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>

LOG_TOPIC(topic, "broadcast");

static const struct model_field step_fields[] = {
    MODEL_STRING(struct step_record, name, .required = true),
    MODEL_STRING(struct step_record, state, .required = true),
    MODEL_BOOL(struct step_record, acted),
    MODEL_BOOL(struct step_record, ours),
    MODEL_BOOL(struct step_record, kept),
    MODEL_STRING(struct step_record, reason),
};
static const struct model step_record_model =
    MODEL("BroadcastStepRecord", struct step_record, step_fields);

static const struct model_field record_fields[] = {
    MODEL_STRUCT(struct broadcast_record, result, &broadcast_result_model),
    MODEL_LIST_STRUCT(struct broadcast_record, steps, &step_record_model),
    MODEL_STRUCT(struct broadcast_record, obs_previous, &obs_service_model),
    MODEL_BOOL(struct broadcast_record, was_up),
    MODEL_BOOL(struct broadcast_record, suspended),
    MODEL_BOOL(struct broadcast_record, ending),
};
const struct model broadcast_record_model =
    MODEL("BroadcastRecord", struct broadcast_record, record_fields);

static void forget_steps(struct broadcast_record *rec)
{
    for (size_t i = 0; i < rec->steps.len; i++) {
        model_done(&step_record_model, &rec->steps.items[i]);
    }
    free(rec->steps.items);
    rec->steps.items = NULL;
    rec->steps.len = 0;
}

static void note_steps(struct broadcast *b)
{
    struct broadcast_record *rec = &b->record;
    forget_steps(rec);
    rec->steps.items = mem_new_array(struct step_record, b->runner.n);
    rec->steps.len = b->runner.n;
    for (unsigned i = 0; i < b->runner.n; i++) {
        const struct step *s = b->runner.steps[i];
        rec->steps.items[i] = (struct step_record){
            .name = mem_strdup(s->kind->name),
            .state = mem_strdup(step_state_to_str(s->state)),
            /* The intent of a step that is about to act is what this very write is for. */
            .acted = s->acted || s->then,
            .ours = s->ours,
            .kept = s->kept,
            .reason = s->reason ? mem_strdup(s->reason) : NULL,
        };
    }
    rec->was_up = b->runner.was_up;
    rec->ending = !b->runner.up && !b->restart;
}

static void write_now(struct broadcast *b);

static void done(struct broadcast *b)
{
    bool runner = b->runner_next;
    b->runner_next = false;
    if (b->write_again) {
        write_now(b);
    }
    if (runner) {
        runner_committed(&b->runner);
    }
    broadcasts_changed(b->service);
}

static void on_written(void *user, int r, const struct store_result *result)
{
    struct broadcast *b = user;
    b->op = NULL;
    if (r < 0) {
        log_error("broadcast %s: cannot be written down: %s", broadcast_id(b),
                  result->err.text[0] ? result->err.text : error_name(r));
    }
    done(b);
}

static void write_now(struct broadcast *b)
{
    const struct broadcasts_config *c = &b->service->config;
    _cleanup_free_ char *text = NULL;
    struct error err = {0};
    b->write_again = false;
    b->runner_next = b->runner_next || b->runner_waits;
    b->runner_waits = false;
    note_steps(b);
    broadcast_refresh(b);
    int r =
        broadcast_seal(&broadcast_record_model, &b->record, c->ring, broadcast_id(b), &text, &err);
    if (r >= 0) {
        struct store_op *op = store_op_write();
        store_op_put(op, BROADCAST_KIND, broadcast_id(b), STORE_ANY, BYTES_STR(text));
        b->op = op;
        r = store_submit(c->store, c->control, op, on_written, b);
    }
    if (r < 0) {
        b->op = NULL;
        log_error("broadcast %s: cannot be written down: %s", broadcast_id(b),
                  err.code ? err.text : error_name(r));
        done(b);
    }
}

void broadcast_save_now(struct loop_task *t)
{
    struct broadcast *b = CONTAINER_OF(t, struct broadcast, save);
    if (!b->service->config.store) {
        b->runner_next = b->runner_waits;
        b->runner_waits = false;
        done(b);
    } else if (b->op) {
        b->write_again = true;
    } else {
        write_now(b);
    }
}

void broadcast_save(struct broadcast *b)
{
    loop_defer(b->service->config.control, LOOP_STAGE_NOTIFY, &b->save);
}

void broadcast_erase(struct broadcast *b)
{
    const struct broadcasts_config *c = &b->service->config;
    if (c->store) {
        struct store_op *op = store_op_write();
        store_op_delete(op, BROADCAST_KIND, broadcast_id(b), STORE_ANY);
        (void)store_submit(c->store, c->control, op, NULL, NULL);
    }
}
