/* SPDX-License-Identifier: Apache-2.0 */
#include "../await.h"
#include "folder.h"

#include "store/store.h"
#include "store/store_db.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct fixture {
    char *dir;
    struct loop *loop;
    struct store *store;
};

/* What one callback brought. */
struct answer {
    bool came;
    int r;
    struct error err;
    unsigned n;
    bool more;
    int64_t version; /* of the first document */
    int64_t updated_ns;
    struct out bodies; /* "id=body " of each */
};

static void on_answer(void *user, int r, const struct store_result *res)
{
    struct answer *a = user;
    assert_false(a->came);
    a->came = true;
    a->r = r;
    a->err = res->err;
    a->n = res->n;
    a->more = res->more;
    a->version = res->n > 0 ? res->docs[0].version : 0;
    a->updated_ns = res->n > 0 ? res->docs[0].updated_ns : 0;
    for (unsigned i = 0; i < res->n; i++) {
        out_printf(&a->bodies, "%s=%.*s ", res->docs[i].id, (int)res->docs[i].body.len,
                   (const char *)res->docs[i].body.data);
    }
}

static struct store *open_store(const char *dir)
{
    struct store *s = NULL;
    struct error err = {0};
    if (store_open(&(struct store_config){.dir = dir}, &s, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return s;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->dir = folder_new();
    f->loop = loop_new("control", LOOP_CONTROL);
    f->store = open_store(f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    loop_free(f->loop);
    folder_free(f->dir);
    free(f);
    return 0;
}

/* Runs one operation to its end; the caller frees bodies. */
static struct answer ask(struct fixture *f, struct store_op *op)
{
    struct answer a = {0};
    assert_int_equal(store_submit(f->store, f->loop, op, on_answer, &a), 0);
    RUN_UNTIL(f->loop, a.came);
    return a;
}

/* The same where only the result matters. */
static int result_of(struct fixture *f, struct store_op *op)
{
    struct answer a = ask(f, op);
    out_done(&a.bodies);
    return a.r;
}

static struct store_op *put_op(const char *kind, const char *id, int64_t expected, const char *body)
{
    struct store_op *op = store_op_write();
    store_op_put(op, kind, id, expected, BYTES_STR(body));
    return op;
}

static struct store_op *delete_op(const char *kind, const char *id, int64_t expected)
{
    struct store_op *op = store_op_write();
    store_op_delete(op, kind, id, expected);
    return op;
}

static int64_t put(struct fixture *f, const char *kind, const char *id, int64_t expected,
                   const char *body)
{
    struct answer a = ask(f, put_op(kind, id, expected, body));
    out_done(&a.bodies);
    return a.r < 0 ? a.r : a.version;
}

static void check_get(struct fixture *f, const char *kind, const char *id, const char *expected)
{
    struct answer a = ask(f, store_op_get(kind, id));
    if (!expected) {
        assert_int_equal(a.r, -ENOENT);
    } else {
        _cleanup_free_ char *text = mem_printf("%s=%s ", id, expected);
        assert_int_equal(a.r, 0);
        assert_string_equal(out_str(&a.bodies), text);
    }
    out_done(&a.bodies);
}

static void test_put_get_and_versions(void **state)
{
    struct fixture *f = *state;
    int64_t before = clock_wall_ns();
    int64_t v1 = put(f, "stream", "a", STORE_CREATE, "{\"n\":1}");
    assert_true(v1 > 0);
    assert_int_equal(put(f, "stream", "a", STORE_CREATE, "x"), -EEXIST);
    int64_t v2 = put(f, "stream", "a", v1, "{\"n\":2}");
    assert_true(v2 > v1);
    assert_int_equal(put(f, "stream", "a", v1, "late"), -ESTALE);
    assert_int_equal(put(f, "stream", "b", v1, "late"), -ESTALE);
    assert_true(put(f, "stream", "a", STORE_ANY, "{\"n\":3}") > v2);
    assert_true(put(f, "stream", "new", STORE_ANY, "") > v2);
    check_get(f, "stream", "a", "{\"n\":3}");
    check_get(f, "stream", "new", "");
    check_get(f, "stream", "b", NULL);
    check_get(f, "other", "a", NULL);
    struct answer a = ask(f, store_op_get("stream", "a"));
    assert_in_range(a.updated_ns, before, clock_wall_ns());
    out_done(&a.bodies);
}

static void test_delete_and_versions_never_return(void **state)
{
    struct fixture *f = *state;
    int64_t v1 = put(f, "stream", "a", STORE_CREATE, "1");
    assert_int_equal(result_of(f, delete_op("stream", "a", v1 + 1)), -ESTALE);
    assert_int_equal(result_of(f, delete_op("stream", "a", v1)), 0);
    assert_int_equal(result_of(f, delete_op("stream", "a", STORE_ANY)), -ENOENT);
    check_get(f, "stream", "a", NULL);
    int64_t v2 = put(f, "stream", "a", STORE_CREATE, "2");
    assert_true(v2 > v1);
    /* Nor after a restart, though nothing in the file bears the highest version any more. */
    assert_int_equal(result_of(f, delete_op("stream", "a", v2)), 0);
    store_close(f->store);
    f->store = open_store(f->dir);
    assert_true(put(f, "stream", "a", STORE_CREATE, "3") > v2);
}

static void test_an_operation_is_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    put(f, "state", "b", STORE_CREATE, "old");
    struct store_op *op = store_op_write();
    store_op_put(op, "state", "a", STORE_CREATE, BYTES_STR("1"));
    store_op_delete(op, "state", "b", STORE_ANY);
    store_op_put(op, "event", "1", STORE_CREATE, BYTES_STR("made"));
    struct answer a = ask(f, op);
    assert_int_equal(a.r, 0);
    assert_int_equal(a.n, 3);
    assert_string_equal(out_str(&a.bodies), "a= b= 1= ");
    out_done(&a.bodies);

    op = store_op_write();
    store_op_put(op, "event", "2", STORE_CREATE, BYTES_STR("lost"));
    store_op_put(op, "state", "a", STORE_CREATE, BYTES_STR("2"));
    a = ask(f, op);
    assert_int_equal(a.r, -EEXIST);
    assert_int_equal(a.n, 0);
    assert_string_equal(a.err.where, "state/a");
    out_done(&a.bodies);
    check_get(f, "event", "2", NULL);
    check_get(f, "state", "a", "1");
    check_get(f, "state", "b", NULL);
}

static void test_lists_are_paged_in_order(void **state)
{
    struct fixture *f = *state;
    const char *ids[] = {"b", "a", "e", "c", "d"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        put(f, "stream", ids[i], STORE_CREATE, ids[i]);
    }
    put(f, "strea", "x", STORE_CREATE, "x");
    put(f, "streams", "x", STORE_CREATE, "x");
    struct answer a = ask(f, store_op_list("stream", "", 2));
    assert_string_equal(out_str(&a.bodies), "a=a b=b ");
    assert_true(a.more);
    out_done(&a.bodies);
    a = ask(f, store_op_list("stream", "b", 3));
    assert_string_equal(out_str(&a.bodies), "c=c d=d e=e ");
    assert_false(a.more);
    out_done(&a.bodies);
    a = ask(f, store_op_list("stream", "e", 100));
    assert_int_equal(a.r, 0);
    assert_int_equal(a.n, 0);
    assert_false(a.more);
    out_done(&a.bodies);
}

struct seen {
    unsigned n;
    char last[16];
};

static void see(void *user, const struct store_doc *doc)
{
    struct seen *seen = user;
    assert_true(strcmp(doc->id, seen->last) > 0);
    snprintf(seen->last, sizeof(seen->last), "%s", doc->id);
    seen->n++;
}

/* More than two pages, in order, none twice; nothing of other kinds. */
static void test_all_of_a_kind_is_read(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct seen seen = {0};
    const unsigned total = 2 * STORE_LIST_MAX + 1;
    char id[16];
    put(f, "other", "x", STORE_CREATE, "x");
    assert_int_equal(store_read_all(f->store, f->loop, "many", see, &seen, &err), 0);
    assert_int_equal(seen.n, 0);
    for (unsigned i = 0; i < total;) {
        struct store_op *op = store_op_write();
        for (unsigned k = 0; k < STORE_WRITES_MAX && i < total; k++, i++) {
            snprintf(id, sizeof(id), "%05u", i);
            store_op_put(op, "many", id, STORE_CREATE, BYTES_STR("{}"));
        }
        assert_int_equal(result_of(f, op), 0);
    }
    assert_int_equal(store_read_all(f->store, f->loop, "many", see, &seen, &err), 0);
    assert_int_equal(seen.n, total);
    assert_int_equal(store_read_all(f->store, f->loop, "", see, &seen, &err), -EINVAL);
    assert_string_equal(err.where, "state_dir");
}

static void test_a_page_is_bounded_in_bytes(void **state)
{
    struct fixture *f = *state;
    size_t len = STORE_BODY_MAX;
    _cleanup_free_ char *big = mem_zalloc(len);
    for (int i = 0; i < 6; i++) {
        char id[8];
        snprintf(id, sizeof(id), "%d", i);
        struct store_op *op = store_op_write();
        store_op_put(op, "big", id, STORE_CREATE, BYTES(big, len));
        assert_int_equal(result_of(f, op), 0);
    }
    struct answer a = ask(f, store_op_list("big", "", 100));
    assert_int_equal(a.n, STORE_LIST_BYTES_MAX / STORE_BODY_MAX);
    assert_true(a.more);
    out_done(&a.bodies);
    struct store_op *op = store_op_write();
    _cleanup_free_ char *bigger = mem_zalloc(len + 1);
    store_op_put(op, "big", "x", STORE_CREATE, BYTES(bigger, len + 1));
    assert_int_equal(store_submit(f->store, f->loop, op, NULL, NULL), -EFBIG);
}

static void test_bad_keys_are_refused(void **state)
{
    struct fixture *f = *state;
    char long_id[STORE_ID_MAX + 2];
    memset(long_id, 'x', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = '\0';
    assert_int_equal(store_submit(f->store, f->loop, store_op_get("", "a"), NULL, NULL), -EINVAL);
    assert_int_equal(store_submit(f->store, f->loop, store_op_get("k", "\xff"), NULL, NULL),
                     -EINVAL);
    assert_int_equal(store_submit(f->store, f->loop, put_op("k", long_id, 0, ""), NULL, NULL),
                     -EINVAL);
    long_id[STORE_ID_MAX] = '\0';
    assert_int_equal(result_of(f, put_op("k", long_id, 0, "")), 0);
}

static void count_answer(void *user, int r, const struct store_result *res)
{
    assert_int_equal(r, 0);
    ++*(unsigned *)user;
}

static void test_what_waits_commits_as_a_group(void **state)
{
    struct fixture *f = *state;
    unsigned done = 0;
    uint64_t commits = store_commits(f->store);
    for (int i = 0; i < 2000; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%04d", i);
        assert_int_equal(store_submit(f->store, f->loop, put_op("k", id, STORE_CREATE, "v"),
                                      count_answer, &done),
                         0);
    }
    RUN_UNTIL(f->loop, done == 2000);
    assert_int_equal(store_queued(f->store), 0);
    /* At least 8 groups by their bound; far fewer than operations unless each got its own commit. */
    assert_in_range(store_commits(f->store) - commits, 8, 1000);
}

/* One that fails in the middle of a group takes nobody along. */
static void test_a_failure_in_a_group_is_its_own(void **state)
{
    struct fixture *f = *state;
    struct answer answers[30] = {0};
    for (int i = 0; i < 30; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d",
                 i % 3 == 2 ? i - 1 : i); /* every third creates what the one before has created */
        assert_int_equal(store_submit(f->store, f->loop, put_op("k", id, STORE_CREATE, "v"),
                                      on_answer, &answers[i]),
                         0);
    }
    for (int i = 0; i < 30; i++) {
        RUN_UNTIL(f->loop, answers[i].came);
        assert_int_equal(answers[i].r, i % 3 == 2 ? -EEXIST : 0);
        out_done(&answers[i].bodies);
    }
}

static void test_the_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    struct store_config config = {.dir = f->dir, .max_queued = 10, .max_queued_bytes = 100};
    assert_int_equal(store_open(&config, &f->store, NULL), 0);
    _cleanup_free_ char *text = mem_zalloc(102);
    memset(text, 'x', 101);
    assert_int_equal(store_submit(f->store, f->loop, put_op("k", "a", 0, text), NULL, NULL),
                     -ENOBUFS);
    text[100] = '\0';
    assert_int_equal(result_of(f, put_op("k", "a", 0, text)), 0);
    RUN_UNTIL(f->loop, store_queued(f->store) == 0);
    /* The thread takes some away meanwhile, so fill until one is refused; without a bound that never comes. */
    unsigned done = 0;
    unsigned sent = 0;
    while (sent < 1000000 &&
           store_submit(f->store, f->loop, store_op_list("k", "", 1), count_answer, &done) == 0) {
        sent++;
    }
    assert_in_range(sent, 10, 999999);
    RUN_UNTIL(f->loop, done == sent);
}

static void test_closing_drains(void **state)
{
    struct fixture *f = *state;
    unsigned done = 0;
    for (int i = 0; i < 500; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", i);
        store_submit(f->store, f->loop, put_op("k", id, 0, "v"), count_answer, &done);
    }
    f->store = store_close(f->store);
    RUN_UNTIL(f->loop, done == 500);
    f->store = open_store(f->dir);
    struct answer a = ask(f, store_op_list("k", "", 500));
    assert_int_equal(a.n, 500);
    out_done(&a.bodies);
}

static void test_a_forgotten_operation_calls_nobody(void **state)
{
    struct fixture *f = *state;
    struct answer a = {0};
    struct store_op *op = put_op("k", "a", 0, "v");
    assert_int_equal(store_submit(f->store, f->loop, op, on_answer, &a), 0);
    store_op_forget(op);
    check_get(f, "k", "a", "v"); /* later in the queue, so the first has been delivered */
    assert_false(a.came);
}

/* ---- opening ---- */

static void test_a_second_server_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store *second;
    struct error err;
    char pid[16];
    assert_int_equal(store_open(&(struct store_config){.dir = f->dir}, &second, &err), -EBUSY);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_string_equal(err.where, f->dir);
    f->store = store_close(f->store);
    f->store = open_store(f->dir);
}

