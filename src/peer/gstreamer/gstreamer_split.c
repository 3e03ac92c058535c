/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's own pipeline into the words that a shell would make of it: blanks part them, 'single' quotes keep everything,
 * "double" quotes keep all but a backslash before `"` and `\`, a backslash keeps the next character. Nothing else means
 * anything: no variables, no globs, no commands. Documented pipelines are written for shells; so they work as they are.
 */
#include "peer/gstreamer/gstreamer.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word, from *p on; false when its quote does not end. */
static bool take_word(const char **p, struct out *word)
{
    char quote = '\0';
    for (; **p && (quote || !is_blank(**p)); (*p)++) {
        char c = **p;
        char next = (*p)[1];
        bool escapes =
            c == '\\' && quote != '\'' && next && (quote == '\0' || next == '"' || next == '\\');
        if (escapes) {
            (*p)++;
            if (next != '\n') { /* a line that goes on */
                out_u8(word, (uint8_t)next);
            }
        } else if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
        } else if (quote && c == quote) {
            quote = '\0';
        } else {
            out_u8(word, (uint8_t)c);
        }
    }
    return quote == '\0';
}

static void free_words(char **words, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        free(words[i]);
    }
    free(words);
}

static int split(const char *p, char **words, unsigned *n, struct error *err)
{
    for (;;) {
        _cleanup_(out_done) struct out word = {0};
        while (is_blank(*p)) {
            p++;
        }
        if (!*p) {
            return 0;
        }
        if (*n == GSTREAMER_WORDS_MAX) {
            return error_set(err, -E2BIG, "pipeline", "has more than %u words",
                             GSTREAMER_WORDS_MAX);
        }
        const char *begin = p;
        if (!take_word(&p, &word)) {
            return error_set(err, -EINVAL, "pipeline", "has a quote that does not end");
        }
        if (word.len > 0 || *begin != '\\') { /* a backslash and a line end alone are no word */
            words[(*n)++] = out_take_str(&word);
            words[*n] = NULL;
        }
    }
}

int gstreamer_split(const char *pipeline, char ***ret_words, unsigned *ret_n, struct error *err)
{
    unsigned n = 0;
    if (strnlen(pipeline, GSTREAMER_PIPELINE_MAX + 1) > GSTREAMER_PIPELINE_MAX) {
        return error_set(err, -E2BIG, "pipeline", "is longer than %u bytes",
                         GSTREAMER_PIPELINE_MAX);
    }
    for (const char *p = pipeline; *p; p++) {
        if (((unsigned char)*p < 0x20 && !is_blank(*p)) || *p == 0x7f) {
            return error_set(err, -EINVAL, "pipeline", "has a control character in it");
        }
    }
    char **words = mem_new_array(char *, GSTREAMER_WORDS_MAX + 1);
    int r = split(pipeline, words, &n, err);
    if (r < 0) {
        free_words(words, n);
        return r;
    }
    *ret_words = words;
    *ret_n = n;
    return 0;
}
