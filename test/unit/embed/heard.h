/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What an observer of the C API heard, in one text: "resource:state ", "event:type:resource ", "error:phase:text ". Any thread. */
#include <mast/core.h>
#include <pthread.h>

struct heard {
    pthread_mutex_t lock;
    char text[16384];
    struct {
        char key[120]; /* "resource name label_value" */
        double value;
    } metrics[64];
    unsigned n_metrics;
};

void heard_init(struct heard *h);
void heard_done(struct heard *h);
/* user of its functions is h. */
struct mast_observer heard_observer(struct heard *h);
/* Two words more, of other callbacks. */
void hear(struct heard *h, const char *a, const char *b);
bool has_heard(struct heard *h, const char *what);
void heard_forget(struct heard *h);
/* The newest value of "resource name label_value"; -1: it was never told. */
double heard_metric(struct heard *h, const char *key);
