/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_db.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME      "state.db"
#define LOCK_NAME      "lock"
#define APPLICATION_ID 0x4d617374 /* "Mast", in the file's header */

enum statement {
    ST_BEGIN_READ,
    ST_BEGIN_WRITE,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_MARK,
    ST_RELEASE,
    ST_UNDO,
    ST_VERSION,
    ST_PUT,
    ST_DELETE,
    ST_GET,
    ST_LIST,
    ST_REVISION,
    ST_N,
};

static const char *const sql[] = {
    [ST_BEGIN_READ] = "BEGIN",
    [ST_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_MARK] = "SAVEPOINT op",
    [ST_RELEASE] = "RELEASE op",
    [ST_UNDO] = "ROLLBACK TO op",
    [ST_VERSION] = "SELECT version FROM document WHERE kind = ?1 AND id = ?2",
    [ST_PUT] =
        ("INSERT INTO document (kind, id, version, updated_ns, body) VALUES (?1, ?2, ?3, ?4, ?5)"
         " ON CONFLICT (kind, id) DO UPDATE SET version = ?3, updated_ns = ?4, body = ?5"),
    [ST_DELETE] = "DELETE FROM document WHERE kind = ?1 AND id = ?2",
    [ST_GET] =
        "SELECT kind, id, version, updated_ns, body FROM document WHERE kind = ?1 AND id = ?2",
    [ST_LIST] =
        ("SELECT kind, id, version, updated_ns, body FROM document WHERE kind = ?1 AND id > ?2"
         " ORDER BY id LIMIT ?3"),
    [ST_REVISION] = "UPDATE meta SET value = ?1 WHERE key = 'revision'",
};
_Static_assert(ARRAY_LEN(sql) == ST_N, "");

#define OTHERS_MAX 64

struct store_db {
    sqlite3 *h;
    sqlite3_stmt *st[ST_N];
    struct {
        const char *text;
        sqlite3_stmt *st;
    } others[OTHERS_MAX];
    int lock_fd;
    int64_t revision;
    bool revised; /* the transaction under way has taken revisions */
};

/* ---- errors ---- */

static int errno_of(int code)
{
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return -EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_TOOBIG:
        return -EFBIG;
    default:
        return -EIO;
    }
}

int store_db_error(sqlite3 *h, const char *doing, struct error *err)
{
    int r = errno_of(sqlite3_errcode(h));
    if (r == -EUCLEAN) {
        return error_set(
            err, r, "",
            "%s: the state file is damaged (%s); move it away and put a backup in its place", doing,
            sqlite3_errmsg(h));
    }
    return error_set(err, r, "", "%s: %s", doing, sqlite3_errmsg(h));
}

/* ---- statements ---- */

static void reset(struct store_db *db, enum statement which)
{
    sqlite3_reset(db->st[which]);
    sqlite3_clear_bindings(db->st[which]);
}

/* Runs a statement that returns no rows. */
static int run(struct store_db *db, enum statement which, const char *doing, struct error *err)
{
    int code = sqlite3_step(db->st[which]);
    int r = code == SQLITE_DONE ? 0 : store_db_error(db->h, doing, err);
    reset(db, which);
    return r;
}

static void bind_key(struct store_db *db, enum statement which, const char *kind, const char *id)
{
    sqlite3_bind_text(db->st[which], 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(db->st[which], 2, id, -1, SQLITE_STATIC);
}

static int prepare_all(struct store_db *db, struct error *err)
{
    for (int i = 0; i < ST_N; i++) {
        if (sqlite3_prepare_v3(db->h, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &db->st[i], NULL) !=
            SQLITE_OK) {
            return store_db_error(db->h, "cannot use the state file", err);
        }
    }
    return 0;
}

/* ---- opening ---- */

static int lock_folder(const char *dir, int *ret, struct error *err)
{
    _cleanup_free_ char *path = mem_printf("%s/%s", dir, LOCK_NAME);
    char pid[16] = "";
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    /* A lock that is there already opens in a folder that takes no new files; SQLite needs to make some. */
    if (fd < 0 || faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) < 0) {
        int e = errno;
        if (fd >= 0) {
            close(fd);
        }
        return error_set(err, -e, dir,
                         "cannot write in the state folder: %s; give it to the user that runs Mast",
                         error_name(e));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        close(fd);
        return error_set(
            err, -EBUSY, dir,
            "another server (process %s) uses this state folder; stop it or take another folder",
            pid[0] ? pid : "unknown");
    }
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0) {
        int e = errno;
        close(fd);
        return error_set(err, -e, dir, "cannot write in the state folder: %s", error_name(e));
    }
    *ret = fd;
    return 0;
}

