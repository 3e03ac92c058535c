/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Intrusive doubly linked list with a sentinel. The node lives in the owner's struct; the list owns nothing. A node that
 * is in no list is linked to itself (list_init), so list_remove() may be called twice. One thread at a time.
 */
#include "base/mem.h"

#include <stdbool.h>

struct list {
    struct list *prev;
    struct list *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l;
    l->next = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *n)
{
    n->prev = at;
    n->next = at->next;
    at->next->prev = n;
    at->next = n;
}

static inline void list_append(struct list *head, struct list *n)
{
    list_insert_after(head->prev, n);
}

static inline void list_prepend(struct list *head, struct list *n)
{
    list_insert_after(head, n);
}

static inline void list_remove(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

/* All entries of from go to the end of to. */
static inline void list_append_all(struct list *to, struct list *from)
{
    if (!list_empty(from)) {
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        list_init(from);
    }
}

#define LIST_ENTRY(ptr, type, member) CONTAINER_OF(ptr, type, member)

/* it is a struct list *; the SAFE form allows removing (and freeing) the current entry only. */
#define LIST_FOREACH(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
#define LIST_FOREACH_SAFE(it, head)                                                                \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)
