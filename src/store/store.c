/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "store/store_db.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

/* Operations in one transaction: enough to share one commit, few enough that the first does not wait long. */
#define GROUP_MAX 256

enum op_kind {
    OP_GET,
    OP_LIST,
    OP_WRITE,
    OP_TASK,
};

enum write_verb {
    WRITE_PUT,
    WRITE_DELETE,
};

struct write {
    enum write_verb verb;
    int64_t expected;
    struct store_doc doc; /* owned strings and body; version and time filled by the writer */
};

struct store_op {
    struct loop_msg msg;
    struct store_op *next; /* in the queue */
    enum op_kind kind;
    struct loop *loop;
    store_fn fn; /* NULL: nobody asks; read and changed on the loop only */
    void *user;
    /* What is asked: get and list. */
    char *doc_kind;
    char *doc_id; /* or the id to start after */
    unsigned limit;
    /* What is asked: write. */
    struct write *writes;
    unsigned n_writes;
    size_t bytes; /* of the bodies to write */
    /* What is asked: a task. */
    int (*run)(struct store_db *db, void *arg, struct error *err);
    void *arg;
    void (*drop)(void *arg);
    /* The answer; refused already when bad is set at submission. */
    int r;
    struct store_doc *docs;
    unsigned n_docs;
    size_t docs_bytes;
    bool more;
    struct error err;
};

struct store {
    struct store_db *db; /* the writer thread's after store_open() */
    unsigned max_queued;
    size_t max_queued_bytes;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under the lock. */
    struct store_op *head;
    struct store_op **tail;
    unsigned queued; /* also those of the group under way */
    size_t queued_bytes;
    bool closing;
    atomic_ullong commits;
};

/* ---- operations ---- */

static struct store_op *op_new(enum op_kind kind)
{
    struct store_op *op = mem_new(struct store_op);
    op->kind = kind;
    return op;
}

/* What a key may be: text that SQLite and JSON can carry, of bounded length. */
static int check_key(const char *s, size_t max)
{
    size_t n = strlen(s);
    return n > 0 && n <= max && utf8_valid(BYTES(s, n)) ? 0 : -EINVAL;
}

static void note_bad(struct store_op *op, int r)
{
    op->r = op->r < 0 ? op->r : r;
}

struct store_op *store_op_get(const char *kind, const char *id)
{
    struct store_op *op = op_new(OP_GET);
    note_bad(op, check_key(kind, STORE_KIND_MAX));
    note_bad(op, check_key(id, STORE_ID_MAX));
    op->doc_kind = mem_strdup(kind);
    op->doc_id = mem_strdup(id);
    return op;
}

struct store_op *store_op_list(const char *kind, const char *after, unsigned limit)
{
    struct store_op *op = op_new(OP_LIST);
    note_bad(op, check_key(kind, STORE_KIND_MAX));
    note_bad(op, *after ? check_key(after, STORE_ID_MAX) : 0);
    op->doc_kind = mem_strdup(kind);
    op->doc_id = mem_strdup(after);
    op->limit = MIN(limit, (unsigned)STORE_LIST_MAX);
    return op;
}

struct store_op *store_op_write(void)
{
    return op_new(OP_WRITE);
}

static void add_write(struct store_op *op, enum write_verb verb, const char *kind, const char *id,
                      int64_t expected, struct bytes body)
{
    assert(op->kind == OP_WRITE);
    note_bad(op, check_key(kind, STORE_KIND_MAX));
    note_bad(op, check_key(id, STORE_ID_MAX));
    note_bad(op, body.len > STORE_BODY_MAX || op->n_writes >= STORE_WRITES_MAX ? -EFBIG : 0);
    if (op->r < 0) {
        return;
    }
    op->writes = mem_realloc(op->writes, (op->n_writes + 1) * sizeof(*op->writes));
    op->writes[op->n_writes++] = (struct write){
        .verb = verb,
        .expected = expected,
        .doc = {.kind = mem_strdup(kind),
                .id = mem_strdup(id),
                .body = BYTES(mem_memdup(body.data, body.len), body.len)},
    };
    op->bytes += body.len;
}

void store_op_put(struct store_op *op, const char *kind, const char *id, int64_t expected,
                  struct bytes body)
{
    add_write(op, WRITE_PUT, kind, id, expected, body);
}

void store_op_delete(struct store_op *op, const char *kind, const char *id, int64_t expected)
{
    add_write(op, WRITE_DELETE, kind, id, expected, BYTES(NULL, 0));
}

