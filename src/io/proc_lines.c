/* SPDX-License-Identifier: Apache-2.0 */
#include "io/proc_lines.h"

#include "base/mem.h"

#include <string.h>

static void keep(struct proc_lines *l, const char *line)
{
    unsigned at = (l->first + l->n) % PROC_LINES_KEPT;
    if (l->n == PROC_LINES_KEPT) {
        free(l->kept[l->first]);
        l->first = (l->first + 1) % PROC_LINES_KEPT;
    } else {
        l->n++;
    }
    l->kept[at] = mem_strdup(line);
}

/*
 * A secret that the bound cuts in half would pass every redaction, so an overlong line ends at its last blank: what is
 * left consists of whole words.
 */
static void cut_overlong(struct proc_lines *l)
{
    static const char mark[] = "[cut]";
    l->len = MIN(l->len, sizeof(l->line) - sizeof(mark));
    while (l->len > 0 && l->line[l->len - 1] != ' ') {
        l->len--;
    }
    memcpy(l->line + l->len, mark, sizeof(mark));
    l->len += sizeof(mark) - 1;
}

static bool finish(struct proc_lines *l, proc_line_fn each, void *user)
{
    if (l->overlong) {
        cut_overlong(l);
    }
    if (l->len == 0) {
        return true;
    }
    l->line[l->len] = '\0';
    l->len = 0;
    l->overlong = false;
    if (!each(user, l->line)) {
        return false;
    }
    keep(l, l->line);
    return true;
}

static void add(struct proc_lines *l, uint8_t c)
{
    if (l->len == PROC_LINE_MAX) {
        l->overlong = true;
        return;
    }
    bool control = (c < 0x20 && c != '\t') || c == 0x7f;
    l->line[l->len++] = (char)(control ? '?' : c);
}

void proc_lines_feed(struct proc_lines *l, struct bytes data, proc_line_fn each, void *user)
{
    for (size_t i = 0; i < data.len; i++) {
        uint8_t c = data.data[i];
        if (c != '\n' && c != '\r') {
            add(l, c);
        } else if (!finish(l, each, user)) {
            return;
        }
    }
}

void proc_lines_end(struct proc_lines *l, proc_line_fn each, void *user)
{
    (void)finish(l, each, user);
}

unsigned proc_lines_kept(const struct proc_lines *l, const char **list)
{
    for (unsigned i = 0; i < l->n; i++) {
        list[i] = l->kept[(l->first + i) % PROC_LINES_KEPT];
    }
    return l->n;
}

void proc_lines_done(struct proc_lines *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        free(l->kept[(l->first + i) % PROC_LINES_KEPT]);
    }
    l->n = 0;
}
