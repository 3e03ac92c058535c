/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Hooks in service: hears every event and runs the programs that want it (io/proc.h), or keeps those running that last
 * (io/supervisor.h). What a program writes goes to the log, line by line and bounded. Children lead groups of their own, which
 * end with them; nothing is left behind by a stop, a reload or a timeout. Control loop.
 */
#include "api/events.h"
#include "service/hook/hook.h"

struct hook_service;

/* Both outlive it. */
struct hook_service *hook_service_new(struct loop *control, struct events *events);
/*
 * What mast.yml says now. A hook that is as before goes on; one that differs or went ends its programs, and its successor
 * begins when they are gone.
 */
void hook_service_configure(struct hook_service *s, const struct hook *items, size_t n);
/* Hears nothing more and ends all programs; done comes once, when the last is gone, perhaps before this returns. */
void hook_service_stop(struct hook_service *s, void (*done)(void *user), void *user);
/* Kills what still runs. While the events are still there. NULL is fine; returns NULL. */
struct hook_service *hook_service_free(struct hook_service *s);

/* A metrics source; user is the service. */
void hook_metrics(void *user, struct metrics_page *page);
