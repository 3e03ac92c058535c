/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

void error_fill(struct error *err, int code, const char *where, const char *fmt, ...)
{
    va_list ap;
    if (!err) {
        return;
    }
    err->code = code;
    snprintf(err->where, sizeof(err->where), "%s", where ? where : "");
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
}

void error_prefix(struct error *err, const char *prefix)
{
    char joined[sizeof(err->where)];
    if (!err || !prefix || !*prefix) {
        return;
    }
    /* An index such as "[3]" joins its list without a dot. */
    const char *dot = err->where[0] && err->where[0] != '[' ? "." : "";
    snprintf(joined, sizeof(joined), "%s%s%s", prefix, dot, err->where);
    memcpy(err->where, joined, sizeof(joined));
}

const char *error_name(int code)
{
    const char *s = strerrordesc_np(code < 0 ? -code : code);
    return s ? s : "unknown error";
}
