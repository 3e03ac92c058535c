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
