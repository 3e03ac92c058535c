/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/guard.h"

#include "base/mem.h"
#include "engine/access_http.h"
#include "io/http_forwarded.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>

struct guard_policy {
    size_t n_hosts;
    char **hosts;
    struct trusted_proxies proxies;
    struct net_range nets[];
};

static void policy_free(struct guard_policy *p)
{
    for (size_t i = 0; p && i < p->n_hosts; i++) {
        free(p->hosts[i]);
    }
    if (p) {
        free(p->hosts);
    }
    free(p);
}

static struct guard_policy *policy_new(const struct guard_config *c)
{
    struct guard_policy *p = mem_zalloc(sizeof(*p) + c->n_proxies * sizeof(p->nets[0]));
    p->hosts = mem_new_array(char *, MAX(c->n_hosts, (size_t)1));
    for (size_t i = 0; i < c->n_hosts; i++) {
        p->hosts[p->n_hosts++] = mem_strdup(c->hosts[i]);
    }
    for (size_t i = 0; i < c->n_proxies; i++) {
        /* What is no network has been refused with the configuration. */
        p->proxies.n += net_range_parse(c->proxies[i], &p->nets[p->proxies.n], NULL) == 0;
    }
    p->proxies.nets = p->nets;
    return p;
}

static void pass_by(struct loop *l, void *arg)
{
    /* The loop is here, so it is not in guard_check(). */
}

void guard_configure(struct guard *g, const struct guard_config *config, struct loop *const *loops,
                     unsigned n_loops)
{
    struct guard_policy *old = atomic_exchange(&g->policy, policy_new(config));
    for (unsigned i = 0; old && i < n_loops; i++) {
        loop_call_wait(loops[i], pass_by, NULL);
    }
    policy_free(old);
}

void guard_done(struct guard *g)
{
    policy_free(atomic_exchange(&g->policy, NULL));
}

/* The host of a Host header without its port: "[::1]:8888" -> "::1". Empty when anything else follows the host. */
static void host_name(const char *header, char *ret, size_t size)
{
    bool bracket = *header == '[';
    const char *name = header + bracket;
    size_t n = strcspn(name, bracket ? "]" : ":");
    const char *port = name + n + (bracket && name[n]);
    bool ok = *port == '\0' || (*port == ':' && port[1 + strspn(port + 1, "0123456789")] == '\0');
    snprintf(ret, size, "%.*s", ok ? (int)MIN(n, size - 1) : 0, name);
}

/*
 * An address cannot be re-bound to another machine by whoever owns a name, so any address is fine; of names, only
 * localhost and those that the configuration lists.
 */
static bool host_is_ours(const struct guard *g, const struct http_request *req)
{
    struct in6_addr ignored;
    char name[256];
    const char *header = http_request_header(req, "Host");
    host_name(header ? header : "", name, sizeof(name));
    if (strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, &ignored) == 1 ||
        inet_pton(AF_INET6, name, &ignored) == 1) {
        return true;
    }
    const struct guard_policy *p = atomic_load(&g->policy);
    for (size_t i = 0; p && i < p->n_hosts; i++) {
        if (strcasecmp(name, p->hosts[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void look_behind_proxies(const struct guard *g, struct http_request *req)
{
    const struct guard_policy *p = atomic_load(&g->policy);
    struct forwarded f;
    if (p && p->proxies.n > 0 && forwarded_resolve(req, &p->proxies, &f)) {
        http_request_set_client(req, &f.client, f.tls);
    }
}

static bool refuse(struct http_reply *reply, int status, const char *code, const char *where,
                   const char *text)
{
    struct error err = {0};
    error_set(&err, -EACCES, where, "%s", text);
    http_reply_problem(reply, status, code, &err);
    return false;
}

static bool scope_is_granted(const struct guard *g, struct http_request *req, int *ret_r)
{
    _cleanup_(access_credentials_wipe) struct access_credentials credentials;
    struct access_request asked;
    *ret_r = access_request_from_http(req, &credentials, &asked);
    asked.protocol = "http";
    if (*ret_r == 0) {
        struct http_grant grant = {0};
        *ret_r = access_service_api(
            g->access, &asked, access_scope_from_route(http_request_route(req)->scope), &grant);
        http_request_set_grant(req, &grant);
    }
    return *ret_r == 0;
}

bool guard_check(void *user, struct http_request *req, struct http_reply *reply)
{
    const struct guard *g = user;
    const struct http_route *route = http_request_route(req);
    int r = 0;
    look_behind_proxies(g, req);
    if (!host_is_ours(g, req)) {
        return refuse(reply, 421, "unknown-host", "Host",
                      "this name is not one of ours: list it in http.hosts, or use an address");
    }
    /* A WebSocket's handshake is a GET that any page may send: the browser leaves the check to us. */
    bool from_page = route->kind == HTTP_ROUTE_CONTROL || http_request_header(req, "Upgrade");
    if (from_page && !http_site_is_own(req)) {
        return refuse(reply, 403, "foreign-origin", "Origin",
                      "this request comes from another site's page");
    }
    if (route->scope && !scope_is_granted(g, req, &r)) {
        if (r == -EPERM) {
            http_auth_challenge(req, reply);
            return refuse(
                reply, 401, "credentials-needed", "Authorization",
                "the API needs a login, a key, or a user with api: true (from this machine neither, while there are no users)");
        }
        if (r == -EBUSY) {
            http_reply_header(reply, "Retry-After", "5");
            return refuse(reply, 429, "too-many-attempts", "Authorization",
                          "too many failed attempts from this address, try again later");
        }
        return refuse(reply, r == -EBADMSG ? 400 : 403,
                      r == -EBADMSG ? "bad-credentials" : "not-allowed", "Authorization",
                      "these credentials may not do this");
    }
    return true;
}
