/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_jobs.h"

#include "base/mem.h"
#include "base/random.h"

#include <errno.h>
#include <string.h>

/* The numbers of enum job_state, which are in the file. */
#define QUEUED    0
#define CLAIMED   1
#define DONE      2
#define DEAD      3
#define CANCELLED 4

#define COLUMNS " seq, id, state, due_ns, consumer, deliveries, lease, ended_ns, body "

static void bind_text(sqlite3_stmt *st, int at, const char *text)
{
    sqlite3_bind_text(st, at, text ? text : "", -1, SQLITE_STATIC);
}

static void bind_body(sqlite3_stmt *st, int at, struct bytes body)
{
    sqlite3_bind_blob64(st, at, body.len > 0 ? (const void *)body.data : "", body.len,
                        SQLITE_STATIC);
}

static struct store_job row_job(sqlite3_stmt *st)
{
    struct store_job j = {
        .seq = sqlite3_column_int64(st, 0),
        .id = (const char *)sqlite3_column_text(st, 1),
        .state = sqlite3_column_int(st, 2),
        .due_ns = sqlite3_column_int64(st, 3),
        .consumer = (const char *)sqlite3_column_text(st, 4),
        .deliveries = (unsigned)sqlite3_column_int(st, 5),
        .lease = sqlite3_column_int64(st, 6),
        .ended_ns = sqlite3_column_int64(st, 7),
    };
    const void *body = sqlite3_column_blob(st, 8);
    j.body = BYTES(body, (size_t)sqlite3_column_bytes(st, 8));
    return j;
}

/* Rows told, or negative. */
static int each_job(struct store_db *db, sqlite3_stmt *st, store_job_fn each, void *user,
                    struct error *err)
{
    int r = 0;
    int n = 0;
    int code = SQLITE_DONE;
    while (r >= 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
        const struct store_job j = row_job(st);
        r = each(user, &j);
        n++;
    }
    if (r >= 0 && code != SQLITE_DONE) {
        r = store_db_error(sqlite3_db_handle(st), "cannot read the jobs", err);
    }
    sqlite3_reset(st);
    return r < 0 ? r : n;
}

/* The first column of the only row, 0 when there is none. */
static int number(struct store_db *db, sqlite3_stmt *st, int64_t *ret, struct error *err)
{
    int code = sqlite3_step(st);
    int r = 0;
    *ret = 0;
    if (code == SQLITE_ROW) {
        *ret = sqlite3_column_int64(st, 0);
    } else if (code != SQLITE_DONE) {
        r = store_db_error(sqlite3_db_handle(st), "cannot read the jobs", err);
    }
    sqlite3_reset(st);
    return r;
}

#define STATEMENT(st, text)                                                                        \
    sqlite3_stmt *st = store_db_statement(db, text, err);                                          \
    if (!(st)) {                                                                                   \
        return err && err->code < 0 ? err->code : -EIO;                                            \
    }

static int count_of(struct store_db *db, const char *queue, int state, int64_t *ret,
                    struct error *err)
{
    STATEMENT(st, "SELECT n FROM job_count WHERE queue = ?1 AND state = ?2");
    bind_text(st, 1, queue);
    sqlite3_bind_int(st, 2, state);
    return number(db, st, ret, err);
}

/* ---- in ---- */

int store_job_put(struct store_db *db, const char *queue, const char *id, const char *target,
                  int64_t due_ns, struct bytes body, int64_t max, struct error *err)
{
    int64_t waiting;
    int r = count_of(db, queue, QUEUED, &waiting, err);
    if (r < 0) {
        return r;
    }
    if (waiting >= max) {
        return error_set(err, -ENOSPC, "", "%lld jobs wait already", (long long)waiting);
    }
    STATEMENT(st, "INSERT INTO job (queue, id, state, due_ns, target, consumer, deliveries, lease,"
                  " ended_ns, body) VALUES (?1, ?2, 0, ?3, ?4, '', 0, 0, 0, ?5)"
                  " ON CONFLICT DO NOTHING");
    bind_text(st, 1, queue);
    bind_text(st, 2, id);
    sqlite3_bind_int64(st, 3, due_ns);
    bind_text(st, 4, target);
    bind_body(st, 5, body);
    r = store_db_run(db, st, err);
    return r == 0 ? error_set(err, -EEXIST, "id", "there is a job %s already", id) : MIN(r, 0);
}

