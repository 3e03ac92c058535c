/* SPDX-License-Identifier: Apache-2.0 */
/* An orchestrator whose store cannot be read to its end: what it had read by then is as it was for the next one. */
#include "../unit.h"

#include "base/mem.h"
#include "store/store.h"

#include <errno.h>
#include <ftw.h>
#include <mast/mast.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int pages_left = -1; /* that can be read; negative: all */

struct store_op *__real_store_op_list(const char *kind, const char *after, unsigned limit);
int __real_store_submit(struct store *s, struct loop *l, struct store_op *op, store_fn fn,
                        void *user);

static struct store_op *list_op;

/* One document a page. */
struct store_op *__wrap_store_op_list(const char *kind, const char *after, unsigned limit)
{
    return list_op = __real_store_op_list(kind, after, 1);
}

int __wrap_store_submit(struct store *s, struct loop *l, struct store_op *op, store_fn fn,
                        void *user)
{
    bool fails = op == list_op && atomic_load(&pages_left) == 0;
    if (op == list_op && atomic_load(&pages_left) > 0) {
        atomic_fetch_sub(&pages_left, 1);
    }
    list_op = NULL;
    if (fails) {
        __real_store_submit(s, l, op, NULL, NULL);
        return -ENOBUFS;
    }
    return __real_store_submit(s, l, op, fn, user);
}

static int open_orchestrator(struct mast *m, const char *dir, bool suspend,
                             struct mast_orchestrator **ret)
{
    /* Nothing listens there: starts wait. */
    const struct mast_janus_server janus = {.url = "ws://127.0.0.1:9"};
    const struct mast_orchestrator_config config = {
        .janus = &janus, .n_janus = 1, .state_dir = dir, .suspend = suspend};
    return mast_orchestrator_new(m, &config, ret, NULL);
}

static void begin(struct mast_orchestrator *o, const char *id)
{
    _cleanup_free_ char *json = mem_printf(
        "{\"id\":\"%s\",\"source_kind\":\"frontend_owned\",\"mountpoint_spec\":{\"media\":"
        "[{\"type\":\"video\",\"codec\":\"h264\"}]}}",
        id);
    mast_broadcast_start(o, json, NULL, NULL);
}

static char *list(struct mast_orchestrator *o)
{
    char *text = NULL;
    assert_int_equal(mast_broadcast_list_wait(o, &text, NULL), 0);
    return text;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    return remove(path);
}

static void test_half_a_store_is_left_as_it_is(void **state)
{
    char dir[] = "/tmp/mast-load-XXXXXX";
    struct mast_orchestrator *o = NULL;
    assert_non_null(mkdtemp(dir));
    struct mast *m = mast_new(&(struct mast_config){.log_level = MAST_LOG_ERROR});
    assert_int_equal(open_orchestrator(m, dir, true, &o), 0);
    begin(o, "one");
    begin(o, "two");
    _cleanup_free_ char *before = list(o);
    assert_non_null(strstr(before, "\"one\",\"state\":\"starting\""));
    assert_int_equal(mast_orchestrator_free_wait(o, 0, NULL), 0);
    atomic_store(&pages_left, 1);
    assert_int_equal(open_orchestrator(m, dir, false, &o), -ENOBUFS);
    assert_null(o);
    atomic_store(&pages_left, -1);
    assert_int_equal(open_orchestrator(m, dir, false, &o), 0);
    _cleanup_free_ char *after = list(o);
    assert_non_null(strstr(after, "\"two\",\"state\":\"starting\""));
    assert_non_null(strstr(after, "\"one\",\"state\":\"starting\""));
    assert_int_equal(mast_free(m), 0);
    assert_int_equal(nftw(dir, remove_one, 4, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_store_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
