/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Watches files for change: edited in place, replaced by a rename, or by another target of a symbolic link, as editors,
 * certificate renewers and container platforms do it. It watches their folders and, some time after something stirred there,
 * compares what stat() says of the files; so a burst of events is one call, and other files of the folder are nothing. A
 * file that is not there yet may be watched. One loop.
 */
#include "io/loop.h"

struct watch;

/* fn comes on the loop after at least one of the files changed. settle_ms: how long after the first event; 0 = 300. */
struct watch *watch_new(struct loop *l, unsigned settle_ms, void (*fn)(void *user), void *user);
/* The files from now on; copied. A folder that cannot be watched is logged, and left out. */
void watch_set(struct watch *w, const char *const *files, unsigned n);
struct watch *watch_free(struct watch *w); /* NULL is fine; returns NULL */