/* ---- out ---- */

static int see(struct store_db *db, const char *queue, const char *consumer, int64_t now,
               struct error *err)
{
    STATEMENT(st, "INSERT INTO job_consumer VALUES (?1, ?2, ?3)"
                  " ON CONFLICT DO UPDATE SET seen_ns = ?3");
    bind_text(st, 1, queue);
    bind_text(st, 2, consumer);
    sqlite3_bind_int64(st, 3, now);
    return MIN(store_db_run(db, st, err), 0);
}

static int release_lapsed(struct store_db *db, const char *queue, int64_t now, struct error *err)
{
    STATEMENT(st,
              "UPDATE job SET state = 0, consumer = '', lease = 0 WHERE seq IN"
              " (SELECT seq FROM job WHERE queue = ?1 AND state = 1 AND due_ns <= ?2 LIMIT 256)");
    bind_text(st, 1, queue);
    sqlite3_bind_int64(st, 2, now);
    return MIN(store_db_run(db, st, err), 0);
}

int store_jobs_claim(struct store_db *db, const char *queue, const char *consumer, unsigned max,
                     int64_t now, int64_t until, store_job_fn each, void *user, struct error *err)
{
    const char *const targets[] = {consumer, ""};
    const int64_t lease = (int64_t)(random_u64() >> 1);
    int r = see(db, queue, consumer, now, err);
    r = r < 0 ? r : release_lapsed(db, queue, now, err);
    for (unsigned i = 0; r >= 0 && i < ARRAY_LEN(targets) && max > 0; i++) {
        STATEMENT(
            st,
            "UPDATE job SET state = 1, consumer = ?1, due_ns = ?2, lease = ?3,"
            " deliveries = deliveries + 1 WHERE seq IN (SELECT seq FROM job WHERE queue = ?4 AND"
            " state = 0 AND target = ?5 AND due_ns <= ?6 ORDER BY due_ns, seq LIMIT ?7)"
            " RETURNING" COLUMNS);
        bind_text(st, 1, consumer);
        sqlite3_bind_int64(st, 2, until);
        sqlite3_bind_int64(st, 3, lease);
        bind_text(st, 4, queue);
        bind_text(st, 5, targets[i]);
        sqlite3_bind_int64(st, 6, now);
        sqlite3_bind_int64(st, 7, max);
        r = each_job(db, st, each, user, err);
        max -= (unsigned)MAX(r, 0);
    }
    return MIN(r, 0);
}

int store_jobs_next(struct store_db *db, const char *queue, const char *consumer, int64_t *ret,
                    struct error *err)
{
    STATEMENT(
        st,
        "SELECT min(due) FROM ("
        "SELECT min(due_ns) AS due FROM job WHERE queue = ?1 AND state = 0 AND target = '' UNION ALL "
        "SELECT min(due_ns) FROM job WHERE queue = ?1 AND state = 0 AND target = ?2 UNION ALL "
        "SELECT min(due_ns) FROM job WHERE queue = ?1 AND state = 1)");
    bind_text(st, 1, queue);
    bind_text(st, 2, consumer);
    return number(db, st, ret, err);
}

/* ---- in a worker's hands ---- */

static int expect_one(int rows, struct error *err)
{
    return rows == 0 ? error_set(err, -ESTALE, "receipt", "the lease of this job has ended")
                     : MIN(rows, 0);
}

int store_job_extend(struct store_db *db, const char *queue, const char *consumer, int64_t seq,
                     int64_t lease, int64_t now, int64_t until, struct error *err)
{
    STATEMENT(st, "UPDATE job SET due_ns = ?1 WHERE seq = ?2 AND queue = ?3 AND state = 1"
                  " AND lease = ?4");
    sqlite3_bind_int64(st, 1, until);
    sqlite3_bind_int64(st, 2, seq);
    bind_text(st, 3, queue);
    sqlite3_bind_int64(st, 4, lease);
    int r = expect_one(store_db_run(db, st, err), err);
    return r < 0 ? r : see(db, queue, consumer, now, err);
}

