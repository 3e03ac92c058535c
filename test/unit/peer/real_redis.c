/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "real_redis.h"

#include "../await.h"
#include "../port.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "io/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct real_redis {
    struct loop *loop;
    struct proc *proc;
    bool ended, asked;
    char dir[64];
    char url[64];
    const char *certificate;
    const char *password;
    uint16_t port;
};

static void on_exit_(void *user, const struct proc_exit *e)
{
    struct real_redis *s = user;
    if (!s->asked) {
        print_error("redis-server ended: %s\n", e->err.text);
    }
    s->ended = true;
}

char *real_redis_ask(const struct real_redis *s, const char *words)
{
    _cleanup_free_ char *secure =
        s->certificate ? mem_printf("--tls --cacert %s", s->certificate) : mem_strdup("");
    _cleanup_free_ char *command =
        mem_printf("redis-cli -h 127.0.0.1 -p %u %s %s %s --no-auth-warning %s 2>&1", s->port,
                   secure, s->password ? "-a" : "", s->password ? s->password : "", words);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    struct out o = {0};
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), f)) > 0) {
        out_mem(&o, part, n);
    }
    pclose(f);
    while (o.len > 0 && o.data[o.len - 1] == '\n') {
        o.len--;
    }
    return out_take_str(&o);
}

static bool answers(const struct real_redis *s)
{
    _cleanup_free_ char *pong = real_redis_ask(s, "ping");
    return strcmp(pong, "PONG") == 0;
}

void real_redis_again(struct real_redis *s)
{
    static const struct proc_ops ops = {.on_exit = on_exit_};
    char port[8];
    snprintf(port, sizeof(port), "%u", s->port);
    const char *argv[40] = {"redis-server",
                            "--bind",
                            "127.0.0.1",
                            "--dir",
                            s->dir,
                            "--save",
                            "",
                            "--appendonly",
                            "yes",
                            "--appendfsync",
                            "always",
                            "--loglevel",
                            "warning",
                            s->certificate ? "--tls-port" : "--port",
                            port};
    unsigned n = 15;
    if (s->password) {
        argv[n++] = "--requirepass";
        argv[n++] = s->password;
    }
    if (s->certificate) {
        const char *tls[] = {"--port",
                             "0",
                             "--tls-cert-file",
                             s->certificate,
                             "--tls-key-file",
                             s->certificate,
                             "--tls-ca-cert-file",
                             s->certificate,
                             "--tls-auth-clients",
                             "no"};
        memcpy(argv + n, tls, sizeof(tls));
    }
    const struct proc_spec spec = {.argv = argv};
    struct error err = {0};
    s->ended = s->asked = false;
    if (proc_start(s->loop, &spec, &ops, s, &s->proc, &err) < 0) {
        fail_msg("redis-server: %s", err.text);
    }
    RUN_UNTIL(s->loop, s->ended || answers(s));
    assert_false(s->ended);
}

struct real_redis *real_redis_start(struct loop *l, const char *certificate, const char *password)
{
    struct real_redis *s = mem_new(struct real_redis);
    s->loop = l;
    s->certificate = certificate;
    s->password = password;
    s->port = port_get(SOCK_STREAM);
    snprintf(s->dir, sizeof(s->dir), "/tmp/mast-redis-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->url, sizeof(s->url), "redis%s://127.0.0.1:%u", certificate ? "s" : "", s->port);
    real_redis_again(s);
    return s;
}

uint16_t real_redis_port(const struct real_redis *s)
{
    return s->port;
}

const char *real_redis_url(const struct real_redis *s)
{
    return s->url;
}

void real_redis_kill(struct real_redis *s)
{
    assert_false(s->ended);
    s->asked = true;
    proc_stop(s->proc, 0);
    RUN_UNTIL(s->loop, s->ended);
    s->proc = proc_free(s->proc);
}

struct real_redis *real_redis_stop(struct real_redis *s)
{
    char command[96];
    real_redis_kill(s);
    snprintf(command, sizeof(command), "rm -rf %s", s->dir);
    assert_int_equal(system(command), 0);
    free(s);
    return NULL;
}
