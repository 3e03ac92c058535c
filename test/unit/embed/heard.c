/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "heard.h"

#include "base/mem.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void heard_init(struct heard *h)
{
    memset(h, 0, sizeof(*h));
    pthread_mutex_init(&h->lock, NULL);
}

void heard_done(struct heard *h)
{
    pthread_mutex_destroy(&h->lock);
}

void hear(struct heard *h, const char *a, const char *b)
{
    pthread_mutex_lock(&h->lock);
    size_t n = strlen(h->text);
    snprintf(h->text + n, sizeof(h->text) - n, "%s:%s ", a, b);
    pthread_mutex_unlock(&h->lock);
}

bool has_heard(struct heard *h, const char *what)
{
    pthread_mutex_lock(&h->lock);
    bool found = strstr(h->text, what) != NULL;
    pthread_mutex_unlock(&h->lock);
    return found;
}

void heard_forget(struct heard *h)
{
    pthread_mutex_lock(&h->lock);
    h->text[0] = '\0';
    pthread_mutex_unlock(&h->lock);
}

double heard_metric(struct heard *h, const char *key)
{
    double value = -1;
    pthread_mutex_lock(&h->lock);
    for (unsigned i = 0; i < h->n_metrics; i++) {
        value = strcmp(h->metrics[i].key, key) == 0 ? h->metrics[i].value : value;
    }
    pthread_mutex_unlock(&h->lock);
    return value;
}

static void on_state(void *user, const char *resource, const char *state, const char *reason)
{
    assert_non_null(reason);
    hear(user, resource, state);
}

static void on_event(void *user, const char *type, const char *resource, const char *data)
{
    _cleanup_free_ char *what = mem_printf("event:%s", type);
    json_t *v = json_loads(data, 0, NULL);
    assert_true(json_is_object(v));
    json_decref(v);
    hear(user, what, resource);
}

static void on_error(void *user, const char *phase, const char *resource, const char *text)
{
    _cleanup_free_ char *what = mem_printf("error:%s", phase);
    assert_non_null(resource);
    hear(user, what, text);
}

static void on_metric(void *user, const struct mast_metric *m)
{
    struct heard *h = user;
    char key[120];
    unsigned i = 0;
    snprintf(key, sizeof(key), "%s %s %s", m->resource, m->name, m->label_value);
    assert_int_equal(m->label[0] == '\0', m->label_value[0] == '\0');
    pthread_mutex_lock(&h->lock);
    while (i < h->n_metrics && strcmp(h->metrics[i].key, key) != 0) {
        i++;
    }
    assert_true(i < 64);
    h->n_metrics = MAX(h->n_metrics, i + 1);
    snprintf(h->metrics[i].key, sizeof(key), "%s", key);
    h->metrics[i].value = m->value;
    pthread_mutex_unlock(&h->lock);
}

struct mast_observer heard_observer(struct heard *h)
{
    return (struct mast_observer){.user = h,
                                  .on_state_change = on_state,
                                  .on_event = on_event,
                                  .on_error = on_error,
                                  .on_metric = on_metric};
}
