/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The engine's state changes as events of the feed: stream.published, .ready, .lost, .ended, reader.joined, .left. */
#include "api/events.h"
#include "engine/stream.h"

/* Control loop. feed outlives the engine. */
void stream_events_start(struct engine *e, struct events *feed);
