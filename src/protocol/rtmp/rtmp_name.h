/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From what an RTMP peer says (app and tcUrl of connect, the name of publish or play) to a stream path and credentials.
 * Pure; any thread.
 *
 *   rtmp://host/live/cam?token=x      app "live", name "cam?token=x"      path live/cam, query token=x
 *   rtmp://host/a/b/cam               app "a/b" (or "a"), name "cam"      path a/b/cam
 *   rtmp://host/cam                   app "cam", name ""                  path cam
 *   rtmp://host/live/_definst_/cam    Adobe's default instance            path live/cam
 *   rtmp://host/live/mp4:cam          type prefixes are not part of it    path live/cam
 *   rtmp://user:pass@host/live/cam    in tcUrl, where the client keeps it there
 *   rtmp://host/live/cam?user=u&pass=p
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/mem.h"

#define RTMP_NAME_MAX 2048 /* of app, tcUrl and name, each */

struct rtmp_name {
    char *path;  /* not checked against the rules for stream paths */
    char *query; /* of app and name, joined by '&'; NULL when there is none */
    char *user;  /* percent-decoded; NULL when there is none */
    char *password;
};

/* -EINVAL with err when something is too long or holds a zero byte. */
int rtmp_name_parse(struct bytes app, struct bytes tc_url, struct bytes name, struct rtmp_name *ret,
                    struct error *err);
void rtmp_name_done(struct rtmp_name *n);
