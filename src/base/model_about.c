/* SPDX-License-Identifier: Apache-2.0 */
/* A field's type and range in words, for references that people read; the schema is for programs. */
#include "base/mem.h"
#include "base/model_impl.h"

#include <inttypes.h>

static void write_size(struct out *o, int64_t bytes)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"GiB", 1LL << 30}, {"MiB", 1LL << 20}, {"KiB", 1LL << 10}};
    for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
        if (bytes >= units[i].factor && bytes % units[i].factor == 0) {
            out_printf(o, "%" PRId64 "%s", bytes / units[i].factor, units[i].name);
            return;
        }
    }
    out_printf(o, "%" PRId64, bytes);
}

static void write_value(enum model_type type, int64_t v, struct out *o)
{
    char text[32];
    if (type == MODEL_T_DURATION) {
        out_puts(o, duration_str(v, text));
    } else if (type == MODEL_T_SIZE) {
        write_size(o, v);
    } else {
        out_printf(o, "%" PRId64, v);
    }
}

static void write_names(const struct model_field *f, struct out *o)
{
    const char *before = "";
    for (const struct model_enum *e = f->names; e->name; e++) {
        if (model_enum_name(f->names, e->value) == e->name) {
            out_printf(o, "%s`%s`", before, e->name);
            before = ", ";
        }
    }
}

void model_about_type(const struct model_field *f, struct out *o)
{
    static const char *const names[MODEL_T_N] = {
        [MODEL_T_BOOL] = "true or false",
        [MODEL_T_INT] = "integer",
        [MODEL_T_DOUBLE] = "number",
        [MODEL_T_ENUM] = "one of ",
        [MODEL_T_STRING] = "text",
        [MODEL_T_DURATION] = "duration",
        [MODEL_T_TIME] = "time",
        [MODEL_T_SIZE] = "size",
        [MODEL_T_ID] = "id",
        [MODEL_T_RAW] = "anything",
        [MODEL_T_STRUCT] = "section",
        [MODEL_T_OPT] = "section",
        [MODEL_T_LIST] = "list of ",
        [MODEL_T_MAP] = "map of ",
    };
    out_puts(o, names[f->type]);
    if (f->type == MODEL_T_ENUM) {
        write_names(f, o);
    } else if (f->item && f->item->model) {
        out_puts(o, "sections");
    } else if (f->item) {
        model_about_type(f->item, o);
    }
}

/* Lengths: bytes of a text, elements of a list. */
static void write_len_range(const struct model_field *f, const char *unit, struct out *o)
{
    if (f->min > 0) {
        out_printf(o, "%" PRId64 " to %zu%s%s", f->min, len_bound(f), *unit ? " " : "", unit);
    } else {
        out_printf(o, "at most %zu%s%s", len_bound(f), *unit ? " " : "", unit);
    }
}

void model_about_range(const struct model_field *f, struct out *o)
{
    int64_t min;
    int64_t max;
    switch (f->type) {
    case MODEL_T_INT:
    case MODEL_T_SIZE:
    case MODEL_T_DURATION:
        int_bounds(f, &min, &max);
        min = f->type == MODEL_T_INT ? min : MAX(min, 0);
        if (max == INT64_MAX) {
            out_puts(o, min == INT64_MIN ? "" : "from ");
            if (min != INT64_MIN) {
                write_value(f->type, min, o);
            }
            return;
        }
        write_value(f->type, min, o);
        out_puts(o, " to ");
        write_value(f->type, max, o);
        return;
    case MODEL_T_DOUBLE:
        if (f->fmax > f->fmin) {
            out_printf(o, "%g to %g", f->fmin, f->fmax);
        }
        return;
    case MODEL_T_STRING:
        if (f->min > 0 || f->max > 0) {
            write_len_range(f, "bytes", o);
        }
        return;
    case MODEL_T_LIST:
    case MODEL_T_MAP:
        write_len_range(f, "", o);
        return;
    default:
        return;
    }
}