static void test_the_folder_is_made_private(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *sub = folder_path(f->dir, "sub");
    _cleanup_free_ char *file = folder_path(sub, "state.db");
    mode_t old = umask(0);
    struct store *s = open_store(sub);
    umask(old);
    struct stat st;
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    store_close(s);
    folder_free(TAKE_PTR(sub));
}

static void test_folders_that_cannot_be_used_are_named(void **state)
{
    struct fixture *f = *state;
    struct store *s;
    struct error err;
    assert_int_equal(store_open(&(struct store_config){.dir = "/nonexistent/state"}, &s, &err),
                     -ENOENT);
    assert_string_equal(err.where, "/nonexistent/state");
    assert_int_equal(store_open(&(struct store_config){.dir = "/dev/null"}, &s, &err), -ENOTDIR);
    /* Root may write everywhere, so the test gives that up for a moment. */
    bool root = geteuid() == 0;
    f->store = store_close(f->store);
    assert_int_equal(chmod(f->dir, 0555), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    int r = store_open(&(struct store_config){.dir = f->dir}, &s, &err);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    chmod(f->dir, 0700);
    assert_int_equal(r, -EACCES);
    assert_non_null(strstr(err.text, "cannot write in the state folder"));
}

/* Overwrites len bytes of the closed file at offset. */
static void damage(struct fixture *f, off_t offset, size_t len)
{
    _cleanup_free_ char *path = folder_path(f->dir, "state.db");
    _cleanup_free_ char *junk = mem_alloc(len);
    memset(junk, 0xa5, len);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, junk, len, offset), len);
    close(fd);
}

