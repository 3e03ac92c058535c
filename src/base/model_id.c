/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void model_id_copy(struct model_id *ret, const struct model_id *id)
{
    *ret = *id;
    if (id->kind == MODEL_ID_STR) {
        ret->str = mem_strdup(id->str);
    }
}

void model_id_done(struct model_id *id)
{
    if (id->kind == MODEL_ID_STR) {
        free(id->str);
    }
    *id = (struct model_id){0};
}

bool model_id_equal(const struct model_id *a, const struct model_id *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case MODEL_ID_INT:
        return a->num == b->num;
    case MODEL_ID_STR:
        return strcmp(a->str, b->str) == 0;
    default:
        return true;
    }
}

const char *model_id_text(const struct model_id *id, char *buf)
{
    switch (id->kind) {
    case MODEL_ID_INT:
        snprintf(buf, MODEL_ID_TEXT_MAX, "%" PRId64, id->num);
        return buf;
    case MODEL_ID_STR:
        return id->str;
    default:
        return "";
    }
}
