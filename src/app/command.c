/* SPDX-License-Identifier: Apache-2.0 */
#include "app/command.h"

#include "app/complete.h"
#include "base/mem.h"

#include <mast/version.h>

#include <assert.h>
#include <string.h>

#define HELP_COLUMNS 100

const struct command *command_find(const char *name)
{
    for (const struct command *const *c = commands; *c; c++) {
        if (strcmp((*c)->name, name) == 0) {
            return *c;
        }
    }
    return NULL;
}

unsigned command_words(const struct command *c, unsigned *ret_required)
{
    unsigned n = 0;
    unsigned required = 0;
    for (const char *p = c->args ? c->args : ""; *p; p += strspn(p, " ")) {
        n++;
        required += *p != '[';
        p += strcspn(p, " ");
    }
    if (ret_required) {
        *ret_required = required;
    }
    return n;
}

/* ---- help ---- */

void command_print_call(FILE *to, const struct command *parent, const struct command *c)
{
    fprintf(to, "mast %s%s%s%s%s", parent ? parent->name : "", parent ? " " : "", c->name,
            c->args ? " " : "", c->args ? c->args : "");
}

static void print_wrapped(FILE *to, unsigned indent, unsigned column, const char *text)
{
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column > indent && column + word + 1 > HELP_COLUMNS) {
            fprintf(to, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', to);
            column++;
        }
        fwrite(text, 1, word, to);
        column += (unsigned)word;
        text += word;
        if (strncmp(text, "\n\n", 2) == 0) {
            fprintf(to, "\n\n%*s", (int)indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', to);
}

#define HELP_INDENT 22

/* "  --url URL           The server ..." */
static void print_entry(FILE *to, const char *head, const char *text)
{
    int n = fprintf(to, "  %-*s", HELP_INDENT - 4, head);
    if (n > HELP_INDENT - 2) {
        fputc('\n', to);
        n = 0;
    }
    fprintf(to, "%*s", HELP_INDENT - n, "");
    print_wrapped(to, HELP_INDENT, HELP_INDENT, text);
}

static void print_options(FILE *to, const struct command *c)
{
    for (const struct command_option *o = c->options; o && o->name; o++) {
        if (o->help) {
            _cleanup_free_ char *head =
                mem_printf("%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
            print_entry(to, head, o->help);
        }
    }
}

/* One line: the call with its own options in brackets. */
static void print_usage(FILE *to, const struct command *parent, const struct command *c)
{
    fputs("usage: ", to);
    command_print_call(to, parent, c);
    for (const struct command *s = c->subs; s && s->name; s++) {
        fprintf(to, "%s%s", s == c->subs ? " " : "|", s->name);
    }
    for (unsigned i = 0; i < 2; i++) {
        const struct command_option *o = i == 0 ? c->options : parent ? parent->options : NULL;
        for (; o && o->name; o++) {
            if (o->help) {
                fprintf(to, " [%s%s%s]", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
            }
        }
    }
    fputc('\n', to);
}

void command_print_help(FILE *to, const struct command *parent, const struct command *c)
{
    print_usage(to, parent, c);
    fputc('\n', to);
    _cleanup_free_ char *summary = mem_printf("%s.", c->summary);
    print_wrapped(to, 0, 0, summary);
    if (c->about) {
        fputc('\n', to);
        print_wrapped(to, 0, 0, c->about);
    }
    for (const struct command *s = c->subs; s && s->name; s++) {
        fputs(s == c->subs ? "\nCommands\n" : "", to);
        _cleanup_free_ char *head =
            mem_printf("%s%s%s", s->name, s->args ? " " : "", s->args ? s->args : "");
        print_entry(to, head, s->summary);
    }
    fputs("\nOptions\n", to);
    for (const struct command *s = c->subs; s && s->name; s++) {
        print_options(to, s);
    }
    print_options(to, c);
    if (parent) {
        print_options(to, parent);
    }
    print_entry(to, "--help", "Prints this");
    for (const char *const *e = c->examples; e && e[0]; e += 2) {
        fprintf(to, "%s  %s\n      %s\n", e == c->examples ? "\nExamples\n" : "", e[0], e[1]);
    }
}

void command_print_list(FILE *to)
{
    fprintf(to, "mast %s: live media in, live media out\n\n", mast_version());
    for (const struct command *const *c = commands; *c; c++) {
        print_entry(to, (*c)->name, (*c)->summary);
    }
    fputs("\n`mast help COMMAND` explains a command. The configuration file is --config FILE,\n"
          "$MAST_CONFIG, ./mast.yml or /etc/mast/mast.yml, the first that is there.\n",
          to);
}

/* ---- calls ---- */

int args_refuse(const struct args *a, const char *why)
{
    fprintf(stderr, "mast %s%s%s: %s\n", a->parent ? a->parent->name : "", a->parent ? " " : "",
            a->command->name, why);
    print_usage(stderr, a->parent, a->command);
    return 2;
}

static const struct command_option *find_option(const struct args *a, const char *name, size_t n)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct command *c = i == 0 ? a->command : a->parent;
        for (const struct command_option *o = c ? c->options : NULL; o && o->name; o++) {
            if (strncmp(o->name, name, n) == 0 && o->name[n] == '\0') {
                return o;
            }
        }
    }
    return NULL;
}

const char *args_option(const struct args *a, const char *name)
{
    const struct command_option *o = find_option(a, name, strlen(name));
    assert(o);
    for (unsigned i = 0; i < a->n_given; i++) {
        if (a->given[i].option == o) {
            return a->given[i].value;
        }
    }
    return NULL;
}

bool args_flag(const struct args *a, const char *name)
{
    return args_option(a, name) != NULL;
}

const char *args_value(const struct args *a, unsigned i)
{
    return i < a->n_values ? a->values[i] : NULL;
}

/* argv[*at] is an option; moves *at over its value. Returns the exit code of a refusal, or 0. */
static int take_option(struct args *a, int argc, char **argv, int *at)
{
    const char *text = argv[*at];
    size_t n = strcspn(text, "=");
    const struct command_option *o = find_option(a, text, n);
    const char *value = text[n] ? text + n + 1 : NULL;
    _cleanup_free_ char *why = NULL;
    if (!o) {
        why = mem_printf("there is no option '%.*s'", (int)n, text);
    } else if (args_flag(a, o->name) || a->n_given == ARGS_MAX) {
        why = mem_printf("%s is given twice", o->name);
    } else if (!o->arg && value) {
        why = mem_printf("%s takes no value", o->name);
    } else if (o->arg && !value && *at + 1 == argc) {
        why = mem_printf("%s needs a value: %s", o->name, o->arg);
    }
    if (why) {
        return args_refuse(a, why);
    }
    assert(o); /* else there was a why */
    if (o->arg && !value) {
        value = argv[++*at];
    }
    a->given[a->n_given].option = o;
    a->given[a->n_given++].value = value ? value : "";
    return 0;
}

static int take_value(struct args *a, const char *text)
{
    if (a->n_values == MIN(command_words(a->command, NULL), (unsigned)ARGS_MAX)) {
        _cleanup_free_ char *why = mem_printf("'%s' is too much", text);
        return args_refuse(a, why);
    }
    a->values[a->n_values++] = text;
    return 0;
}

static int run(struct args *a, int argc, char **argv)
{
    unsigned required = 0;
    bool options_end = false;
    int r = 0;
    for (int i = 0; i < argc && r == 0; i++) {
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            command_print_help(stdout, a->parent, a->command);
            return 0;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1]) {
            r = take_option(a, argc, argv, &i);
        } else {
            r = take_value(a, argv[i]);
        }
    }
    (void)command_words(a->command, &required);
    if (r == 0 && a->n_values < required) {
        r = args_refuse(a, "something is missing");
    }
    return r != 0 ? r : a->command->run(a);
}

