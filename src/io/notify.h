/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Tells the service manager how we are: sd_notify(3) as lines in a datagram to $NOTIFY_SOCKET. Without that variable every
 * call does nothing. When the manager asks for a watchdog ($WATCHDOG_USEC), it is fed at half its time, and only while the
 * control loop and every media loop answer. Control loop.
 */
#include "io/loop.h"

struct notify;

/* Takes the variables out of the environment, so that children do not speak for us. Never NULL. */
struct notify *notify_new(struct loop *control);
/* READY=1; also after notify_reloading(). Feeds the watchdog from now on; loops (media, running) outlive n. */
void notify_ready(struct notify *n, struct loop *const *loops, unsigned n_loops);
void notify_reloading(struct notify *n);
void notify_stopping(struct notify *n);
/* While the loops still run. NULL is fine; returns NULL. */
struct notify *notify_free(struct notify *n);
