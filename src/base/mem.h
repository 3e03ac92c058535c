/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Memory and cleanup helpers, the idioms every other file uses.
 *
 * mem_x() aborts with a report when memory runs out: for sizes that our own code chose. mem_try_x() returns
 * NULL instead: for every size that a remote party chose, after its bound was checked. Any thread.
 */
#include <stddef.h>
#include <stdlib.h>
#include <sys/param.h> /* libuv's header brings its MIN and MAX in; ours evaluate once */
#undef MIN
#undef MAX

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
void *mem_realloc(void *p, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
void *mem_memdup(const void *p, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void *mem_try_alloc(size_t size);
void *mem_try_zalloc(size_t size);
void *mem_try_realloc(void *p, size_t size);

/* Tests only: the n-th mem_try_x() of this thread from now on fails (0 = the next), and all after it; -1 turns it off. */
void mem_fail_after(long n);

#define mem_new(type)          ((type *)mem_zalloc(sizeof(type)))
#define mem_new_array(type, n) ((type *)mem_zalloc(sizeof(type) * (size_t)(n)))

#define _cleanup_(fn)  __attribute__((cleanup(fn)))
#define _cleanup_free_ _cleanup_(mem_freep)
static inline void mem_freep(void *pp)
{
    free(*(void **)pp);
}

/* Defines x_freep(), the cleanup attribute's form of a destructor that takes a pointer and copes with NULL. */
#define DEFINE_FREEP(type, destructor)                                                             \
    static inline void destructor##p(type *pp)                                                     \
    {                                                                                              \
        if (*pp) {                                                                                 \
            destructor(*pp);                                                                       \
        }                                                                                          \
    }

/* Hands an owned pointer over and leaves NULL behind. */
#define TAKE_PTR(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) *_pp = &(p);                                                                 \
        __typeof__(p) _taken = *_pp;                                                               \
        *_pp = NULL;                                                                               \
        _taken;                                                                                    \
    })

#define CONTAINER_OF(ptr, type, member)                                                            \
    ({                                                                                             \
        const __typeof__(((type *)0)->member) *_m = (ptr);                                         \
        (type *)((char *)_m - offsetof(type, member));                                             \
    })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) _min_a = (a);                                                                \
        __typeof__(b) _min_b = (b);                                                                \
        _min_a < _min_b ? _min_a : _min_b;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) _max_a = (a);                                                                \
        __typeof__(b) _max_b = (b);                                                                \
        _max_a > _max_b ? _max_a : _max_b;                                                         \
    })
