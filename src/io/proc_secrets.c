/* SPDX-License-Identifier: Apache-2.0 */
#include "io/proc_secrets.h"

#include "base/mem.h"
#include "base/url.h"
#include "io/proc.h"

#include <string.h>

#define SHORTEST 4u

void proc_secrets_add(struct proc_secrets *s, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    unsigned at = 0;
    if (len < SHORTEST || s->n == PROC_SECRETS_MAX) {
        return;
    }
    for (unsigned i = 0; i < s->n; i++) {
        if (strcmp(s->texts[i], text) == 0) {
            return;
        }
    }
    while (at < s->n && strlen(s->texts[at]) >= len) {
        at++;
    }
    memmove(&s->texts[at + 1], &s->texts[at], (s->n - at) * sizeof(s->texts[0]));
    s->texts[at] = mem_strdup(text);
    s->n++;
}

static void add_raw_password(struct proc_secrets *s, const char *url)
{
    const char *begin = strstr(url, "://");
    begin = begin ? begin + 3 : url;
    size_t len = strcspn(begin, "/?#");
    const char *at = memrchr(begin, '@', len);
    const char *colon = at ? memchr(begin, ':', (size_t)(at - begin)) : NULL;
    if (at) {
        _cleanup_free_ char *info = mem_strndup(begin, (size_t)(at - begin));
        proc_secrets_add(s, info);
    }
    if (colon) {
        _cleanup_free_ char *raw = mem_strndup(colon + 1, (size_t)(at - colon - 1));
        proc_secrets_add(s, raw);
    }
}

static void add_path(struct proc_secrets *s, const struct url *u)
{
    const char *last = strrchr(u->path, '/');
    if (u->query) {
        _cleanup_free_ char *whole = mem_printf("%s?%s", u->path, u->query);
        proc_secrets_add(s, whole);
        proc_secrets_add(s, u->query);
    }
    if (last && strncmp(u->scheme, "rtmp", 4) == 0) {
        _cleanup_free_ char *key = url_decode(BYTES_STR(last + 1), false);
        proc_secrets_add(s, last + 1);
        proc_secrets_add(s, key);
    }
}

void proc_secrets_add_url(struct proc_secrets *s, const char *url)
{
    struct url u;
    if (!url) {
        return;
    }
    proc_secrets_add(s, url);
    add_raw_password(s, url);
    if (url_parse(url, &u, NULL) == 0) {
        proc_secrets_add(s, u.password);
        add_path(s, &u);
        url_done(&u);
    }
}

/* A line as long as lines get was cut: the beginning of a secret may stand at its end. */
static void redact_end(const struct proc_secrets *s, char *line, size_t len)
{
    for (size_t at = 0; at + SHORTEST <= len; at++) {
        for (unsigned i = 0; i < s->n; i++) {
            if (strncmp(s->texts[i], line + at, len - at) == 0) {
                memcpy(line + at, "***", 4);
                return;
            }
        }
    }
}

void proc_secrets_redact(const struct proc_secrets *s, char *line)
{
    size_t len = strlen(line);
    if (len >= PROC_LINE_MAX) {
        redact_end(s, line, len);
    }
    for (unsigned i = 0; i < s->n; i++) {
        proc_redact(line, s->texts[i]);
    }
}

void proc_secrets_done(struct proc_secrets *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        free(s->texts[i]);
    }
    *s = (struct proc_secrets){0};
}
