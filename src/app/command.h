/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The commands of `mast`. Each is one file (cmd_x.c) with one table: what may stand behind its name, its options, its
 * subcommands. A call is checked against the table before the command runs, and `--help`, the manual pages and the shell
 * completion are made from it: what the table does not name does not exist. A command gets its checked call, prints to
 * stdout, complains on stderr, and returns the exit code: 0 done, 1 failed, 2 wrong usage.
 *
 * A new command: its file, a line here and in main.c, its name in meson.build.
 */
#include <stdbool.h>
#include <stdio.h>

struct args;

/*
 * The word for a value says what shells offer for it: FILE a file, DIR a folder, PATH a stream of the running server,
 * COMMAND a command of ours, "a|b" one of these words; any other word nothing.
 */
struct command_option {
    const char *name; /* "--url"; NULL ends a table */
    const char *arg;  /* the word for its value: "URL"; NULL = a flag */
    const char
        *help; /* one sentence without the full stop; NULL = for our own scripts, shown nowhere */
};

struct command {
    const char *name;    /* NULL ends a table of subcommands */
    const char *args;    /* the words for what stands behind it: "PATH [SESSION]"; NULL = nothing */
    const char *summary; /* one sentence without the full stop */
    const char *about; /* more, for --help and the manual: paragraphs separated by \n\n; or NULL */
    const struct command_option *options; /* those of a command count for its subcommands too */
    const struct command *subs;           /* with them, the command itself is not run */
    const char *const *examples; /* a command line, what it is for, and so on; ended by NULL */
    int (*run)(const struct args *a);
};

/* Options that several commands have. */
#define COMMAND_JSON                                                                               \
    {                                                                                              \
        .name = "--json", .help = "Prints JSON, for programs"                                      \
    }
#define COMMAND_SERVER                                                                             \
    {.name = "--url",                                                                              \
     .arg = "URL",                                                                                 \
     .help = "The server, http://USER:PASSWORD@HOST:PORT; else $MAST_URL, else the one on "        \
             "this machine's port 8888"},                                                          \
    {                                                                                              \
        .name = "--ca", .arg = "FILE",                                                             \
        .help = "Trust only the certificates in this file (PEM); else $MAST_CA"                    \
    }

extern const struct command command_serve;
extern const struct command command_check;
extern const struct command command_version;
extern const struct command command_stream;
extern const struct command command_reload;
extern const struct command command_event;
extern const struct command command_key;
extern const struct command command_user;
extern const struct command command_webhook;
extern const struct command command_broadcast;
extern const struct command command_janus;
extern const struct command command_upgrade;
extern const struct command command_doctor;
extern const struct command command_help;

/* All of them in the order of the help; ended by NULL. */
extern const struct command *const commands[];

/* The environment, for config_load(). */
extern char **environ;

#define ARGS_MAX 16

/* A call that fits its command's table. Texts belong to argv. */
struct args {
    const struct command *command; /* the one to run: the subcommand where there is one */
    const struct command *parent;  /* whose subcommand it is; NULL = it is in the list itself */
    const char *values[ARGS_MAX];  /* what stands behind the name, as many as the table has words */
    unsigned n_values;
    struct {
        const struct command_option *option;
        const char *value; /* "" of a flag */
    } given[ARGS_MAX];
    unsigned n_given;
};

/* The i-th word behind the command's name; NULL when it was left out. */
const char *args_value(const struct args *a, unsigned i);
/* Whether `--name` was given. The table must have it. */
bool args_flag(const struct args *a, const char *name);
/* The value of `--name VALUE` or `--name=VALUE`; NULL when it was not given. The table must have it. */
const char *args_option(const struct args *a, const char *name);
/* For what a table cannot say: prints why and the usage on stderr, and returns 2. */
int args_refuse(const struct args *a, const char *why);

/* Runs what argv (of the whole program) asks for; the exit code. */
int command_main(int argc, char **argv);
/* NULL when there is none. */
const struct command *command_find(const char *name);
/* Words in `args`, and how many of them must be given (those in brackets need not). */
unsigned command_words(const struct command *c, unsigned *ret_required);
/* "mast stream kick PATH [SESSION]", without options. parent may be NULL. */
void command_print_call(FILE *to, const struct command *parent, const struct command *c);
void command_print_help(FILE *to, const struct command *parent, const struct command *c);
void command_print_list(FILE *to);