static void expect_damaged(struct fixture *f)
{
    struct store *s;
    struct error err = {0};
    assert_int_equal(store_open(&(struct store_config){.dir = f->dir}, &s, &err), -EUCLEAN);
    assert_non_null(strstr(err.where, "state.db"));
    assert_non_null(strstr(err.text, "backup"));
}

static void test_a_damaged_file_is_told(void **state)
{
    struct fixture *f = *state;
    char id[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "%d", i);
        store_submit(f->store, f->loop, put_op("k", id, 0, "some text that fills pages"), NULL,
                     NULL);
    }
    f->store = store_close(f->store);
    damage(f, 3 * 4096, 2 * 4096); /* inside: only the check at the start finds it */
    expect_damaged(f);
    damage(f, 0, 100); /* the header */
    expect_damaged(f);
}

static void test_a_foreign_file_is_left_alone(void **state)
{
    struct fixture *f = *state;
    f->store = store_close(f->store);
    _cleanup_free_ char *path = folder_path(f->dir, "state.db");
    unlink(path);
    sqlite3 *h;
    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, "CREATE TABLE theirs (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(h);
    struct error err;
    assert_int_equal(store_open(&(struct store_config){.dir = f->dir}, &f->store, &err), -EINVAL);
    assert_non_null(strstr(err.text, "another program"));
}