/*
 * A subcommand's name may stand behind options of its command (`mast stream --json ls`), as it always could: the first word
 * that is neither an option nor the value of one. It is taken out of argv.
 */
static const struct command *take_sub(const struct command *c, int *argc, char **argv)
{
    const struct args a = {.command = c};
    for (int i = 0; i < *argc && strcmp(argv[i], "--") != 0; i++) {
        if (argv[i][0] == '-') {
            const struct command_option *o = find_option(&a, argv[i], strlen(argv[i]));
            i += o && o->arg;
            continue;
        }
        for (const struct command *s = c->subs; s->name; s++) {
            if (strcmp(s->name, argv[i]) == 0) {
                memmove(&argv[i], &argv[i + 1], sizeof(*argv) * (size_t)(*argc - i - 1));
                *argc -= 1;
                return s;
            }
        }
        return NULL;
    }
    return NULL;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

int command_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        command_print_list(argc > 1 ? stdout : stderr);
        return argc > 1 ? 0 : 2;
    }
    if (strcmp(name, "--complete") == 0) {
        complete(argc - 2, argv + 2);
        return 0;
    }
    struct args a = {.command = command_find(strcmp(name, "--version") == 0 ? "version" : name)};
    if (!a.command) {
        fprintf(stderr, "mast: there is no command '%s'; `mast help` lists them\n", name);
        return 2;
    }
    argc -= 2;
    argv += 2;
    if (a.command->subs) {
        const struct command *sub = take_sub(a.command, &argc, argv);
        if (!sub && asks_for_help(argc, argv)) {
            command_print_help(stdout, NULL, a.command);
            return 0;
        }
        if (!sub) {
            return args_refuse(&a, "say which");
        }
        a.parent = a.command;
        a.command = sub;
    }
    return run(&a, argc, argv);
}
