/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The running server: everything in its order of start, and taken down in the reverse one. Main thread, which runs the
 * control loop.
 */
#include "app/config.h"

struct serve;

/* Starts all that config asks for. NULL with err when something cannot be had; nothing is left behind then. */
/* config and file (where it was read, NULL = nowhere) live as long as the server; a reload reads file again. */
struct serve *serve_start(const struct config *config, const char *file, bool demo,
                          struct error *err);
/* Runs until SIGINT, SIGTERM or serve_stop(). */
void serve_run(struct serve *s);
void serve_stop(struct serve *s);
struct serve *serve_free(struct serve *s);
/* What runs where, for people. */
void serve_print_addresses(const struct serve *s);
