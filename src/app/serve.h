/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The running server: everything in its order of start, and taken down in the reverse one. Main thread, which runs the
 * control loop.
 */
#include "app/config.h"

struct serve;
struct upgrade;

/*
 * Starts all that config asks for. NULL with err when something cannot be had; nothing is left behind then. config, file
 * (where it was read, NULL = nowhere; a reload reads it again) and upgrade live as long as the server.
 */
struct serve *serve_start(const struct config *config, const char *file, struct upgrade *upgrade,
                          bool demo, struct error *err);
/* Runs until SIGINT, SIGTERM or serve_stop(). */
void serve_run(struct serve *s);
void serve_stop(struct serve *s);
/* It has stopped because another program is to take over (SIGUSR2, upgrade.h). */
bool serve_upgrades(const struct serve *s);
/* Duplicates of the listening sockets, from descriptor 300 on, the caller's to close. Returns how many. */
unsigned serve_keep_sockets(const struct serve *s, int *ret_fds, unsigned max);
struct serve *serve_free(struct serve *s);
/* What runs where, for people. */
void serve_print_addresses(const struct serve *s);
