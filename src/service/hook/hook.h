/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A hook: a program that runs on an event, or as long as a stream is live. As mast.yml declares it, and only mast.yml: who
 * may change that file may run programs as this server anyhow, and nobody else shall, also not with an admin key. So the file
 * is the list of what is allowed. Nothing of an event ever becomes part of the argv; it comes in the environment and on stdin.
 */
#include "base/model.h"

#define HOOKS_MAX 64

struct hook {
    char *name;
    MODEL_ARRAY(char *) on; /* patterns of event types */
    char *lasts;            /* `while`: the event that begins it; NULL with `on` */
    MODEL_ARRAY(char *) paths;
    MODEL_ARRAY(char *) run; /* argv */
    MODEL_DICT(char *) env;
    int64_t timeout;
    uint32_t concurrency;
    uint32_t queue;
};
extern const struct model hook_model;
