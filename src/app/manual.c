/* SPDX-License-Identifier: Apache-2.0 */
#include "app/manual.h"

#include "app/command.h"
#include "app/config.h"
#include "base/mem.h"

#include <mast/version.h>

#include <ctype.h>
#include <errno.h>
#include <string.h>

/*
 * Our text as roff: what would be a request or an escape is made harmless, `these` become bold, an empty line begins a
 * paragraph with the request `par` (.PP, or .IP below a tag).
 */
static void write_text(struct out *o, const char *text, const char *par)
{
    bool bold = false;
    bool line_start = true;
    for (; *text; text++) {
        if (strncmp(text, "\n\n", 2) == 0) {
            out_printf(o, "\n%s\n", par);
            text += strspn(text, "\n") - 1;
            line_start = true;
            continue;
        }
        if (line_start && (*text == '.' || *text == '\'')) {
            out_puts(o, "\\&");
        }
        line_start = *text == '\n';
        switch (*text) {
        case '`':
            bold = !bold;
            out_puts(o, bold ? "\\fB" : "\\fP");
            break;
        case '\\':
            out_puts(o, "\\e");
            break;
        case '-':
            out_puts(o, "\\-");
            break;
        case '~':
            out_puts(o, "\\(ti");
            break;
        case '^':
            out_puts(o, "\\(ha");
            break;
        case '\'':
            out_puts(o, "\\(aq");
            break;
        default:
            out_u8(o, (uint8_t)*text);
        }
    }
}

static void write_line(struct out *o, const char *text)
{
    write_text(o, text, ".PP");
    out_u8(o, '\n');
}

static void write_head(struct out *o, const char *page, char section)
{
    out_puts(o, ".\\\" Written by mast from its own tables; changes belong there.\n.TH ");
    for (const char *p = page; *p; p++) {
        out_u8(o, (uint8_t)toupper((unsigned char)*p));
    }
    out_printf(o, " %c \"\" \"mast %s\" \"Mast\"\n.SH NAME\n", section, mast_version());
}

/* The words for values: upper case becomes italic, brackets stay upright. "PATH [SESSION]" */
static void write_words(struct out *o, const char *words)
{
    bool italic = false;
    for (; *words; words++) {
        bool in_word = isalnum((unsigned char)*words) || *words == '_';
        if (in_word != italic) {
            out_puts(o, in_word ? "\\fI" : "\\fP");
            italic = in_word;
        }
        out_u8(o, (uint8_t)*words);
    }
    out_puts(o, italic ? "\\fP" : "");
}

static void write_option(struct out *o, const struct command_option *option)
{
    out_puts(o, "\\fB");
    write_text(o, option->name, "");
    out_puts(o, "\\fP");
    if (option->arg) {
        out_u8(o, ' ');
        write_words(o, option->arg);
    }
}

static void write_call(struct out *o, const struct command *parent, const struct command *c)
{
    out_printf(o, "\\fBmast %s%s%s\\fP", parent ? parent->name : "", parent ? " " : "", c->name);
    if (c->args) {
        out_u8(o, ' ');
        write_words(o, c->args);
    }
}

static void write_synopsis(struct out *o, const struct command *parent, const struct command *c)
{
    out_puts(o, ".HP\n");
    write_call(o, parent, c);
    for (unsigned i = 0; i < 2; i++) {
        const struct command_option *option = i == 0 ? c->options : parent ? parent->options : NULL;
        for (; option && option->name; option++) {
            if (option->help) {
                out_puts(o, "\n[");
                write_option(o, option);
                out_u8(o, ']');
            }
        }
    }
    out_u8(o, '\n');
}

static void write_options(struct out *o, const struct command *c)
{
    for (const struct command_option *option = c->options; option && option->name; option++) {
        if (option->help) {
            out_puts(o, ".TP\n");
            write_option(o, option);
            out_u8(o, '\n');
            write_text(o, option->help, ".IP");
            out_puts(o, ".\n");
        }
    }
}

