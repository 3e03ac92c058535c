/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A real redis-server for a test: its own folder, its own port, on loopback. Debian's package; a test that needs it and does
 * not find it fails. It keeps what it has in an append-only file, written before it answers.
 */
#include "io/loop.h"

struct real_redis;

/* certificate: a PEM file with key, for TLS only; NULL = plain. password: NULL = none. */
struct real_redis *real_redis_start(struct loop *l, const char *certificate, const char *password);
uint16_t real_redis_port(const struct real_redis *s);
/* "redis://127.0.0.1:port", what follows included. */
const char *real_redis_url(const struct real_redis *s);
/* redis-cli: words apart by blanks; the answer, which the caller frees, without its last line end. */
char *real_redis_ask(const struct real_redis *s, const char *words);
/* SIGKILL, and waits for its end. */
void real_redis_kill(struct real_redis *s);
/* Again, with what it had; waits until it answers. */
void real_redis_again(struct real_redis *s);
struct real_redis *real_redis_stop(struct real_redis *s);
