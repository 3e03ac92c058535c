/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A real Janus for a test: its own folder, its own port, no media transports that need more than loopback. Debian's package;
 * a test that needs it and does not find it fails.
 */
#include "io/loop.h"

struct real_janus;

struct real_janus *real_janus_start(struct loop *l);
/* Speaks wss:// only, with this file (PEM: certificate and key). */
struct real_janus *real_janus_start_secure(struct loop *l, const char *certificate);
const char *real_janus_url(const struct real_janus *j);
/* SIGKILL, and waits for its end. */
void real_janus_kill(struct real_janus *j);
/* Again, on the same port. */
void real_janus_again(struct real_janus *j);
/* Ends it, removes its folder; fails the test when it ended by itself before (Janus crashes on some requests). */
struct real_janus *real_janus_stop(struct real_janus *j);
