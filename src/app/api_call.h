/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One blocking call of a running server's API, for the commands. */
#include "base/bytes.h"
#include "base/error.h"

struct model;

#define API_REPLY_MAX (64u << 20)

struct api_call {
    const char *url;      /* "http://user:password@host:8888" */
    const char *ca;       /* the only certificates to trust, PEM; NULL = the system's */
    bool given;           /* url is somebody's, not the default */
    bool any_certificate; /* for what holds no secret, on this machine */
    bool quiet;           /* says nothing about failures */
    unsigned patience_s;  /* for a whole answer; 0 = half a minute */
};

struct args;

/* Either may be NULL: $MAST_URL, else the local default; $MAST_CA, else none. */
struct api_call api_call_to(const char *url, const char *ca);
/* --url URL, else $MAST_URL, else the local default; --ca FILE, else $MAST_CA. The command has COMMAND_SERVER. */
struct api_call api_call_options(const struct args *a);
/* 0 and the reply's body, or an exit code after saying on stderr what went wrong. body may be NULL. */
int api_call(const struct api_call *call, const char *method, const char *target, const char *body,
             struct out *ret);

/*
 * Reads what the server answered, to be printed: names and reasons in it are words of strangers (a publisher's display name), so
 * what a terminal would act on is shown as \u001b instead. Negative errno as model_parse_json().
 */
int api_parse(const struct model *m, void *ret, struct bytes json, struct error *err);
/* The same; 0, or an exit code after saying on stderr what is wrong. */
int api_read(const struct model *m, void *ret, struct bytes json);

enum api_result {
    API_OK,      /* it came to its end */
    API_GONE,    /* no connection, or it broke */
    API_REFUSED, /* another status; said on stderr */
};
/*
 * GET of an endless answer: on_data gets its pieces, and ends it by returning false. header is one more request header, or
 * NULL. quiet: nothing is said when the server is not there.
 */
enum api_result api_stream(const struct api_call *call, const char *target, const char *header,
                           bool quiet, bool (*on_data)(void *user, struct bytes data), void *user);
