/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_db.h"

#include "base/mem.h"

#include <errno.h>

const char *const store_migrations[] = {
    /* 1: documents. meta.revision is the number of the last write, of which each document keeps its own as version. */
    "CREATE TABLE document ("
    "  kind TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  version INTEGER NOT NULL,"
    "  updated_ns INTEGER NOT NULL,"
    "  body BLOB NOT NULL,"
    "  PRIMARY KEY (kind, id)"
    ") STRICT;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('revision', 0);",
    /*
     * 2: jobs (store_jobs.h). due_ns: of a queued one not before, of a claimed one the end of its lease. The states are those of
     * enum job_state. job_count keeps what counting a million rows would cost.
     */
    "CREATE TABLE job ("
    "  seq INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  queue TEXT NOT NULL,"
    "  id TEXT NOT NULL,"
    "  state INTEGER NOT NULL,"
    "  due_ns INTEGER NOT NULL,"
    "  target TEXT NOT NULL,"
    "  consumer TEXT NOT NULL,"
    "  deliveries INTEGER NOT NULL,"
    "  lease INTEGER NOT NULL,"
    "  ended_ns INTEGER NOT NULL,"
    "  body BLOB NOT NULL,"
    "  UNIQUE (queue, id)"
    ") STRICT;"
    "CREATE INDEX job_ready ON job (queue, target, due_ns, seq) WHERE state = 0;"
    "CREATE INDEX job_targeted ON job (queue, due_ns) WHERE state = 0 AND target <> '';"
    "CREATE INDEX job_leased ON job (queue, due_ns) WHERE state = 1;"
    "CREATE INDEX job_ended ON job (queue, ended_ns) WHERE state IN (2, 4);"
    "CREATE INDEX job_dead ON job (queue, seq) WHERE state = 3;"
    "CREATE TABLE job_count ("
    "  queue TEXT NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,"
    "  PRIMARY KEY (queue, state)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TRIGGER job_in AFTER INSERT ON job BEGIN"
    "  INSERT INTO job_count VALUES (new.queue, new.state, 1)"
    "    ON CONFLICT DO UPDATE SET n = n + 1; END;"
    "CREATE TRIGGER job_out AFTER DELETE ON job BEGIN"
    "  UPDATE job_count SET n = n - 1 WHERE queue = old.queue AND state = old.state; END;"
    "CREATE TRIGGER job_moved AFTER UPDATE OF state ON job WHEN old.state <> new.state BEGIN"
    "  UPDATE job_count SET n = n - 1 WHERE queue = old.queue AND state = old.state;"
    "  INSERT INTO job_count VALUES (new.queue, new.state, 1)"
    "    ON CONFLICT DO UPDATE SET n = n + 1; END;"
    "CREATE TABLE job_consumer ("
    "  queue TEXT NOT NULL, name TEXT NOT NULL, seen_ns INTEGER NOT NULL,"
    "  PRIMARY KEY (queue, name)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE TABLE job_owner ("
    "  queue TEXT NOT NULL, broadcast_id TEXT NOT NULL, worker TEXT NOT NULL,"
    "  expires_ns INTEGER NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (queue, broadcast_id)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX job_owner_expiry ON job_owner (queue, expires_ns);",
};
const unsigned store_migrations_n = ARRAY_LEN(store_migrations);

static int read_version(sqlite3 *h, unsigned *ret, struct error *err)
{
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(h, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        sqlite3_finalize(st);
        return store_db_error(h, "cannot read the version of the state file", err);
    }
    *ret = (unsigned)sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return 0;
}

/* The step and the new version commit together: a crash between two steps leaves a file that goes on from there. */
static int take_step(sqlite3 *h, const char *sql, unsigned to, struct error *err)
{
    _cleanup_free_ char *all =
        mem_printf("BEGIN IMMEDIATE; %s PRAGMA user_version = %u; COMMIT;", sql, to);
    if (sqlite3_exec(h, all, NULL, NULL, NULL) == SQLITE_OK) {
        return 0;
    }
    int r = store_db_error(h, "cannot migrate the state file", err);
    sqlite3_exec(h, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

int store_migrate(sqlite3 *h, const char *const *steps, unsigned n, struct error *err)
{
    unsigned version = 0;
    int r = read_version(h, &version, err);
    if (r < 0) {
        return r;
    }
    if (version > n) {
        return error_set(
            err, -EPROTONOSUPPORT, "",
            "the state file has format %u and this version of Mast knows %u; use the newer Mast that wrote it",
            version, n);
    }
    for (; version < n; version++) {
        r = take_step(h, steps[version], version + 1, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}