/* Made by us, so that it is private from its first moment; SQLite gives the WAL the same mode. */
static int touch_file(const char *path, struct error *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        int e = errno;
        return error_set(err, -e, path, "cannot open the state file: %s", error_name(e));
    }
    close(fd);
    return 0;
}

static int exec(struct store_db *db, const char *text, struct error *err)
{
    if (sqlite3_exec(db->h, text, NULL, NULL, NULL) == SQLITE_OK) {
        return 0;
    }
    return store_db_error(db->h, "cannot open the state file", err);
}

/* One integer or text from a statement; ret is NULL for "is it 'ok'?". */
static int query(struct store_db *db, const char *text, int64_t *ret, struct error *err)
{
    sqlite3_stmt *st = NULL;
    int r = 0;
    if (sqlite3_prepare_v2(db->h, text, -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW) {
        r = store_db_error(db->h, "cannot read the state file", err);
    } else if (ret) {
        *ret = sqlite3_column_int64(st, 0);
    } else if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0) {
        r = error_set(err, -EUCLEAN, "",
                      "the state file is damaged (%s); move it away and put a backup in its place",
                      sqlite3_column_text(st, 0));
    }
    sqlite3_finalize(st);
    return r;
}

/* A file that some other program made must not be taken over. */
static int check_identity(struct store_db *db, struct error *err)
{
    int64_t id = 0;
    int64_t tables = 0;
    int r = query(db, "PRAGMA application_id", &id, err);
    if (r >= 0) {
        r = query(db, "SELECT count(*) FROM sqlite_schema", &tables, err);
    }
    if (r < 0) {
        return r;
    }
    if (id != APPLICATION_ID && (id != 0 || tables != 0)) {
        return error_set(err, -EINVAL, "", "the state file belongs to another program");
    }
    char text[64];
    snprintf(text, sizeof(text), "PRAGMA application_id = %d", APPLICATION_ID);
    return id == APPLICATION_ID ? 0 : exec(db, text, err);
}

