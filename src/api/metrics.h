/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The /metrics page, Prometheus text format 0.0.4. Rooms add sources before the program serves; each writes its families
 * when the page is asked for, on the control loop. Names start with mast_, base units, _total on counters.
 */
#include "base/bytes.h"
#include "io/http.h"

struct metrics;

enum metric_type {
    METRIC_GAUGE,
    METRIC_COUNTER,
    METRIC_TYPE_N,
};

/* What a source writes to. A family is followed by its samples. */
struct metrics_page;
void metrics_family(struct metrics_page *page, const char *name, enum metric_type type,
                    const char *help);
/* labels: pairs of name and value ended by NULL, or NULL for none; values are escaped here. */
void metrics_value(struct metrics_page *page, const char *const labels[], double value);
/* A family of one unlabelled sample. */
void metrics_single(struct metrics_page *page, const char *name, enum metric_type type,
                    const char *help, double value);

/*
 * A source may need to gather from other loops: it calls metrics_source_done(page) exactly once when it has written, now
 * or later on the control loop. Sources run one after the other, in the order added.
 */
typedef void (*metrics_source_fn)(void *user, struct metrics_page *page);
void metrics_source_done(struct metrics_page *page);

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
void metrics_add(struct metrics *m, metrics_source_fn source, void *user);

/* GET /metrics; the route's user is the struct metrics. */
extern const struct http_route metrics_routes[];
extern const unsigned metrics_routes_n;
