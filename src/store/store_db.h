/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The SQLite side of the store: one connection, prepared statements, the schema and its migrations. Private to store/.
 * One thread at a time: the opener, then the writer thread.
 */
#include "store/store.h"

#include <sqlite3.h>

struct store_db;

/* Takes the folder's lock, opens or makes the file, checks it, migrates it. Errors as store_open(). */
int store_db_open(const char *dir, bool full_sync, struct store_db **ret, struct error *err);
struct store_db *store_db_close(struct store_db *db);

/* A transaction around a group of operations, and a mark around each of them. */
int store_db_begin(struct store_db *db, bool writes, struct error *err);
int store_db_commit(struct store_db *db, struct error *err);
void store_db_rollback(struct store_db *db);
int store_db_mark(struct store_db *db, struct error *err);
/* keep: the operation stands; else what it did since the mark is undone. */
int store_db_unmark(struct store_db *db, bool keep, struct error *err);
/* False after an error so bad that SQLite has ended the transaction by itself. */
bool store_db_in_transaction(const struct store_db *db);

int store_db_put(struct store_db *db, const char *kind, const char *id, int64_t expected,
                 struct bytes body, int64_t now_ns, int64_t *ret_version, struct error *err);
int store_db_delete(struct store_db *db, const char *kind, const char *id, int64_t expected,
                    struct error *err);
/* doc's views are valid until the next call on db. Negative return of `each` ends the list with it. */
typedef int (*store_db_each_fn)(void *user, const struct store_doc *doc);
int store_db_get(struct store_db *db, const char *kind, const char *id, store_db_each_fn each,
                 void *user, struct error *err);
int store_db_list(struct store_db *db, const char *kind, const char *after, unsigned limit,
                  store_db_each_fn each, void *user, struct error *err);

/*
 * A statement of this text (a literal: it is known by its address), prepared once and reset; with nothing bound. For tables that
 * others keep here (store_jobs.h). NULL: err says why.
 */
sqlite3_stmt *store_db_statement(struct store_db *db, const char *literal, struct error *err);
/* Runs it to its end, resets it. Rows changed, or negative. */
int store_db_run(struct store_db *db, sqlite3_stmt *st, struct error *err);

/* Ordered list; entry i takes a file of user_version i to i + 1. Released entries never change. */
extern const char *const store_migrations[];
extern const unsigned store_migrations_n;
/* Brings h from its user_version to n, each step in its own transaction. */
int store_migrate(sqlite3 *h, const char *const *steps, unsigned n, struct error *err);
/* Fills err from h's last failure and returns the errno. */
int store_db_error(sqlite3 *h, const char *doing, struct error *err);