int store_job_end(struct store_db *db, const char *queue, int64_t seq, int64_t lease, int state,
                  struct bytes body, int64_t now, struct error *err)
{
    STATEMENT(
        st,
        "UPDATE job SET state = ?1, ended_ns = ?2, consumer = '', lease = 0,"
        " body = coalesce(?3, body) WHERE seq = ?4 AND queue = ?5 AND state = 1 AND lease = ?6");
    sqlite3_bind_int(st, 1, state);
    sqlite3_bind_int64(st, 2, now);
    if (body.data) {
        bind_body(st, 3, body);
    }
    sqlite3_bind_int64(st, 4, seq);
    bind_text(st, 5, queue);
    sqlite3_bind_int64(st, 6, lease);
    return expect_one(store_db_run(db, st, err), err);
}

int store_job_requeue(struct store_db *db, const char *queue, int64_t seq, int64_t lease,
                      const char *target, int64_t due_ns, struct bytes body, struct error *err)
{
    STATEMENT(st,
              "UPDATE job SET state = 0, consumer = '', lease = 0, target = coalesce(?1, target),"
              " due_ns = ?2, body = coalesce(?3, body),"
              " deliveries = CASE WHEN ?3 IS NULL THEN deliveries - 1 ELSE 0 END"
              " WHERE seq = ?4 AND queue = ?5 AND state = 1 AND lease = ?6");
    if (body.data) {
        bind_text(st, 1, target);
        bind_body(st, 3, body);
    }
    sqlite3_bind_int64(st, 2, due_ns);
    sqlite3_bind_int64(st, 4, seq);
    bind_text(st, 5, queue);
    sqlite3_bind_int64(st, 6, lease);
    return expect_one(store_db_run(db, st, err), err);
}

/* ---- by people ---- */

static int state_of(struct store_db *db, const char *queue, const char *id, int *ret,
                    struct error *err)
{
    STATEMENT(st, "SELECT state FROM job WHERE queue = ?1 AND id = ?2");
    bind_text(st, 1, queue);
    bind_text(st, 2, id);
    int code = sqlite3_step(st);
    int r = 0;
    if (code == SQLITE_ROW) {
        *ret = sqlite3_column_int(st, 0);
    } else if (code == SQLITE_DONE) {
        r = error_set(err, -ENOENT, id, "there is no such job");
    } else {
        r = store_db_error(sqlite3_db_handle(st), "cannot read the jobs", err);
    }
    sqlite3_reset(st);
    return r;
}

int store_job_move(struct store_db *db, const char *queue, const char *id, unsigned from, int to,
                   struct bytes body, int64_t now, struct error *err)
{
    int state = QUEUED;
    int r = state_of(db, queue, id, &state, err);
    if (r < 0) {
        return r;
    }
    if (!(from & (1u << state))) {
        return state == CLAIMED  ? error_set(err, -EBUSY, id, "a worker has this job")
               : state == QUEUED ? error_set(err, -EBUSY, id, "this job is still to be done")
                                 : error_set(err, -EALREADY, id, "this job has ended");
    }
    STATEMENT(
        st, "UPDATE job SET state = ?1, due_ns = ?2, ended_ns = CASE ?1 WHEN 0 THEN 0 ELSE ?2 END,"
            " deliveries = 0, body = coalesce(?3, body) WHERE queue = ?4 AND id = ?5");
    sqlite3_bind_int(st, 1, to);
    sqlite3_bind_int64(st, 2, now);
    if (body.data) {
        bind_body(st, 3, body);
    }
    bind_text(st, 4, queue);
    bind_text(st, 5, id);
    return MIN(store_db_run(db, st, err), 0);
}

int store_job_get(struct store_db *db, const char *queue, const char *id, store_job_fn each,
                  void *user, struct error *err)
{
    STATEMENT(st, "SELECT" COLUMNS "FROM job WHERE queue = ?1 AND id = ?2");
    bind_text(st, 1, queue);
    bind_text(st, 2, id);
    int r = each_job(db, st, each, user, err);
    return r == 0 ? error_set(err, -ENOENT, id, "there is no such job") : MIN(r, 0);
}