struct store_op *store_op_task(int (*run)(struct store_db *db, void *arg, struct error *err),
                               void *arg, void (*drop)(void *arg))
{
    struct store_op *op = op_new(OP_TASK);
    op->run = run;
    op->arg = arg;
    op->drop = drop;
    return op;
}

static void doc_done(struct store_doc *doc)
{
    free((void *)doc->kind);
    free((void *)doc->id);
    free((void *)doc->body.data);
}

struct store_op *store_op_free(struct store_op *op)
{
    if (!op) {
        return NULL;
    }
    for (unsigned i = 0; i < op->n_writes; i++) {
        doc_done(&op->writes[i].doc);
    }
    /* The documents of a write's answer are views of the above. */
    for (unsigned i = 0; op->kind != OP_WRITE && i < op->n_docs; i++) {
        doc_done(&op->docs[i]);
    }
    if (op->drop) {
        op->drop(op->arg);
    }
    free(op->writes);
    free(op->docs);
    free(op->doc_kind);
    free(op->doc_id);
    free(op);
    return NULL;
}

void store_op_forget(struct store_op *op)
{
    op->fn = NULL;
}

/* ---- the writer thread ---- */

/* Copies a row into the answer; with a list, one row more than the page tells that there is another. */
static int take_row(void *user, const struct store_doc *doc)
{
    struct store_op *op = user;
    bool full = op->kind == OP_LIST &&
                (op->n_docs == op->limit || op->docs_bytes + doc->body.len > STORE_LIST_BYTES_MAX);
    if (full && (op->n_docs > 0 || op->limit == 0)) {
        op->more = true;
        return -ENODATA;
    }
    op->docs = mem_realloc(op->docs, (op->n_docs + 1) * sizeof(*op->docs));
    op->docs[op->n_docs++] = (struct store_doc){
        .kind = mem_strdup(doc->kind),
        .id = mem_strdup(doc->id),
        .version = doc->version,
        .updated_ns = doc->updated_ns,
        .body = BYTES(mem_memdup(doc->body.data, doc->body.len), doc->body.len),
    };
    op->docs_bytes += doc->body.len;
    return 0;
}

static int run_read(struct store *s, struct store_op *op)
{
    if (op->kind == OP_LIST) {
        int r =
            store_db_list(s->db, op->doc_kind, op->doc_id, op->limit + 1, take_row, op, &op->err);
        return r == -ENODATA ? 0 : r;
    }
    int r = store_db_get(s->db, op->doc_kind, op->doc_id, take_row, op, &op->err);
    if (r >= 0 && op->n_docs == 0) {
        return error_set(&op->err, -ENOENT, op->doc_id, "there is no such document");
    }
    return r;
}

static int write_docs(struct store *s, struct store_op *op)
{
    int64_t now_ns = clock_wall_ns();
    int r = 0;
    for (unsigned i = 0; r >= 0 && i < op->n_writes; i++) {
        struct write *w = &op->writes[i];
        struct store_doc *d = &w->doc;
        d->updated_ns = now_ns;
        if (w->verb == WRITE_PUT) {
            r = store_db_put(s->db, d->kind, d->id, w->expected, d->body, now_ns, &d->version,
                             &op->err);
        } else {
            r = store_db_delete(s->db, d->kind, d->id, w->expected, &op->err);
        }
    }
    return r;
}

/* All of it or nothing. */
static int run_marked(struct store *s, struct store_op *op)
{
    int r = store_db_mark(s->db, &op->err);
    if (r < 0) {
        return r;
    }
    r = op->kind == OP_TASK ? op->run(s->db, op->arg, &op->err) : write_docs(s, op);
    if (r < 0) {
        (void)store_db_unmark(s->db, false, NULL); /* when even that fails, the commit will */
        return r;
    }
    return store_db_unmark(s->db, true, &op->err);
}

static void fail_all(struct store_op *group, int r, const struct error *err)
{
    for (struct store_op *op = group; op; op = op->next) {
        op->r = r;
        op->err = *err;
        op->err.code = r;
    }
}

static bool group_writes(const struct store_op *group)
{
    for (; group; group = group->next) {
        if (group->kind >= OP_WRITE) {
            return true;
        }
    }
    return false;
}

