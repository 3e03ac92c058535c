/* SPDX-License-Identifier: Apache-2.0 */
/* The instance: threads, log, end. */
#include "embed/embed.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/stream.h"
#include "media/fmp4.h"
#include "protocol/rtmp/rtmp_form.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STOP_MS 15000u

/* ---- log ---- */

/* What peers say gets into lines: an embedder may print them as they are. */
static void clean(char *to, size_t size, const char *text)
{
    size_t n = 0;
    for (; *text && n + 1 < size; text++) {
        unsigned char c = (unsigned char)*text;
        /* C1 controls are two bytes in UTF-8. */
        bool c1 = c == 0xc2 && (unsigned char)text[1] >= 0x80 && (unsigned char)text[1] < 0xa0;
        text += c1;
        to[n++] = (char)(c < 0x20 || c == 0x7f || c1 ? '?' : c);
    }
    to[n] = '\0';
}

static void on_line(void *user, enum log_level level, const char *line_topic, const char *text)
{
    const struct mast *m = user;
    char line[1100];
    clean(line, sizeof(line), text);
    if (m->config.log) {
        m->config.log(m->config.log_user, (enum mast_log_level)(level + 1), line_topic, line);
    } else {
        dprintf(STDERR_FILENO, "mast %s %s: %s\n", log_level_to_str(level), line_topic, line);
    }
}

static void hear(struct mast *m)
{
    enum mast_log_level level =
        m->config.log_level == MAST_LOG_DEFAULT ? MAST_LOG_WARN : m->config.log_level;
    log_set_thread_sink(on_line, m, (enum log_level)(level - 1));
}

static void hear_on(struct loop *l, void *arg)
{
    hear(arg);
}

/* ---- life ---- */

static int start_loop(struct mast *m, struct loop *l)
{
    int r = loop_start(l);
    if (r == 0) {
        loop_call_wait(l, hear_on, m);
    }
    return r;
}

static void register_forms(void)
{
    media_register_forms();
    rtmp_register_forms();
}

static void make_engine(struct loop *l, void *arg)
{
    struct mast *m = arg;
    m->av = av_pool_new(l, &(struct av_pool_config){0});
    derived_maker_init(&m->derived, m->av);
    const struct engine_config config = {.maker = derived_maker_for_engine(&m->derived)};
    m->engine = engine_new(&config, l, m->loops, m->n_loops);
}

static int start_loops(struct mast *m)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    m->control = loop_new("mast-control", LOOP_CONTROL);
    int r = start_loop(m, m->control);
    for (unsigned i = 0; r == 0 && i < m->config.media_loops; i++) {
        char name[16];
        snprintf(name, sizeof(name), "mast-media-%u", i);
        m->loops[m->n_loops++] = loop_new(name, (int)i);
        r = start_loop(m, m->loops[i]);
    }
    if (r == 0 && m->n_loops > 0) {
        pthread_once(&once, register_forms); /* tables of code, the same for every instance */
        loop_call_wait(m->control, make_engine, m);
    }
    return r;
}

static void on_left(struct loop *l, struct loop_msg *msg)
{
    struct mast *m = CONTAINER_OF(msg, struct mast, leave);
    m->av = av_pool_free(m->av);
    loop_stop(l);
}

/* Control loop, with no part left. Media loops still run, as the engine needs. */
void embed_leave(struct mast *m)
{
    m->engine = engine_free(m->engine);
    /* Conversions that its streams had are closed by messages, which are before this one. */
    m->leave.deliver = on_left;
    loop_post(m->control, &m->leave);
}

static void begin_leaving(struct loop *l, void *arg)
{
    struct mast *m = arg;
    m->leaving = true;
    m->leave_by_ns = loop_now_ns(l) + m->config.stop_ms * NS_PER_MS;
    embed_parts_leave(m);
}

/* The last thread that knows them: what their ends still say is heard here. */
static void free_loops(struct mast *m)
{
    hear(m);
    loop_join(m->control);
    embed_closings_abandon(m);
    for (unsigned i = 0; i < m->n_loops; i++) {
        loop_stop(m->loops[i]);
        loop_free(m->loops[i]);
    }
    loop_free(m->control);
    log_set_thread_sink(NULL, NULL, LOG_ERROR);
}

static void destroy(struct mast *m)
{
    mast_dispatch(m); /* answers that are still owed */
    if (m->fd >= 0) {
        close(m->fd);
    }
    pthread_cond_destroy(&m->ran);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct mast *mast_new(const struct mast_config *config)
{
    struct mast *m;
    if (config && (config->media_loops > LOOPS_MAX || config->log_level > MAST_LOG_TRACE)) {
        errno = EINVAL;
        return NULL;
    }
    m = mem_new(struct mast);
    m->config = config ? *config : (struct mast_config){0};
    m->config.stop_ms = m->config.stop_ms ? m->config.stop_ms : STOP_MS;
    list_init(&m->parts);
    list_init(&m->closings);
    list_init(&m->notes);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->ran, NULL);
    m->fd = m->config.queue ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    int r = m->config.queue && m->fd < 0 ? -errno : start_loops(m);
    if (r < 0) {
        if (m->control) {
            loop_stop(m->control);
            free_loops(m);
        }
        destroy(m);
        errno = -r;
        return NULL;
    }
    return m;
}

int mast_free(struct mast *m)
{
    if (!m) {
        return 0;
    }
    if (loop_current() || embed_dispatches(m)) {
        return -EDEADLK;
    }
    loop_call_wait(m->control, begin_leaving, m);
    free_loops(m);
    int r = m->left_r;
    destroy(m);
    return r;
}