/* ---- migrations ---- */

static sqlite3 *open_raw(struct fixture *f)
{
    _cleanup_free_ char *path = folder_path(f->dir, "state.db");
    sqlite3 *h;
    assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
    return h;
}

static int64_t raw_number(sqlite3 *h, const char *text)
{
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(h, text, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return v;
}

/* Files of every format that was ever released open, keep their documents, and end at the newest. */
static void test_every_old_format_opens(void **state)
{
    struct fixture *f = *state;
    for (unsigned from = 0; from <= store_migrations_n; from++) {
        f->store = store_close(f->store);
        _cleanup_free_ char *path = folder_path(f->dir, "state.db");
        unlink(path);
        sqlite3 *h = open_raw(f);
        assert_int_equal(store_migrate(h, store_migrations, from, NULL), 0);
        assert_int_equal(raw_number(h, "PRAGMA user_version"), from);
        sqlite3_exec(h, "PRAGMA application_id = 1298232180", NULL, NULL, NULL);
        if (from >= 1) {
            const char *text =
                "INSERT INTO document VALUES ('k', 'a', 7, 0, x'76'); UPDATE meta SET value = 7;";
            assert_int_equal(sqlite3_exec(h, text, NULL, NULL, NULL), SQLITE_OK);
        }
        sqlite3_close(h);
        f->store = open_store(f->dir);
        check_get(f, "k", "a", from >= 1 ? "v" : NULL);
        assert_int_equal(put(f, "k", "b", STORE_CREATE, "w"), from >= 1 ? 8 : 1);
    }
}

static void test_migrations_go_step_by_step(void **state)
{
    struct fixture *f = *state;
    f->store = store_close(f->store);
    _cleanup_free_ char *path = folder_path(f->dir, "state.db");
    unlink(path);
    const char *good[] = {"CREATE TABLE t (a);", "INSERT INTO t VALUES (1);",
                          "ALTER TABLE t ADD COLUMN b DEFAULT 5;"};
    const char *bad[] = {good[0], good[1],
                         "ALTER TABLE t ADD COLUMN b; INSERT INTO nowhere VALUES (1);"};
    struct error err;
    sqlite3 *h = open_raw(f);
    assert_int_equal(store_migrate(h, bad, 3, &err), -EIO);
    assert_non_null(strstr(err.text, "nowhere"));
    /* The failed step left nothing behind, the ones before it stand. */
    assert_int_equal(raw_number(h, "PRAGMA user_version"), 2);
    assert_int_equal(store_migrate(h, good, 3, NULL), 0);
    assert_int_equal(raw_number(h, "SELECT b FROM t"), 5);
    assert_int_equal(store_migrate(h, good, 3, NULL), 0);
    assert_int_equal(raw_number(h, "SELECT count(*) FROM t"), 1);
    assert_int_equal(store_migrate(h, good, 2, &err), -EPROTONOSUPPORT);
    sqlite3_close(h);
}

/* A commit that fails takes its whole group along, says so to each, and the next one works again. */
static void test_a_failing_commit_loses_no_answer(void **state)
{
    struct fixture *f = *state;
    sqlite3 *h = open_raw(f);
    assert_int_equal(sqlite3_exec(h, "ALTER TABLE meta RENAME TO hidden", NULL, NULL, NULL),
                     SQLITE_OK);
    struct answer answers[3] = {0};
    store_submit(f->store, f->loop, put_op("k", "a", STORE_CREATE, "1"), on_answer, &answers[0]);
    store_submit(f->store, f->loop, put_op("k", "b", STORE_CREATE, "2"), on_answer, &answers[1]);
    store_submit(f->store, f->loop, put_op("k", "c", STORE_CREATE, "3"), on_answer, &answers[2]);
    for (int i = 0; i < 3; i++) {
        RUN_UNTIL(f->loop, answers[i].came);
        assert_int_equal(answers[i].r, -EIO);
        assert_int_equal(answers[i].n, 0);
        assert_non_null(strstr(answers[i].err.text, "meta"));
        out_done(&answers[i].bodies);
    }
    assert_int_equal(sqlite3_exec(h, "ALTER TABLE hidden RENAME TO meta", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(h);
    check_get(f, "k", "a", NULL);
    assert_true(put(f, "k", "a", STORE_CREATE, "1") > 0);
}

/* ---- kill -9 ---- */

#define KILL_ROUNDS 25
#define IN_FLIGHT   16

struct crash_writer {
    struct fixture f;
    int acks;
    unsigned next;
    unsigned in_flight;
};

struct crash_write {
    struct crash_writer *w;
    unsigned number;
};

static void on_crash_write(void *user, int r, const struct store_result *res)
{
    struct crash_write *cw = user;
    if (r < 0 || write(cw->w->acks, &cw->number, sizeof(cw->number)) != sizeof(cw->number)) {
        _exit(1);
    }
    cw->w->in_flight--;
    free(cw);
}

/* Each number is one operation of two documents; it is acked once its callback has come. */
static void submit_numbered(struct crash_writer *w)
{
    struct crash_write *cw = mem_new(struct crash_write);
    char id[16];
    char body[600];
    *cw = (struct crash_write){w, w->next++};
    snprintf(id, sizeof(id), "%08u", cw->number);
    int n = snprintf(body, sizeof(body), "%0*u", (int)(cw->number % 500 + 8), cw->number);
    struct store_op *op = store_op_write();
    store_op_put(op, "state", id, STORE_CREATE, BYTES(body, (size_t)n));
    store_op_put(op, "event", id, STORE_CREATE, BYTES(body, (size_t)n));
    if (store_submit(w->f.store, w->f.loop, op, on_crash_write, cw) < 0) {
        _exit(1);
    }
    w->in_flight++;
}

static void write_until_killed(const char *dir, unsigned first, int acks)
{
    struct crash_writer w = {.acks = acks, .next = first};
    w.f.loop = loop_new("control", LOOP_CONTROL);
    if (store_open(&(struct store_config){.dir = dir}, &w.f.store, NULL) < 0) {
        _exit(1);
    }
    for (;;) {
        while (w.in_flight < IN_FLIGHT) {
            submit_numbered(&w);
        }
        loop_run_once(w.f.loop, 100);
    }
}

/* Reads a random number of acks, kills, and returns the last number acked. */
static unsigned run_and_kill(const char *dir, unsigned first, unsigned round)
{
    int fds[2];
    unsigned number = 0;
    unsigned last = first - 1;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        write_until_killed(dir, first, fds[1]);
    }
    close(fds[1]);
    unsigned wanted = 1 + (round * 2654435761u >> 16) % 400;
    for (unsigned n = 0; n < wanted; n++) {
        assert_int_equal(read(fds[0], &number, sizeof(number)), sizeof(number));
        last = number;
    }
    usleep(round * 37 %
           1000); /* so that it dies at all points of a commit, not only after an ack */
    kill(pid, SIGKILL);
    while (read(fds[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
        last = number;
    }
    close(fds[0]);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    return last;
}

struct check {
    unsigned next; /* number expected */
};

static int check_row(void *user, const struct store_doc *doc)
{
    struct check *c = user;
    char body[600];
    int n = snprintf(body, sizeof(body), "%0*u", (int)(c->next % 500 + 8), c->next);
    assert_int_equal(strtoul(doc->id, NULL, 10), c->next);
    assert_true(bytes_equal(doc->body, BYTES(body, (size_t)n)));
    c->next++;
    return 0;
}

/* Numbers are submitted and committed in order, so what is there must be 0..n without a hole, the same n for both kinds. */
static unsigned check_all(const char *dir)
{
    struct store_db *db;
    struct check states = {0};
    struct check events = {0};
    assert_int_equal(store_db_open(dir, false, &db, NULL), 0);
    assert_int_equal(store_db_list(db, "state", "", 1000000, check_row, &states, NULL), 0);
    assert_int_equal(store_db_list(db, "event", "", 1000000, check_row, &events, NULL), 0);
    assert_int_equal(states.next, events.next);
    store_db_close(db);
    return states.next;
}

static void test_killed_at_any_point_nothing_acked_is_lost(void **state)
{
    char *dir = folder_new();
    unsigned first = 0;
    for (unsigned round = 1; round <= KILL_ROUNDS; round++) {
        unsigned last = run_and_kill(dir, first, round);
        first = check_all(dir);
        assert_true(first > last);
    }
    assert_true(first > KILL_ROUNDS);
    folder_free(dir);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_at_any_point_nothing_acked_is_lost),
        T(test_put_get_and_versions),
        T(test_delete_and_versions_never_return),
        T(test_an_operation_is_all_or_nothing),
        T(test_lists_are_paged_in_order),
        T(test_all_of_a_kind_is_read),
        T(test_a_page_is_bounded_in_bytes),
        T(test_bad_keys_are_refused),
        T(test_what_waits_commits_as_a_group),
        T(test_a_failure_in_a_group_is_its_own),
        T(test_the_queue_is_bounded),
        T(test_closing_drains),
        T(test_a_forgotten_operation_calls_nobody),
        T(test_a_second_server_is_refused),
        T(test_the_folder_is_made_private),
        T(test_folders_that_cannot_be_used_are_named),
        T(test_a_damaged_file_is_told),
        T(test_a_foreign_file_is_left_alone),
        T(test_every_old_format_opens),
        T(test_migrations_go_step_by_step),
        T(test_a_failing_commit_loses_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
