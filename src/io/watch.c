/* SPDX-License-Identifier: Apache-2.0 */
#include "io/watch.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

LOG_TOPIC(topic, "io.watch");

#define SETTLE_MS   300
#define FILES_MAX   16
#define FOLDERS_MAX (FILES_MAX * 2) /* where the name is, and where it leads to */

struct file_state {
    ino_t inode;
    off_t size;
    struct timespec changed; /* of the inode: also by a rename over it, or a chmod */
};

struct watched_file {
    char *path;
    struct file_state state;
};

/* Lives until libuv has closed it; watch is NULL from watch_set() or watch_free() on. */
struct folder {
    uv_fs_event_t event;
    struct watch *watch;
    char *path;
};

struct watch {
    struct loop *loop;
    unsigned settle_ms;
    void (*fn)(void *user);
    void *user;
    struct loop_timer *settle;
    struct watched_file files[FILES_MAX];
    unsigned n_files;
    struct folder *folders[FOLDERS_MAX];
    unsigned n_folders;
};

/* All zero when there is no such file. */
static struct file_state look(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        return (struct file_state){0};
    }
    return (struct file_state){st.st_ino, st.st_size, st.st_ctim};
}

static bool same(const struct file_state *a, const struct file_state *b)
{
    return a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static void on_settled(void *user)
{
    struct watch *w = user;
    bool changed = false;
    for (unsigned i = 0; i < w->n_files; i++) {
        struct file_state now = look(w->files[i].path);
        if (!same(&now, &w->files[i].state)) {
            w->files[i].state = now;
            changed = true;
        }
    }
    if (changed) {
        w->fn(w->user);
    }
}

static void on_event(uv_fs_event_t *event, const char *name, int events, int status)
{
    const struct folder *f = event->data;
    if (f->watch && !loop_timer_active(f->watch->settle)) {
        loop_timer_start(f->watch->settle, f->watch->settle_ms);
    }
}

static void on_closed(uv_handle_t *handle)
{
    struct folder *f = handle->data;
    free(f->path);
    free(f);
}

static void close_folder(struct folder *f)
{
    f->watch = NULL;
    uv_close((uv_handle_t *)&f->event, on_closed);
}

static void watch_folder_of(struct watch *w, const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *dir =
        slash ? mem_strndup(path, MAX((size_t)(slash - path), (size_t)1)) : mem_strdup(".");
    for (unsigned i = 0; i < w->n_folders; i++) {
        if (strcmp(w->folders[i]->path, dir) == 0) {
            return;
        }
    }
    assert(w->n_folders < FOLDERS_MAX);
    struct folder *f = mem_new(struct folder);
    f->watch = w;
    f->path = TAKE_PTR(dir);
    f->event.data = f;
    (void)uv_fs_event_init(loop_uv(w->loop), &f->event);
    int r = uv_fs_event_start(&f->event, on_event, f->path, 0);
    if (r < 0) {
        log_warn("%s cannot be watched: %s; changes there are not noticed", f->path, error_name(r));
        close_folder(f);
        return;
    }
    w->folders[w->n_folders++] = f;
}

struct watch *watch_new(struct loop *l, unsigned settle_ms, void (*fn)(void *user), void *user)
{
    struct watch *w = mem_new(struct watch);
    w->loop = l;
    w->settle_ms = settle_ms ? settle_ms : SETTLE_MS;
    w->fn = fn;
    w->user = user;
    w->settle = loop_timer_new(l, on_settled, w);
    return w;
}

static void forget(struct watch *w)
{
    for (unsigned i = 0; i < w->n_files; i++) {
        free(w->files[i].path);
    }
    for (unsigned i = 0; i < w->n_folders; i++) {
        close_folder(w->folders[i]);
    }
    w->n_files = 0;
    w->n_folders = 0;
}

void watch_set(struct watch *w, const char *const *files, unsigned n)
{
    assert(n <= FILES_MAX);
    forget(w);
    for (unsigned i = 0; i < n; i++) {
        /* The folder first: a change between the two is then told, not missed. */
        char *target = realpath(files[i], NULL);
        watch_folder_of(w, files[i]);
        if (target) {
            watch_folder_of(w, target);
            free(target);
        }
        w->files[w->n_files++] =
            (struct watched_file){.path = mem_strdup(files[i]), .state = look(files[i])};
    }
}

struct watch *watch_free(struct watch *w)
{
    if (w) {
        forget(w);
        w->settle = loop_timer_free(w->settle);
        free(w);
    }
    return NULL;
}
