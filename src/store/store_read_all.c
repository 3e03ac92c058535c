/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "store/store.h"

#include <string.h>

struct walk {
    struct store *store;
    struct loop *loop;
    const char *kind;
    store_each_fn each;
    void *user;
    bool done;
    int r;
    struct error err;
};

static void ask(struct walk *w, const char *after);

static void on_page(void *user, int r, const struct store_result *result)
{
    struct walk *w = user;
    if (r < 0) {
        w->r = r;
        w->err = result->err;
        w->done = true;
        return;
    }
    for (unsigned i = 0; i < result->n; i++) {
        w->each(w->user, &result->docs[i]);
    }
    w->done = !result->more;
    if (result->more) {
        ask(w, result->docs[result->n - 1].id);
    }
}

static void ask(struct walk *w, const char *after)
{
    int r =
        store_submit(w->store, w->loop, store_op_list(w->kind, after, STORE_LIST_MAX), on_page, w);
    if (r < 0) {
        w->r = error_set(&w->err, r, "state_dir", "documents of kind %s cannot be read: %s",
                         w->kind, error_name(r));
        w->done = true;
    }
}

int store_read_all(struct store *s, struct loop *l, const char *kind, store_each_fn each,
                   void *user, struct error *err)
{
    struct walk w = {.store = s, .loop = l, .kind = kind, .each = each, .user = user};
    ask(&w, "");
    while (!w.done) {
        loop_run_once(l, 1000);
    }
    if (w.r < 0 && err) {
        *err = w.err;
    }
    return w.r;
}
