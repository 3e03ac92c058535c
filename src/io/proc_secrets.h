/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What must not be read in the lines of a child: a program that cannot open a URL prints it, or parts of it. Filled by who
 * starts the child, asked in its `redact`. Zeroed memory is an empty one. No I/O; any thread.
 */
#define PROC_SECRETS_MAX 16u

struct proc_secrets {
    char *texts[PROC_SECRETS_MAX]; /* longest first, so that no part of a longer one is left */
    unsigned n;
};

/* NULL, what is shorter than 4 bytes, and what is there already is ignored. At most PROC_SECRETS_MAX are kept. */
void proc_secrets_add(struct proc_secrets *s, const char *text);
/* The URL, its password, its path with the query, its query; of RTMP also the last segment, which is the key there. */
void proc_secrets_add_url(struct proc_secrets *s, const char *url);
/* In place, see proc_redact(). */
void proc_secrets_redact(const struct proc_secrets *s, char *line);
void proc_secrets_done(struct proc_secrets *s);
