/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The engine's state changes as events of the feed: stream.published, .ready, .lost, .ended, reader.joined, .left. */
#include "api/events.h"
#include "engine/stream.h"

/* Control loop. feed outlives the engine. */
void stream_events_start(struct engine *e, struct events *feed);

/* The stream that a resource is, "live/cam-1" of "streams/live/cam-1"; NULL when it is something else. */
const char *stream_event_path(const char *resource);
/*
 * Whether one of the patterns of types is that of e, and, when there are patterns of paths, one of them that of its stream.
 * A star stands for any run of characters; derived streams match only patterns that have their '~'.
 */
bool stream_event_matches(const struct event *e, char *const *events, size_t n_events,
                          char *const *paths, size_t n_paths);
