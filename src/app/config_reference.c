/* SPDX-License-Identifier: Apache-2.0 */
/* docs/configuration.md, from the table of the configuration: `mast check --reference`. */
#include "app/config.h"
#include "base/mem.h"

static const char head[] =
    "# Configuration\n"
    "\n"
    "<!-- Written by `make references` from the table in src/app/config.c; changes belong there. -->\n"
    "\n"
    "Mast needs no configuration: without one it serves this machine only. It reads one YAML file (JSON when its name ends in\n"
    "`.json`): `--config FILE`, else `$MAST_CONFIG`, `./mast.yml` or `/etc/mast/mast.yml`, the first that is there.\n"
    "[mast.example.yml](../mast.example.yml) is such a file with every key and its default.\n"
    "\n"
    "* `mast check FILE` tells what is wrong with a file, with line and column. A key that does not exist is an error, never ignored.\n"
    "* Every key that is not inside a list can be given by the environment, which wins over the file: `http.tls.enabled` is\n"
    "  `MAST_HTTP_TLS_ENABLED`. Lists are given with commas, lists of sections as JSON.\n"
    "* A *duration* is `250ms`, `10s`, `1h30m`, `180d` or a number of seconds. A *size* is `16MiB`, `1GB` or a number of bytes.\n"
    "* *Takes effect*: \"reload\" means when the file is read again (at once when `watch` is true, else by SIGHUP or `mast reload`);\n"
    "  \"restart\" means when the server starts again. [Operation](operation.md#changing-it-while-it-runs) tells what a reload does to\n"
    "  sessions that are there.\n"
    "* A dash as default means that there is none. *Secret* values are never shown again: not in logs, answers or errors.\n";

/* Markdown's table cells end at a bar. */
static void write_cell(struct out *o, const char *text)
{
    for (; *text; text++) {
        if (*text == '|') {
            out_u8(o, '\\');
        }
        out_u8(o, (uint8_t)*text);
    }
}

static bool is_section(const struct model_field *f)
{
    return f->type == MODEL_T_STRUCT || (f->item && f->item->model);
}

static void write_default(struct out *o, const struct model_field *f)
{
    if (!f->def || !*f->def) {
        out_puts(o, "\xe2\x80\x94");
    } else {
        out_printf(o, "`%s`", f->def);
    }
}

static void write_row(struct out *o, const char *section, const struct model_field *f, bool restart)
{
    out_printf(o, "| `%s%s` | ", section, model_key(f));
    model_about_type(f, o);
    out_puts(o, " | ");
    write_default(o, f);
    out_puts(o, " | ");
    model_about_range(f, o);
    out_printf(o, " | %s | ", restart || f->restart ? "restart" : "reload");
    out_puts(o, f->required ? "Required. " : "");
    write_cell(o, f->doc ? f->doc : "");
    out_puts(o, f->secret != MODEL_PUBLIC ? " *Secret.*" : "");
    if (f->example) {
        out_printf(o, " Example: `%s`.", f->example);
    }
    out_puts(o, " |\n");
}

static void write_section(struct out *o, const struct model *m, const char *section, bool restart);

static void write_subsection(struct out *o, const char *above, const struct model_field *f,
                             bool restart)
{
    bool is_list = f->type != MODEL_T_STRUCT;
    _cleanup_free_ char *name = mem_printf("%s%s%s", above, model_key(f), is_list ? "[]" : "");
    _cleanup_free_ char *prefix = mem_printf("%s.", name);
    out_printf(o, "\n## %s\n\n%s", name, f->doc ? f->doc : "");
    if (is_list) {
        out_puts(o, " A list (");
        model_about_range(f, o);
        out_puts(o, "); these are the keys of one entry.");
    }
    out_puts(o, "\n");
    write_section(o, is_list ? f->item->model : f->model, prefix, restart || f->restart);
}

/* The keys of a section stand together, before the sections in it. */
static void write_section(struct out *o, const struct model *m, const char *section, bool restart)
{
    bool open = false;
    for (size_t i = 0; i < m->n_fields; i++) {
        if (is_section(&m->fields[i])) {
            continue;
        }
        if (!open) {
            out_puts(o, "\n| key | type | default | range | takes effect | what it does |\n"
                        "|---|---|---|---|---|---|\n");
            open = true;
        }
        write_row(o, section, &m->fields[i], restart);
    }
    for (size_t i = 0; i < m->n_fields; i++) {
        if (is_section(&m->fields[i])) {
            write_subsection(o, section, &m->fields[i], restart);
        }
    }
}

void config_write_reference(struct out *o)
{
    out_puts(o, head);
    out_puts(o, "\n## At the top\n");
    write_section(o, &config_model, "", false);
}
