/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Documents kept on disk: bytes (JSON) by kind and id, with a version, in one SQLite file of a state folder that one server
 * uses at a time. All work is done by one writer thread; a loop submits an operation and gets its callback on the same loop
 * when the operation is committed. What waits in the queue is committed as one group.
 *
 * A document's version is the number of its last write, counted over the whole store: it only rises, also when a document is
 * deleted and made again. Writers say which version they have seen; a write operation of several documents is atomic.
 *
 * Survives kill -9 at any point: what a callback reported is there, no operation is there in part. A power cut may
 * take the last second with it unless full_sync is set; it never damages the file.
 *
 * Does not: know what is in a body, cache, notify of changes, or seal secrets (store/seal.h).
 */
#include "base/bytes.h"
#include "base/error.h"
#include "io/loop.h"

#include <stdint.h>

struct store;
struct store_op; /* one operation: a read, or writes that happen together */

#define STORE_KIND_MAX       64                /* bytes */
#define STORE_ID_MAX         256               /* bytes */
#define STORE_BODY_MAX       (4 * 1024 * 1024) /* bytes of one document */
#define STORE_WRITES_MAX     256               /* documents in one operation */
#define STORE_LIST_MAX       500               /* documents in one page */
#define STORE_LIST_BYTES_MAX (16 * 1024 * 1024)

/* What a writer expects to find, besides a version it has seen. */
#define STORE_CREATE 0    /* nothing */
#define STORE_ANY    (-1) /* whatever there is */

struct store_config {
    const char *dir; /* made with mode 0700 when missing; its parent must exist */
    /* each commit waits for the disk: nothing is lost in a power cut, ten times slower */
    bool full_sync;
    unsigned max_queued;     /* operations; 0 = 10000 */
    size_t max_queued_bytes; /* of bodies; 0 = 64 MiB */
};

/*
 * Blocks; for the start of the program. -EBUSY: another process uses the folder; -EUCLEAN: the file is damaged; -EROFS,
 * -EACCES: cannot write there; -EPROTONOSUPPORT: written by a newer version; err says what to do.
 */
int store_open(const struct store_config *config, struct store **ret, struct error *err);
/*
 * Finishes what is queued, joins the thread, frees. Callbacks may still come afterwards, as messages on their loops. No other
 * thread may submit meanwhile. Returns NULL.
 */
struct store *store_close(struct store *s);

struct store_doc {
    const char *kind;
    const char *id;
    int64_t version;    /* 0 for a deleted one */
    int64_t updated_ns; /* wall clock */
    struct bytes body;  /* empty in the result of a write */
};

/* Valid during the callback. */
struct store_result {
    struct error err; /* when r < 0 */
    /* read: what was found; write: each document, in the order given, with its new version */
    const struct store_doc *docs;
    unsigned n;
    bool more; /* list: there is another page after the last id */
};

/*
 * r: 0, or -EEXIST (STORE_CREATE found one), -ESTALE (another version is there, or none), -ENOENT (get, delete),
 * -ENOSPC, -EUCLEAN (damaged file), -EIO, ...: then nothing of the operation happened.
 */
typedef void (*store_fn)(void *user, int r, const struct store_result *result);

struct store_op *store_op_get(const char *kind, const char *id);
/* Documents of a kind in order of their ids' bytes, those after `after` ("" = from the first), at most limit. */
struct store_op *store_op_list(const char *kind, const char *after, unsigned limit);
/* An empty write; add to it, then submit it. */
struct store_op *store_op_write(void);
/* Copies all it is given. expected: a version, STORE_CREATE or STORE_ANY. */
void store_op_put(struct store_op *op, const char *kind, const char *id, int64_t expected,
                  struct bytes body);
/* expected: a version or STORE_ANY; deleting what is not there is -ENOENT. */
void store_op_delete(struct store_op *op, const char *kind, const char *id, int64_t expected);
/*
 * What runs on the writer thread, in its place among the others: r < 0 undoes what it did, alone. run must not keep db. drop (may
 * be NULL) frees arg on the loop, after the callback or in its place.
 */
struct store_db;
struct store_op *store_op_task(int (*run)(struct store_db *db, void *arg, struct error *err),
                               void *arg, void (*drop)(void *arg));
/* For an operation that was never submitted. */
struct store_op *store_op_free(struct store_op *op);

/*
 * Hands op over in any case. fn (may be NULL) comes once on l, which is the calling loop. Refused without a callback:
 * -EINVAL (bad kind or id), -EFBIG (body or number of writes), -ENOBUFS (queue full), -ESHUTDOWN (closing).
 */
int store_submit(struct store *s, struct loop *l, struct store_op *op, store_fn fn, void *user);
/* The submitter is going away: no callback for op, which was accepted and has not been called back yet. On its loop. */
void store_op_forget(struct store_op *op);

/* doc is valid during the call. */
typedef void (*store_each_fn)(void *user, const struct store_doc *doc);
/*
 * For the start of the program, on l's own thread: all documents of a kind in order of their ids, page by page; runs l until
 * the last was told. Negative: reading failed, err says how; some may have been told before.
 */
int store_read_all(struct store *s, struct loop *l, const char *kind, store_each_fn each,
                   void *user, struct error *err);

/* Gauges; any thread. */
unsigned store_queued(struct store *s);
uint64_t store_commits(struct store *s); /* transactions that wrote */
