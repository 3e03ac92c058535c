/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The queue that needs nothing installed: in the server's own store. Workers of other processes reach it through the API of the
 * server that has the store open.
 */
#include "service/job/queue.h"
#include "store/store.h"

struct queue_sqlite_config {
    struct loop *control;
    struct store *store; /* borrowed; outlives the queue */
    const char *name;    /* several may share a store; NULL = "default" */
    int64_t max;         /* jobs that wait; 0 = 10 million */
    int64_t keep;        /* ended ones, but not the dead; 0 = 1000 */
    int64_t keep_ns;     /* and for how long; 0 = 1 day */
};
struct queue *queue_sqlite_new(const struct queue_sqlite_config *config);