int store_jobs_list(struct store_db *db, const char *queue, int state, int64_t after,
                    unsigned limit, store_job_fn each, void *user, struct error *err)
{
    /* Of its own, so that the few dead ones are found without reading all the others. */
    static const char dead[] =
        "SELECT" COLUMNS
        "FROM job WHERE queue = ?1 AND state = 3 AND seq > ?3 ORDER BY seq LIMIT ?4";
    static const char any[] =
        "SELECT" COLUMNS
        "FROM job WHERE queue = ?1 AND (?2 < 0 OR state = ?2) AND seq > ?3 ORDER BY seq LIMIT ?4";
    STATEMENT(st, state == DEAD ? dead : any);
    bind_text(st, 1, queue);
    if (state != DEAD) {
        sqlite3_bind_int(st, 2, state);
    }
    sqlite3_bind_int64(st, 3, after);
    sqlite3_bind_int64(st, 4, limit);
    return MIN(each_job(db, st, each, user, err), 0);
}

int store_jobs_prune(struct store_db *db, const char *queue, int64_t before, int64_t keep,
                     struct error *err)
{
    int64_t done;
    int64_t cancelled;
    int r = count_of(db, queue, DONE, &done, err);
    r = r < 0 ? r : count_of(db, queue, CANCELLED, &cancelled, err);
    if (r < 0) {
        return r;
    }
    STATEMENT(st, "DELETE FROM job WHERE seq IN (SELECT seq FROM job WHERE queue = ?1 AND"
                  " state IN (2, 4) ORDER BY ended_ns LIMIT ?2)");
    bind_text(st, 1, queue);
    sqlite3_bind_int64(st, 2, MIN(MAX(done + cancelled - keep, INT64_C(0)), INT64_C(1000)));
    r = store_db_run(db, st, err);
    if (r < 0) {
        return r;
    }
    STATEMENT(old, "DELETE FROM job WHERE seq IN (SELECT seq FROM job WHERE queue = ?1 AND"
                   " state IN (2, 4) AND ended_ns < ?2 ORDER BY ended_ns LIMIT 1000)");
    bind_text(old, 1, queue);
    sqlite3_bind_int64(old, 2, before);
    int more = store_db_run(db, old, err);
    return more < 0 ? more : r + more;
}

/* ---- numbers ---- */

static int count_due(struct store_db *db, const char *text, const char *queue, int64_t now,
                     int64_t *ret, struct error *err)
{
    STATEMENT(st, text);
    bind_text(st, 1, queue);
    sqlite3_bind_int64(st, 2, now);
    return number(db, st, ret, err);
}

int store_jobs_count(struct store_db *db, const char *queue, int64_t now,
                     struct store_job_counts *ret, struct error *err)
{
    /* Both are short: what waits for its time has failed before, what is claimed is as much as the workers carry. */
    static const char scheduled[] =
        "SELECT (SELECT count(*) FROM job WHERE queue = ?1 AND state = 0 AND target = '' AND due_ns > ?2) +"
        " (SELECT count(*) FROM job WHERE queue = ?1 AND state = 0 AND target <> '' AND due_ns > ?2)";
    static const char lapsed[] =
        "SELECT count(*) FROM job WHERE queue = ?1 AND state = 1 AND due_ns <= ?2";
    static const char oldest[] =
        "SELECT min(due_ns) FROM job WHERE queue = ?1 AND state = 0 AND target = '' AND due_ns <= ?2";
    int r = 0;
    *ret = (struct store_job_counts){0};
    for (int state = QUEUED; r >= 0 && state <= CANCELLED; state++) {
        r = count_of(db, queue, state, &ret->n[state], err);
    }
    r = r < 0 ? r : count_due(db, scheduled, queue, now, &ret->scheduled, err);
    r = r < 0 ? r : count_due(db, lapsed, queue, now, &ret->lapsed, err);
    return r < 0 ? r : count_due(db, oldest, queue, now, &ret->oldest_ns, err);
}

int store_jobs_consumers(struct store_db *db, const char *queue, int64_t since,
                         store_consumer_fn each, void *user, struct error *err)
{
    STATEMENT(gone, "DELETE FROM job_consumer WHERE queue = ?1 AND seen_ns < ?2");
    bind_text(gone, 1, queue);
    sqlite3_bind_int64(gone, 2, since);
    int r = store_db_run(db, gone, err);
    if (r < 0) {
        return r;
    }
    STATEMENT(
        st,
        "SELECT name, (SELECT count(*) FROM job WHERE job.queue = ?1 AND state = 1 AND consumer = name),"
        " seen_ns FROM job_consumer WHERE queue = ?1 ORDER BY name LIMIT 1000");
    bind_text(st, 1, queue);
    int code = SQLITE_DONE;
    r = 0;
    while (r >= 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
        r = each(user, (const char *)sqlite3_column_text(st, 0), sqlite3_column_int64(st, 1),
                 sqlite3_column_int64(st, 2));
    }
    if (r >= 0 && code != SQLITE_DONE) {
        r = store_db_error(sqlite3_db_handle(st), "cannot read the jobs", err);
    }
    sqlite3_reset(st);
    return MIN(r, 0);
}

