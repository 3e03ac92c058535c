/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The commands of `mast`: each is one file with one entry here. A command gets its own arguments (argv[0] is its name),
 * prints to stdout, complains on stderr, and returns the exit code: 0 done, 1 failed, 2 wrong usage.
 */
#include <stdbool.h>

struct command {
    const char *name;
    const char *usage; /* after "mast NAME" */
    const char *summary;
    int (*run)(int argc, char **argv);
};

extern const struct command command_serve;
extern const struct command command_check;
extern const struct command command_version;
extern const struct command command_stream;
extern const struct command command_reload;
extern const struct command command_event;
extern const struct command command_key;
extern const struct command command_doctor;

/* The environment, for config_load(). */
extern char **environ;

/* Prints "usage: mast NAME USAGE" and returns 2. */
int command_usage(const struct command *c);
/* Takes `--name` out of argv; returns whether it was there. */
bool command_flag(int *argc, char **argv, const char *name);
/* Takes `--name VALUE` or `--name=VALUE` out of argv; NULL when absent. */
const char *command_option(int *argc, char **argv, const char *name);
