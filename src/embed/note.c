/* SPDX-License-Identifier: Apache-2.0 */
/* Callbacks on their way to the embedder: run at once, or kept for mast_dispatch(). */
#include "embed/embed.h"

#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void note_free(struct embed_note *n)
{
    list_remove(&n->node);
    for (unsigned i = 0; i < EMBED_NOTE_TEXTS; i++) {
        free((char *)n->text[i]);
    }
    free(n);
}

/* Under the lock. */
static void append(struct mast *m, const struct embed_note *n)
{
    static const uint64_t one = 1;
    struct embed_note *copy = mem_memdup(n, sizeof(*n));
    bool first = list_empty(&m->notes);
    for (unsigned i = 0; i < EMBED_NOTE_TEXTS; i++) {
        copy->text[i] = n->text[i] ? mem_strdup(n->text[i]) : NULL;
    }
    list_init(&copy->node);
    list_append(&m->notes, &copy->node);
    m->n_events += n->event;
    if (first) {
        ssize_t ignored = write(m->fd, &one, sizeof(one)); /* a counter of 1 is never full */
        (void)ignored;
    }
}

static void run_lost(const struct embed_note *n)
{
    void (*fn)(void *, const char *, const char *, const char *) =
        (void (*)(void *, const char *, const char *, const char *))n->fn;
    fn(n->user, "events_lost", "", n->text[0]);
}

/* Told at the first part that hears events: the place in the order is what counts. */
static void append_lost(struct mast *m, const struct embed_note *before)
{
    const struct mast_observer *o = &before->part->observer;
    char data[48];
    snprintf(data, sizeof(data), "{\"count\":%u}", m->lost);
    m->lost = 0;
    if (o->on_event) {
        append(m, &(struct embed_note){.run = run_lost,
                                       .fn = (void (*)(void))o->on_event,
                                       .user = o->user,
                                       .text = {data},
                                       .part = before->part,
                                       .event = true});
    }
}

void embed_tell(struct mast *m, const struct embed_note *n)
{
    if (!m->config.queue) {
        n->run(n);
        return;
    }
    pthread_mutex_lock(&m->lock);
    if (n->event && m->n_events >= EMBED_EVENTS_KEPT) {
        m->lost++;
    } else {
        if (n->event && m->lost > 0) {
            append_lost(m, n);
        }
        append(m, n);
    }
    pthread_mutex_unlock(&m->lock);
}

void embed_notes_forget(struct mast *m, const struct embed_part *part)
{
    pthread_mutex_lock(&m->lock);
    LIST_FOREACH_SAFE (it, &m->notes) {
        struct embed_note *n = LIST_ENTRY(it, struct embed_note, node);
        if (n->event && n->part == part) {
            m->n_events--;
            note_free(n);
        }
    }
    pthread_mutex_unlock(&m->lock);
}

int mast_fd(const struct mast *m)
{
    return m->fd;
}

static struct embed_note *take(struct mast *m)
{
    struct embed_note *n = NULL;
    pthread_mutex_lock(&m->lock);
    if (!list_empty(&m->notes)) {
        n = LIST_ENTRY(m->notes.next, struct embed_note, node);
        list_remove(&n->node);
        m->n_events -= n->event;
        m->running = n->part;
    } else if (m->fd >= 0) {
        uint64_t count;
        ssize_t ignored = read(m->fd, &count, sizeof(count)); /* does not block; none is no error */
        (void)ignored;
    }
    pthread_mutex_unlock(&m->lock);
    return n;
}

static _Thread_local const struct mast *dispatching;

bool embed_dispatches(const struct mast *m)
{
    return dispatching == m;
}

/* An event's own callback may dispatch too: what it is in is the outer one's again. */
static void back_in(struct mast *m, const struct embed_part *outer)
{
    pthread_mutex_lock(&m->lock);
    m->running = outer;
    pthread_cond_broadcast(&m->ran);
    pthread_mutex_unlock(&m->lock);
}

void embed_notes_settle(struct mast *m, const struct embed_part *part)
{
    if (embed_dispatches(m)) {
        return; /* it frees it in its own callback */
    }
    pthread_mutex_lock(&m->lock);
    while (m->running == part) {
        pthread_cond_wait(&m->ran, &m->lock);
    }
    pthread_mutex_unlock(&m->lock);
}

int mast_dispatch(struct mast *m)
{
    const struct mast *outer = dispatching;
    const struct embed_part *outer_part =
        outer == m ? m->running : NULL; /* only this thread sets it */
    int count = 0;
    struct embed_note *n;
    dispatching = m;
    while ((n = take(m))) {
        n->run(n);
        note_free(n);
        back_in(m, outer_part);
        count++;
    }
    dispatching = outer;
    return count;
}
