/* SPDX-License-Identifier: Apache-2.0 */
/* The program `mast`: finds the command and runs it. */
#include "app/command.h"
#include "base/mem.h"

#include <mast/version.h>

#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
    &command_serve,  &command_check, &command_stream, &command_key,
    &command_reload, &command_event, &command_doctor, &command_version,
};

static void print_help(FILE *to)
{
    fprintf(to, "mast %s: live media in, live media out\n\n", mast_version());
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        _cleanup_free_ char *call = mem_printf("mast %s %s", commands[i]->name, commands[i]->usage);
        fprintf(to, "  %-62s %s\n", call, commands[i]->summary);
    }
    fputs(
        "\nThe configuration file is --config FILE, $MAST_CONFIG, ./mast.yml or /etc/mast/mast.yml, the first that is there.\n",
        to);
}

int command_usage(const struct command *c)
{
    fprintf(stderr, "usage: mast %s %s\n", c->name, c->usage);
    return 2;
}

static void take_out(int *argc, char **argv, int at, int n)
{
    memmove(&argv[at], &argv[at + n], sizeof(*argv) * (size_t)(*argc - at - n + 1));
    *argc -= n;
}

bool command_flag(int *argc, char **argv, const char *name)
{
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            take_out(argc, argv, i, 1);
            return true;
        }
    }
    return false;
}

const char *command_option(int *argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], name) == 0 && i + 1 < *argc) {
            const char *value = argv[i + 1];
            take_out(argc, argv, i, 2);
            return value;
        }
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=') {
            const char *value = argv[i] + n + 1;
            take_out(argc, argv, i, 1);
            return value;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(argc > 1 ? stdout : stderr);
        return argc > 1 ? 0 : 2;
    }
    if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i]->run(argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "mast: there is no command '%s'; `mast help` lists them\n", name);
    return 2;
}
