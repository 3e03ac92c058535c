/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * mast.yml: one struct, one table (config.c), from which come parsing, checking, MAST_SECTION_KEY overrides, the
 * documented example and the reference. Read once at start, immutable after.
 */
#include "base/model.h"
#include "engine/stream.h"
#include "service/access/access.h"
#include "service/access/guard.h"
#include "service/broadcast/janus_servers.h"
#include "service/hook/hook.h"
#include "service/webhook/webhook.h"

struct config_log {
    char *level;
    bool json;
};

struct config_http_tls {
    bool enabled;
    bool plain;
    char *certificate;
    char *key;
    int64_t hsts;
};

struct config_http {
    char *address;
    uint16_t port;
    MODEL_ARRAY(char *) hosts;
    MODEL_ARRAY(char *) trusted_proxies;
    MODEL_ARRAY(char *) embed;
    char *web_dir;
    uint32_t max_connections;
    uint32_t max_connections_per_address;
    struct config_http_tls tls;
};

struct config_rtmp {
    bool enabled;
    char *address;
    uint16_t port;
    uint32_t max_connections;
    uint32_t max_connections_per_address;
    bool challenge;
    int64_t publisher_timeout;
    int64_t reader_timeout;
};

struct config_rtmps {
    bool enabled;
    char *address;
    uint16_t port;
    char *certificate;
    char *key;
};

struct config_hls {
    bool enabled;
    int64_t segment;
    int64_t part;
    uint32_t segments;
    uint64_t memory_max;
    MODEL_ARRAY(char *) origins;
};

struct config_streams {
    int second_publisher; /* enum publish_policy */
    int64_t continuity;
    int64_t linger;
    uint64_t history_max;
    int64_t history_max_time;
    int64_t ready_after;
    int64_t fanout_wait;
    uint64_t memory_max;
    uint32_t max;
};

struct config_av {
    uint32_t workers;
};

struct config_demo {
    char *path;
    uint16_t width;
    uint16_t height;
    uint16_t fps;
};

struct config_broadcasts {
    uint32_t max;
    uint32_t keep;
    int64_t keep_for;
    int64_t stale;
    int64_t check;
    int64_t debt_retry;
    int on_exit; /* enum broadcasts_leave */
};

struct config_outgoing {
    MODEL_ARRAY(char *) allow;
};

struct config {
    struct config_log log;
    char *state_dir;
    uint16_t loops;
    bool watch;
    struct config_http http;
    struct config_rtmp rtmp;
    struct config_rtmps rtmps;
    struct config_hls hls;
    struct config_streams streams;
    struct config_av av;
    struct config_demo demo;
    struct access_config access;
    struct config_outgoing outgoing;
    MODEL_ARRAY(struct janus_server_config) janus;
    struct config_broadcasts broadcasts;
    MODEL_ARRAY(struct webhook) webhooks;
    MODEL_ARRAY(struct hook) hooks;
};
extern const struct model config_model;

/*
 * Defaults, then the file (NULL = none), then the environment. config is overwritten; on failure err says where and
 * config is empty. Misspelt MAST_ variables are warned about.
 */
int config_load(struct config *config, const char *file, char *const *env, struct error *err);
void config_done(struct config *config);
/* What the guard is told; borrows from config. */
struct guard_config config_guard(const struct config *config);
/* What the engine is told of it; who answers the access question is the caller's to add. */
struct engine_config config_engine(const struct config *config);

/* Variables of the environment that are no keys of the configuration, for the manual. */
struct config_variable {
    const char *name; /* NULL ends the table */
    const char *doc;  /* NULL = of the tests */
};
extern const struct config_variable config_variables[];

/* The documented example file with every key, from the table. */
void config_write_example(struct out *o);
/* docs/configuration.md: the same for people who look something up. */
void config_write_reference(struct out *o);