/* ---- who owns a broadcast ---- */

static int each_owner(struct store_db *db, sqlite3_stmt *st, store_owner_fn each, void *user,
                      struct error *err)
{
    int r = 0;
    int code = SQLITE_DONE;
    while (r >= 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
        const struct store_owner o = {
            .broadcast_id = (const char *)sqlite3_column_text(st, 0),
            .worker = (const char *)sqlite3_column_text(st, 1),
            .expires_ns = sqlite3_column_int64(st, 2),
            .payload = (const char *)sqlite3_column_text(st, 3),
        };
        r = each(user, &o);
    }
    if (r >= 0 && code != SQLITE_DONE) {
        r = store_db_error(sqlite3_db_handle(st), "cannot read the owners", err);
    }
    sqlite3_reset(st);
    return MIN(r, 0);
}

int store_owner_put(struct store_db *db, const char *queue, const struct store_owner *o,
                    int64_t now, struct error *err)
{
    STATEMENT(
        st,
        "INSERT INTO job_owner VALUES (?1, ?2, ?3, ?4, coalesce(?6, '')) ON CONFLICT DO UPDATE SET"
        " worker = ?3, expires_ns = ?4, payload = coalesce(?6, payload)"
        " WHERE worker = ?3 OR expires_ns <= ?5");
    bind_text(st, 1, queue);
    bind_text(st, 2, o->broadcast_id);
    bind_text(st, 3, o->worker);
    sqlite3_bind_int64(st, 4, o->expires_ns);
    sqlite3_bind_int64(st, 5, now);
    if (o->payload) {
        bind_text(st, 6, o->payload);
    }
    int r = store_db_run(db, st, err);
    return r == 0 ? error_set(err, -EBUSY, o->broadcast_id, "another worker has this broadcast")
                  : MIN(r, 0);
}

int store_owner_drop(struct store_db *db, const char *queue, const char *broadcast_id,
                     const char *worker, struct error *err)
{
    STATEMENT(st, "DELETE FROM job_owner WHERE queue = ?1 AND broadcast_id = ?2 AND worker = ?3");
    bind_text(st, 1, queue);
    bind_text(st, 2, broadcast_id);
    bind_text(st, 3, worker);
    return store_db_run(db, st, err);
}

int store_owner_get(struct store_db *db, const char *queue, const char *broadcast_id, int64_t now,
                    store_owner_fn each, void *user, struct error *err)
{
    STATEMENT(st,
              "SELECT broadcast_id, worker, expires_ns, payload FROM job_owner WHERE queue = ?1 AND"
              " broadcast_id = ?2 AND expires_ns > ?3");
    bind_text(st, 1, queue);
    bind_text(st, 2, broadcast_id);
    sqlite3_bind_int64(st, 3, now);
    return each_owner(db, st, each, user, err);
}

int store_owners_reap(struct store_db *db, const char *queue, int64_t now, store_owner_fn each,
                      void *user, struct error *err)
{
    /* First, while the records still tell whose they were. */
    STATEMENT(freed, "UPDATE job SET target = '' WHERE queue = ?1 AND state = 0 AND target IN"
                     " (SELECT worker FROM job_owner WHERE queue = ?1 AND expires_ns <= ?2)");
    bind_text(freed, 1, queue);
    sqlite3_bind_int64(freed, 2, now);
    int r = store_db_run(db, freed, err);
    if (r < 0) {
        return r;
    }
    STATEMENT(st, "DELETE FROM job_owner WHERE (queue, broadcast_id) IN (SELECT queue, broadcast_id"
                  " FROM job_owner WHERE queue = ?1 AND expires_ns <= ?2 LIMIT 100)"
                  " RETURNING broadcast_id, worker, expires_ns, payload");
    bind_text(st, 1, queue);
    sqlite3_bind_int64(st, 2, now);
    return each_owner(db, st, each, user, err);
}
