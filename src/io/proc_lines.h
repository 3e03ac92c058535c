/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Cuts a stream of bytes into printable lines of bounded length and keeps the last of them: a child's stderr. Embedded in
 * struct proc; no I/O. Line ends are \n, \r and \r\n (progress displays); empty lines are dropped; control bytes become '?'.
 */
#include "base/bytes.h"
#include "io/proc.h"

struct proc_lines {
    char line[PROC_LINE_MAX + 1]; /* being collected */
    size_t len;
    bool overlong;               /* the rest of this line is being dropped */
    char *kept[PROC_LINES_KEPT]; /* ring */
    unsigned first;
    unsigned n;
};

/*
 * Calls each line with a buffer it may change in place (redaction) but not lengthen; returning false stops (the owner is
 * gone) and drops the rest. What it leaves in the buffer is kept.
 */
typedef bool (*proc_line_fn)(void *user, char *line);
void proc_lines_feed(struct proc_lines *l, struct bytes data, proc_line_fn each, void *user);
/* The last line without its end. */
void proc_lines_end(struct proc_lines *l, proc_line_fn each, void *user);
/* Fills list (PROC_LINES_KEPT) with views, oldest first; returns how many. */
unsigned proc_lines_kept(const struct proc_lines *l, const char **list);
void proc_lines_done(struct proc_lines *l);
