/* SPDX-License-Identifier: Apache-2.0 */
#include "service/hook/hook.h"

#include <errno.h>
#include <string.h>

#define NAME_CHARS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

static int check_name(const void *member, struct error *err)
{
    char *const *name = member;
    if ((*name)[strspn(*name, NAME_CHARS ".-")] != '\0') {
        return error_set(err, -EINVAL, "", "has other characters than letters, digits, . _ -");
    }
    return 0;
}

static int check_lasts(const void *member, struct error *err)
{
    char *const *event = member;
    if (strcmp(*event, "stream.published") != 0 && strcmp(*event, "stream.ready") != 0) {
        return error_set(err, -EINVAL, "", "is neither stream.published nor stream.ready");
    }
    return 0;
}

static int check_hook(void *obj, struct error *err)
{
    const struct hook *h = obj;
    if ((h->on.len > 0) == (h->lasts != NULL)) {
        return error_set(err, -EINVAL, "on", "a hook has either `on` or `while`");
    }
    if (h->run.items[0][0] != '/') {
        return error_set(err, -EINVAL, "run", "the program is named by its whole path, from /");
    }
    for (size_t i = 0; i < h->env.len; i++) {
        const char *name = h->env.items[i].key;
        if (*name == '\0' || name[strspn(name, NAME_CHARS)] != '\0') {
            return error_set(err, -EINVAL, "env", "has a name that is none of a variable");
        }
    }
    return 0;
}

static const struct model_field fields[] = {
    MODEL_STRING(struct hook, name, .required = true, .min = 1, .max = 40, .check = check_name,
                 .doc = "What it is called.", .example = "notify"),
    MODEL_LIST_STRING(struct hook, on, .max = 64, .comma = true,
                      .doc =
                          "Types of events, each of which runs the program; * stands for any run "
                          "of characters.",
                      .example = "stream.published"),
    MODEL_STRING(struct hook, lasts, .key = "while", .check = check_lasts,
                 .doc =
                     "Instead of `on`: the program runs for each stream from this event until the "
                     "stream has ended, and is started again when it ends before.",
                 .example = "stream.ready"),
    MODEL_LIST_STRING(struct hook, paths, .max = 64, .comma = true,
                      .doc = "Of which streams; * stands for any run of characters. None: of all.",
                      .example = "live/*"),
    MODEL_LIST_STRING(struct hook, run, .required = true, .min = 1, .max = 64,
                      .doc = "The program, by its whole path, and its arguments. No shell.",
                      .example = "/usr/local/bin/on-air, --verbose"),
    MODEL_MAP(
        struct hook, env,
        MODEL_ITEM_STRING(.name = "env", .max = 4096, .secret = MODEL_SECRET_SEALED), .max = 64,
        .doc = "Its environment beside PATH, HOME, LANG, TZ and what tells of the event; never "
               "shown."),
    MODEL_DURATION(struct hook, timeout, .def = "30s", .min = 100000000, .max = 86400000000000,
                   .doc = "With `on`: after so long it is ended, with all it started."),
    MODEL_INT(struct hook, concurrency, .def = "1", .min = 1, .max = 32,
              .doc = "With `on`: runs at once. 1 keeps the order of events."),
    MODEL_INT(struct hook, queue, .def = "100", .max = 10000,
              .doc = "With `on`: events that wait; over it the oldest is dropped."),
};
const struct model hook_model = MODEL("ConfigHook", struct hook, fields, .check = check_hook);