/* One transaction for all. An operation that fails is undone alone; a transaction that fails takes all with it. */
static void run_group(struct store *s, struct store_op *group)
{
    struct error err = {0};
    bool writes = group_writes(group);
    int r = store_db_begin(s->db, writes, &err);
    for (struct store_op *op = group; r >= 0 && op; op = op->next) {
        op->r = op->kind >= OP_WRITE ? run_marked(s, op) : run_read(s, op);
        if (!store_db_in_transaction(s->db)) {
            err = op->err;
            r = op->r < 0 ? op->r : -EIO;
        }
    }
    if (r >= 0) {
        r = store_db_commit(s->db, &err);
    }
    if (r < 0) {
        store_db_rollback(s->db);
        fail_all(group, r, &err);
    } else if (writes) {
        atomic_fetch_add_explicit(&s->commits, 1, memory_order_relaxed);
    }
}

static void list_written(struct store_op *op)
{
    op->docs = mem_new_array(struct store_doc, op->n_writes);
    op->n_docs = op->n_writes;
    for (unsigned i = 0; i < op->n_writes; i++) {
        op->docs[i] = op->writes[i].doc;
        op->docs[i].body = BYTES(NULL, 0);
    }
}

static void deliver(struct loop *l, struct loop_msg *m)
{
    struct store_op *op = CONTAINER_OF(m, struct store_op, msg);
    struct store_result result = {
        .err = op->err, .docs = op->docs, .n = op->n_docs, .more = op->more};
    if (op->fn) {
        op->fn(op->user, op->r, &result);
    }
    store_op_free(op);
}

/* From here on the operations belong to their loops. */
static void answer_group(struct store *s, struct store_op *group)
{
    while (group) {
        struct store_op *op = group;
        group = op->next;
        if (op->kind == OP_WRITE && op->r >= 0) {
            list_written(op);
        }
        pthread_mutex_lock(&s->lock);
        s->queued--;
        s->queued_bytes -= op->bytes;
        pthread_mutex_unlock(&s->lock);
        op->msg.deliver = deliver;
        loop_post(op->loop, &op->msg);
    }
}

/* Waits for work; NULL when the store closes and nothing is left. */
static struct store_op *take_group(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->head && !s->closing) {
        pthread_cond_wait(&s->wake, &s->lock);
    }
    struct store_op *group = s->head;
    struct store_op **end = &s->head;
    for (unsigned n = 0; *end && n < GROUP_MAX; n++) {
        end = &(*end)->next;
    }
    s->head = *end;
    if (!s->head) {
        s->tail = &s->head;
    }
    if (group) {
        *end = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    return group;
}

static void *writer_main(void *arg)
{
    struct store *s = arg;
    struct store_op *group;
    pthread_setname_np(pthread_self(), "store");
    while ((group = take_group(s)) != NULL) {
        run_group(s, group);
        answer_group(s, group);
    }
    return NULL;
}

/* ---- the store ---- */

int store_open(const struct store_config *config, struct store **ret, struct error *err)
{
    struct store_db *db;
    int r = store_db_open(config->dir, config->full_sync, &db, err);
    if (r < 0) {
        return r;
    }
    struct store *s = mem_new(struct store);
    s->db = db;
    s->max_queued = config->max_queued ? config->max_queued : 10000;
    s->max_queued_bytes = config->max_queued_bytes ? config->max_queued_bytes : (size_t)64 << 20;
    s->tail = &s->head;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    r = -pthread_create(&s->thread, NULL, writer_main, s);
    if (r < 0) {
        store_db_close(db);
        free(s);
        return error_set(err, r, config->dir, "cannot start the store's thread: %s", error_name(r));
    }
    *ret = s;
    return 0;
}

struct store *store_close(struct store *s)
{
    if (!s) {
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    store_db_close(s->db);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return NULL;
}

static int enqueue(struct store *s, struct store_op *op)
{
    int r = 0;
    pthread_mutex_lock(&s->lock);
    if (s->closing) {
        r = -ESHUTDOWN;
    } else if (s->queued >= s->max_queued || op->bytes > s->max_queued_bytes - s->queued_bytes) {
        r = -ENOBUFS;
    } else {
        s->queued++;
        s->queued_bytes += op->bytes;
        op->next = NULL;
        *s->tail = op;
        s->tail = &op->next;
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

int store_submit(struct store *s, struct loop *l, struct store_op *op, store_fn fn, void *user)
{
    op->loop = l;
    op->fn = fn;
    op->user = user;
    int r = op->r < 0 ? op->r : enqueue(s, op);
    if (r < 0) {
        store_op_free(op);
    }
    return r;
}

unsigned store_queued(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->queued;
    pthread_mutex_unlock(&s->lock);
    return n;
}

uint64_t store_commits(struct store *s)
{
    return atomic_load_explicit(&s->commits, memory_order_relaxed);
}
