/* SPDX-License-Identifier: Apache-2.0 */
#include "app/complete.h"

#include "app/api_call.h"
#include "app/command.h"
#include "base/mem.h"
#include "service/stream/stream_view.h"

#include <stdio.h>
#include <string.h>

/* The words so far, read as command.c would, but without complaint. */
struct typed {
    const struct command *command;
    const struct command *parent;
    const char *url;
    const char *ca;
    const struct command_option *open; /* whose value is being typed */
    unsigned n_values;
    bool options_end;
    const char *word; /* the one being typed */
    size_t skip;      /* of it, before a value: "--url=" */
};

static void offer(const struct typed *t, const char *word, const char *what)
{
    size_t n = strlen(t->word) - t->skip;
    if (strncmp(word, t->word + t->skip, n) == 0) {
        printf("%.*s%s%s%s\n", (int)t->skip, t->word, word, what ? "\t" : "", what ? what : "");
    }
}

static const struct command_option *find_option(const struct typed *t, const char *word)
{
    size_t n = strcspn(word, "=");
    for (unsigned i = 0; i < 2; i++) {
        const struct command *c = i == 0 ? t->command : t->parent;
        for (const struct command_option *o = c ? c->options : NULL; o && o->name; o++) {
            if (strncmp(o->name, word, n) == 0 && o->name[n] == '\0') {
                return o;
            }
        }
    }
    return NULL;
}

static void keep_value(struct typed *t, const struct command_option *o, const char *value)
{
    if (strcmp(o->name, "--url") == 0) {
        t->url = value;
    } else if (strcmp(o->name, "--ca") == 0) {
        t->ca = value;
    }
}

static const struct command *find_sub(const struct command *c, const char *name)
{
    for (const struct command *s = c->subs; s && s->name; s++) {
        if (strcmp(s->name, name) == 0) {
            return s;
        }
    }
    return NULL;
}

/* One word that is finished. Returns false when the call cannot be right any more. */
static bool take(struct typed *t, const char *word)
{
    if (t->open) {
        keep_value(t, t->open, word);
        t->open = NULL;
        return true;
    }
    if (!t->options_end && word[0] == '-' && word[1]) {
        t->options_end = strcmp(word, "--") == 0;
        const struct command_option *o = find_option(t, word);
        const char *eq = strchr(word, '=');
        if (o && o->arg && eq) {
            keep_value(t, o, eq + 1);
        } else if (o && o->arg) {
            t->open = o;
        }
        return true;
    }
    if (!t->command) {
        t->command = command_find(word);
        return t->command != NULL;
    }
    if (t->command->subs) {
        t->parent = t->command;
        t->command = find_sub(t->parent, word);
        return t->command != NULL;
    }
    t->n_values++;
    return true;
}

/* Without a word about failures: a shell's prompt is no place for them. */
static void offer_streams(const struct typed *t)
{
    _cleanup_(out_done) struct out body = {0};
    struct stream_list_view list;
    struct api_call call = api_call_to(t->url, t->ca);
    call.quiet = true;
    call.patience_s = 2;
    if (api_call(&call, "GET", "/api/v1/streams", NULL, &body) != 0) {
        return;
    }
    struct model_parse_opts opts = {.max_bytes = API_REPLY_MAX, .max_values = UINT32_MAX};
    if (model_parse_json(&stream_list_model, &list, out_view(&body), &opts, NULL) < 0) {
        return;
    }
    for (size_t i = 0; i < list.items.len; i++) {
        offer(t, list.items.items[i].path, list.items.items[i].on_air ? "on air" : "waiting");
    }
    model_done(&stream_list_model, &list);
}

/* word: one of those of command.h, maybe in brackets. */
static void offer_value(const struct typed *t, const char *word, size_t n)
{
    if (n >= 2 && word[0] == '[') {
        word++;
        n -= 2;
    }
    _cleanup_free_ char *name = mem_strndup(word, n);
    if (strcmp(name, "FILE") == 0) {
        puts("\tfile");
    } else if (strcmp(name, "DIR") == 0) {
        puts("\tdir");
    } else if (strcmp(name, "PATH") == 0) {
        offer_streams(t);
    } else if (strcmp(name, "COMMAND") == 0) {
        for (const struct command *const *c = commands; *c; c++) {
            offer(t, (*c)->name, (*c)->summary);
        }
    } else if (strchr(name, '|')) {
        char *save = NULL;
        for (char *one = strtok_r(name, "|", &save); one; one = strtok_r(NULL, "|", &save)) {
            offer(t, one, NULL);
        }
    }
}

static void offer_options(const struct typed *t)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct command *c = i == 0 ? t->command : t->parent;
        for (const struct command_option *o = c ? c->options : NULL; o && o->name; o++) {
            if (o->help) {
                offer(t, o->name, o->help);
            }
        }
    }
    offer(t, "--help", "Prints how it is called");
}

static void offer_words(const struct typed *t)
{
    const char *p = t->command->args ? t->command->args : "";
    for (unsigned i = 0; i < t->n_values && *p; i++) {
        p += strcspn(p, " ");
        p += strspn(p, " ");
    }
    offer_value(t, p, strcspn(p, " "));
}

void complete(int n, char **words)
{
    struct typed t = {.word = n > 0 ? words[n - 1] : ""};
    for (int i = 0; i < n - 1; i++) {
        if (!take(&t, words[i])) {
            return;
        }
    }
    if (t.open) {
        offer_value(&t, t.open->arg, strlen(t.open->arg));
        return;
    }
    if (!t.options_end && t.word[0] == '-') {
        const struct command_option *o = find_option(&t, t.word);
        const char *eq = strchr(t.word, '=');
        if (o && o->arg && eq) {
            t.skip = (size_t)(eq + 1 - t.word);
            offer_value(&t, o->arg, strlen(o->arg));
            return;
        }
        offer_options(&t);
        return;
    }
    if (!t.command) {
        offer_value(&t, "COMMAND", strlen("COMMAND"));
    } else if (t.command->subs) {
        for (const struct command *s = t.command->subs; s->name; s++) {
            offer(&t, s->name, s->summary);
        }
    } else {
        offer_words(&t);
    }
}
