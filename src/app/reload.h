/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Another configuration while the server runs: by SIGHUP, POST /api/v1/reload, or when a file changed. The file is read and
 * checked whole, and everything that may fail (sockets, certificates) is made before anything is changed: a reload happens
 * or does not. Only what differs is touched; sessions, also those on a listener that moves, go on. Keys that are marked
 * `restart` in their table are listed instead, against what the process was started with, until it is started again.
 *
 * Certificates are read again at each reload, as their files change while their names do not. Control loop.
 */
#include "app/config.h"
#include "io/http.h"

struct access_service;
struct broadcasting;
struct events;
struct guard;
struct hooks;
struct rtmp_server;
struct tls_context;

/* What a reload acts on; owned by the server, NULL where it is switched off. */
struct reload_target {
    const struct config *started; /* with which the process was started */
    const char *file;             /* NULL: only the environment and certificates can have changed */
    const char *state_dir;
    struct loop *control;
    struct loop *const *loops;
    unsigned n_loops;
    struct engine *engine;
    struct events *events; /* config.reloaded, config.refused */
    struct access_service *access;
    struct guard *guard;
    struct hooks *hooks;
    struct broadcasting *broadcasting;
    struct http_server *http;
    struct tls_context *http_tls;
    struct rtmp_server *rtmp;
    struct rtmp_server *rtmps;
    struct tls_context *rtmps_tls;
};

/* Keys by their paths. */
struct reload_report {
    MODEL_ARRAY(char *) changed; /* in force now */
    MODEL_ARRAY(char *) restart; /* differ from what runs, and wait for a restart */
};
extern const struct model reload_report_model;

struct reload;
/* target is copied. Watches the files when the configuration says so. */
struct reload *reload_new(const struct reload_target *target);
struct reload *reload_free(struct reload *r); /* NULL is fine; returns NULL */
/*
 * Reads and applies. ret (may be NULL) is the caller's to release with model_done(). On failure nothing has changed and err
 * says where. Logs either way; why is for the log.
 */
int reload_run(struct reload *r, const char *why, struct reload_report *ret, struct error *err);

/* POST /api/v1/reload; user is the struct reload. */
extern const struct http_route reload_routes[];
extern const unsigned reload_routes_n;