static void write_subs(struct out *o, const struct command *c)
{
    for (const struct command *s = c->subs; s && s->name; s++) {
        out_puts(o, s == c->subs ? ".SH COMMANDS\n.TP\n" : ".TP\n");
        write_call(o, c, s);
        out_u8(o, '\n');
        write_text(o, s->summary, ".IP");
        out_puts(o, ".\n");
        if (s->about) {
            out_puts(o, ".IP\n");
            write_text(o, s->about, ".IP");
            out_u8(o, '\n');
        }
        if (s->options) {
            out_puts(o, ".RS\n");
            write_options(o, s);
            out_puts(o, ".RE\n");
        }
    }
}

static void write_examples(struct out *o, const struct command *c)
{
    for (const char *const *e = c->examples; e && e[0]; e += 2) {
        out_puts(o, e == c->examples ? ".SH EXAMPLES\n.TP\n\\fB" : ".TP\n\\fB");
        write_text(o, e[0], ".IP");
        out_puts(o, "\\fP\n");
        write_text(o, e[1], ".IP");
        out_puts(o, "\n");
    }
}

static const char exit_status[] = ".SH EXIT STATUS\n"
                                  ".TP\n0\nDone.\n"
                                  ".TP\n1\nIt failed; standard error says why.\n"
                                  ".TP\n2\nThe command was called wrongly.\n";

static void write_command(struct out *o, const struct command *c)
{
    _cleanup_free_ char *page = mem_printf("mast-%s", c->name);
    write_head(o, page, '1');
    out_printf(o, "mast\\-%s \\- ", c->name);
    _cleanup_free_ char *summary = mem_strdup(c->summary);
    summary[0] = (char)tolower((unsigned char)summary[0]);
    write_line(o, summary);
    out_puts(o, ".SH SYNOPSIS\n");
    if (!c->subs) {
        write_synopsis(o, NULL, c);
    }
    for (const struct command *s = c->subs; s && s->name; s++) {
        write_synopsis(o, c, s);
    }
    out_puts(o, ".SH DESCRIPTION\n");
    write_text(o, c->summary, ".PP");
    out_puts(o, ".\n");
    if (c->about) {
        out_puts(o, ".PP\n");
        write_line(o, c->about);
    }
    write_subs(o, c);
    out_puts(o, ".SH OPTIONS\n");
    write_options(o, c);
    out_puts(o, ".TP\n\\fB\\-\\-help\\fP\nPrints how the command is called.\n");
    write_examples(o, c);
    out_puts(o, exit_status);
    out_puts(o, ".SH SEE ALSO\n.BR mast (1),\n.BR mast.yml (5)\n");
}

static void write_main(struct out *o)
{
    write_head(o, "mast", '1');
    out_puts(o, "mast \\- live media server\n"
                ".SH SYNOPSIS\n.HP\n\\fBmast\\fP \\fICOMMAND\\fP [\\fIARGUMENT\\fP ...]\n"
                ".HP\n\\fBmast help\\fP [\\fICOMMAND\\fP]\n"
                ".SH DESCRIPTION\n");
    write_line(
        o,
        "Takes live media in once, holds it in memory, and gives it to every viewer from there. `mast serve` is the "
        "server; the other commands look at this machine, or talk to a running server by its API.");
    out_puts(o, ".SH COMMANDS\n");
    for (const struct command *const *c = commands; *c; c++) {
        out_puts(o, ".TP\n.BR mast\\-");
        out_printf(o, "%s (1)\n", (*c)->name);
        write_text(o, (*c)->summary, ".IP");
        out_puts(o, ".\n");
    }
    out_puts(o, exit_status);
    out_puts(o, ".SH ENVIRONMENT\n");
    for (const struct config_variable *v = config_variables; v->name; v++) {
        if (v->doc) {
            out_printf(o, ".TP\n.B %s\n", v->name);
            write_line(o, v->doc);
        }
    }
    out_puts(
        o,
        ".PP\nEvery key of\n.BR mast.yml (5)\ncan be given by the environment as well.\n"
        ".SH FILES\n"
        ".TP\n.I /etc/mast/mast.yml\nThe configuration, when no other is named.\n"
        ".TP\n.I /var/lib/mast\nThe state of a server that runs as a service or as root: keys, certificates made here.\n"
        ".SH SEE ALSO\n.BR mast\\-serve (1),\n.BR mast.yml (5)\n");
}