static int open_file(struct store_db *db, const char *path, bool full_sync, struct error *err)
{
    if (sqlite3_open_v2(path, &db->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        return store_db_error(db->h, "cannot open the state file", err);
    }
    sqlite3_busy_timeout(db->h, 5000); /* an administrator's sqlite3 shell may be looking */
    sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    int r = exec(db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;", err);
    if (r >= 0) {
        r = check_identity(db, err);
    }
    if (r >= 0) {
        r = exec(db, "PRAGMA journal_mode = WAL; PRAGMA journal_size_limit = 16777216;", err);
    }
    if (r >= 0) {
        r = exec(db, full_sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err);
    }
    if (r >= 0) {
        r = query(db, "PRAGMA quick_check(1)", NULL, err);
    }
    if (r >= 0) {
        r = store_migrate(db->h, store_migrations, store_migrations_n, err);
    }
    if (r >= 0) {
        r = query(db, "SELECT value FROM meta WHERE key = 'revision'", &db->revision, err);
    }
    return r >= 0 ? prepare_all(db, err) : r;
}

int store_db_open(const char *dir, bool full_sync, struct store_db **ret, struct error *err)
{
    _cleanup_free_ char *path = mem_printf("%s/%s", dir, FILE_NAME);
    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        int e = errno;
        return error_set(err, -e, dir, "cannot make the state folder: %s", error_name(e));
    }
    int fd = -1;
    int r = lock_folder(dir, &fd, err);
    if (r < 0) {
        return r;
    }
    struct store_db *db = mem_new(struct store_db);
    db->lock_fd = fd;
    r = touch_file(path, err);
    if (r >= 0) {
        r = open_file(db, path, full_sync, err);
    }
    if (r < 0) {
        if (err && !err->where[0]) {
            error_prefix(err, path);
        }
        store_db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

struct store_db *store_db_close(struct store_db *db)
{
    if (!db) {
        return NULL;
    }
    for (int i = 0; i < ST_N; i++) {
        sqlite3_finalize(db->st[i]);
    }
    for (int i = 0; i < OTHERS_MAX; i++) {
        sqlite3_finalize(db->others[i].st);
    }
    int code = sqlite3_close(db->h); /* the last connection brings the WAL into the file */
    assert(code == SQLITE_OK);
    (void)code;
    close(db->lock_fd);
    free(db);
    return NULL;
}

/* ---- transactions ---- */

int store_db_begin(struct store_db *db, bool writes, struct error *err)
{
    db->revised = false;
    return run(db, writes ? ST_BEGIN_WRITE : ST_BEGIN_READ, "cannot begin", err);
}

int store_db_commit(struct store_db *db, struct error *err)
{
    if (db->revised) {
        sqlite3_bind_int64(db->st[ST_REVISION], 1, db->revision);
        int r = run(db, ST_REVISION, "cannot write", err);
        if (r < 0) {
            return r;
        }
    }
    return run(db, ST_COMMIT, "cannot commit", err);
}

bool store_db_in_transaction(const struct store_db *db)
{
    return sqlite3_get_autocommit(db->h) == 0;
}

void store_db_rollback(struct store_db *db)
{
    if (store_db_in_transaction(db)) {
        (void)run(db, ST_ROLLBACK, "", NULL);
    }
}

int store_db_mark(struct store_db *db, struct error *err)
{
    return run(db, ST_MARK, "cannot begin", err);
}

int store_db_unmark(struct store_db *db, bool keep, struct error *err)
{
    int r = keep ? 0 : run(db, ST_UNDO, "cannot undo", err);
    return r < 0 ? r : run(db, ST_RELEASE, "cannot write", err);
}

/* ---- tables of others ---- */

sqlite3_stmt *store_db_statement(struct store_db *db, const char *literal, struct error *err)
{
    unsigned i = 0;
    while (i < OTHERS_MAX && db->others[i].text && db->others[i].text != literal) {
        i++;
    }
    assert(i < OTHERS_MAX);
    if (!db->others[i].text) {
        if (sqlite3_prepare_v3(db->h, literal, -1, SQLITE_PREPARE_PERSISTENT, &db->others[i].st,
                               NULL) != SQLITE_OK) {
            store_db_error(db->h, "cannot use the state file", err);
            return NULL;
        }
        db->others[i].text = literal;
    }
    sqlite3_reset(db->others[i].st);
    sqlite3_clear_bindings(db->others[i].st);
    return db->others[i].st;
}

int store_db_run(struct store_db *db, sqlite3_stmt *st, struct error *err)
{
    int code;
    do {
        code = sqlite3_step(st);
    } while (code == SQLITE_ROW);
    int r =
        code == SQLITE_DONE ? sqlite3_changes(db->h) : store_db_error(db->h, "cannot write", err);
    sqlite3_reset(st);
    return r;
}

/* ---- documents ---- */

/* The version that is there, 0 for none. */
static int find_version(struct store_db *db, const char *kind, const char *id, int64_t *ret,
                        struct error *err)
{
    bind_key(db, ST_VERSION, kind, id);
    int code = sqlite3_step(db->st[ST_VERSION]);
    int r = 0;
    if (code == SQLITE_ROW) {
        *ret = sqlite3_column_int64(db->st[ST_VERSION], 0);
    } else if (code == SQLITE_DONE) {
        *ret = 0;
    } else {
        r = store_db_error(db->h, "cannot read", err);
    }
    reset(db, ST_VERSION);
    return r;
}

/* where of these errors is "kind/id". */
static int fail_on(struct error *err, int r, const char *kind, const char *id, const char *text)
{
    char where[sizeof(err->where)];
    snprintf(where, sizeof(where), "%s/%s", kind, id);
    return error_set(err, r, where, "%s", text);
}

int store_db_put(struct store_db *db, const char *kind, const char *id, int64_t expected,
                 struct bytes body, int64_t now_ns, int64_t *ret_version, struct error *err)
{
    int64_t version = 0;
    int r = find_version(db, kind, id, &version, err);
    if (r < 0) {
        return r;
    }
    if (expected == STORE_CREATE && version != 0) {
        return fail_on(err, -EEXIST, kind, id, "it exists already");
    }
    if (expected != STORE_ANY && expected != version) {
        return fail_on(err, -ESTALE, kind, id, "somebody else has changed it; read it again");
    }
    db->revision++;
    db->revised = true;
    bind_key(db, ST_PUT, kind, id);
    sqlite3_bind_int64(db->st[ST_PUT], 3, db->revision);
    sqlite3_bind_int64(db->st[ST_PUT], 4, now_ns);
    sqlite3_bind_blob64(db->st[ST_PUT], 5, body.len > 0 ? (const void *)body.data : "", body.len,
                        SQLITE_STATIC);
    r = run(db, ST_PUT, "cannot write", err);
    if (r >= 0) {
        *ret_version = db->revision;
    }
    return r;
}

int store_db_delete(struct store_db *db, const char *kind, const char *id, int64_t expected,
                    struct error *err)
{
    int64_t version = 0;
    int r = find_version(db, kind, id, &version, err);
    if (r < 0) {
        return r;
    }
    if (version == 0) {
        return fail_on(err, -ENOENT, kind, id, "there is no such document");
    }
    if (expected != STORE_ANY && expected != version) {
        return fail_on(err, -ESTALE, kind, id, "somebody else has changed it; read it again");
    }
    bind_key(db, ST_DELETE, kind, id);
    return run(db, ST_DELETE, "cannot delete", err);
}

static struct store_doc row_doc(sqlite3_stmt *st)
{
    struct store_doc doc = {
        .kind = (const char *)sqlite3_column_text(st, 0),
        .id = (const char *)sqlite3_column_text(st, 1),
        .version = sqlite3_column_int64(st, 2),
        .updated_ns = sqlite3_column_int64(st, 3),
    };
    const void *body =
        sqlite3_column_blob(st, 4); /* before its length, as SQLite's documentation asks */
    doc.body = BYTES(body, (size_t)sqlite3_column_bytes(st, 4));
    return doc;
}

static int each_row(struct store_db *db, enum statement which, store_db_each_fn each, void *user,
                    struct error *err)
{
    int r = 0;
    int code = SQLITE_DONE;
    while (r >= 0 && (code = sqlite3_step(db->st[which])) == SQLITE_ROW) {
        struct store_doc doc = row_doc(db->st[which]);
        r = each(user, &doc);
    }
    if (r >= 0 && code != SQLITE_DONE) {
        r = store_db_error(db->h, "cannot read", err);
    }
    reset(db, which);
    return r;
}

int store_db_get(struct store_db *db, const char *kind, const char *id, store_db_each_fn each,
                 void *user, struct error *err)
{
    bind_key(db, ST_GET, kind, id);
    return each_row(db, ST_GET, each, user, err);
}

int store_db_list(struct store_db *db, const char *kind, const char *after, unsigned limit,
                  store_db_each_fn each, void *user, struct error *err)
{
    bind_key(db, ST_LIST, kind, after);
    sqlite3_bind_int64(db->st[ST_LIST], 3, limit);
    return each_row(db, ST_LIST, each, user, err);
}