/* ---- mast.yml(5) ---- */

static void write_key_facts(struct out *o, const struct model_field *f, bool restart)
{
    _cleanup_(out_done) struct out about = {0};
    _cleanup_(out_done) struct out range = {0};
    model_about_type(f, &about);
    model_about_range(f, &range);
    if (range.len > 0) {
        out_printf(&about, ", %s", out_str(&range));
    }
    if (f->def && *f->def) {
        out_printf(&about, "; default `%s`", f->def);
    }
    if (f->example) {
        out_printf(&about, "; as in `%s`", f->example);
    }
    out_puts(&about, f->required ? "; required" : "");
    out_puts(&about, f->secret != MODEL_PUBLIC ? "; secret" : "");
    out_puts(&about, restart ? "; needs a restart" : "");
    out_puts(o, ".br\n(");
    write_text(o, out_str(&about), ".IP");
    out_puts(o, ")\n");
}

struct keys {
    struct out *o;
    bool top; /* only keys that are in no section, else only those that are in one */
};

static int write_key(const struct model_visit *v, void *user)
{
    const struct keys *k = user;
    struct out *o = k->o;
    const struct model_field *f = v->field;
    bool is_section = f->type == MODEL_T_STRUCT;
    bool is_top = v->depth == 0 && !is_section;
    if (is_top != k->top) {
        return 0;
    }
    if (v->depth == 0 && is_section) {
        out_printf(o, ".SS %s\n", v->path);
        write_line(o, f->doc ? f->doc : "");
        return 0;
    }
    out_puts(o, ".TP\n\\fB");
    write_text(o, v->path, ".IP");
    out_puts(o, "\\fP\n");
    write_text(o, f->doc ? f->doc : "", ".IP");
    out_puts(o, "\n");
    if (!is_section) {
        write_key_facts(o, f, v->restart);
    }
    return 0;
}

static void write_config(struct out *o)
{
    write_head(o, "mast.yml", '5');
    out_puts(o, "mast.yml \\- configuration of mast\n.SH DESCRIPTION\n");
    write_line(
        o,
        "One YAML file, or JSON when its name ends in .json. `mast serve` reads --config FILE, $MAST_CONFIG, ./mast.yml or "
        "/etc/mast/mast.yml, the first that is there; without any it serves this machine only. `mast check` tells what is "
        "wrong with a file; a key that does not exist is an error. `mast check --example` prints a file with every key.\n\n"
        "Every key that is not in a list can be given by the environment, which wins over the file: `http.tls.enabled` is "
        "MAST_HTTP_TLS_ENABLED. Lists are given with commas, lists of sections as JSON.\n\n"
        "A duration is 250ms, 10s, 1h30m, 180d or a number of seconds. A size is 16MiB, 1GB or a number of bytes.\n\n"
        "A running server reads the file again when it changes (`watch`), on SIGHUP and by `mast reload`. Keys marked with "
        "\"needs a restart\" take effect when it is started again, all others at once.");
    out_puts(o, ".SH KEYS\n");
    model_walk(&config_model, write_key, &(struct keys){.o = o, .top = true});
    model_walk(&config_model, write_key, &(struct keys){.o = o});
    out_puts(o, ".SH EXAMPLE\n.nf\n");
    write_line(o,
               "http:\n"
               "  address: 0.0.0.0\n"
               "rtmp:\n"
               "  address: 0.0.0.0\n"
               "access:\n"
               "  users:\n"
               "    - {name: studio, password: choose-a-long-one, publish: [live/*], api: true}\n"
               "    - {name: any, read: [\"*\"]}");
    out_puts(
        o,
        ".fi\n.SH SEE ALSO\n.BR mast\\-serve (1),\n.BR mast\\-check (1),\n.BR mast\\-reload (1)\n");
}

int manual_write(struct out *o, const char *name)
{
    if (strcmp(name, "mast") == 0) {
        write_main(o);
        return 0;
    }
    if (strcmp(name, "mast.yml") == 0) {
        write_config(o);
        return 0;
    }
    const struct command *c = command_find(name);
    if (!c) {
        return -ENOENT;
    }
    write_command(o, c);
    return 0;
}
