/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "real_janus.h"

#include "../await.h"
#include "../port.h"
#include "base/mem.h"
#include "io/proc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct real_janus {
    struct loop *loop;
    struct proc *proc;
    bool ended, asked;
    char dir[64];
    char url[64];
    const char *certificate; /* NULL: ws:// */
    uint16_t port;
};

static void write_file(const struct real_janus *j, const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", j->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Janus keeps its modules in a folder named after the machine's architecture. */
static const char *modules(void)
{
    static const char *const places[] = {"/usr/lib/x86_64-linux-gnu/janus",
                                         "/usr/lib/aarch64-linux-gnu/janus", "/usr/lib/janus"};
    for (unsigned i = 0; i < 3; i++) {
        if (access(places[i], R_OK) == 0) {
            return places[i];
        }
    }
    fail_msg("Janus is not installed (package janus)");
    return NULL;
}

static void configure(const struct real_janus *j)
{
    const char *m = modules();
    _cleanup_free_ char *main_conf = mem_printf(
        "general: { configs_folder = \"%s\" plugins_folder = \"%s/plugins\" transports_folder = "
        "\"%s/transports\" events_folder = \"%s/events\" loggers_folder = \"%s/loggers\" "
        "debug_level = 4 debug_colors = false session_timeout = 8 reclaim_session_timeout = 6 "
        "server_name = \"unit\" api_secret = \"apis3cret\" }\n"
        "certificates: { }\nmedia: { ipv6 = false }\nnat: { ice_lite = false }\n"
        "plugins: { disable = "
        "\"libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,"
        "libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_textroom.so,"
        "libjanus_videocall.so,libjanus_voicemail.so\" }\n"
        "transports: { disable = "
        "\"libjanus_http.so,libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,"
        "libjanus_rabbitmq.so\" }\nloggers: { disable = \"libjanus_jsonlog.so\" }\n"
        "events: { broadcast = false }\n",
        j->dir, m, m, m, m);
    const char *s = j->certificate ? "s" : "";
    _cleanup_free_ char *certificates =
        j->certificate ? mem_printf("certificates: { cert_pem = \"%s\" cert_key = \"%s\" }\n",
                                    j->certificate, j->certificate)
                       : mem_strdup("");
    _cleanup_free_ char *ws_conf =
        mem_printf("general: { json = \"compact\" ws = %s wss = %s ws%s_port = %u "
                   "ws%s_interface = \"lo\" ws%s_ip = \"127.0.0.1\" }\n"
                   "admin: { admin_ws = false }\n%s",
                   j->certificate ? "false" : "true", j->certificate ? "true" : "false", s, j->port,
                   s, s, certificates);
    write_file(j, "janus.jcfg", main_conf);
    write_file(j, "janus.transport.websockets.jcfg", ws_conf);
    write_file(j, "janus.plugin.streaming.jcfg",
               "general: { admin_key = \"stream-admin\" rtp_port_range = \"21000-21999\" }\n");
    write_file(j, "janus.plugin.videoroom.jcfg",
               "general: { admin_key = \"room-admin\" lock_rtp_forward = true }\n");
}

static void on_exit_(void *user, const struct proc_exit *e)
{
    struct real_janus *j = user;
    if (!j->asked) {
        print_error("Janus ended: %s\n", e->err.text);
    }
    j->ended = true;
}

static void start(struct real_janus *j)
{
    static const struct proc_ops ops = {.on_exit = on_exit_};
    const char *argv[] = {"janus", "-F", j->dir, NULL};
    const struct proc_spec spec = {.argv = argv};
    struct error err = {0};
    j->ended = j->asked = false;
    assert_int_equal(proc_start(j->loop, &spec, &ops, j, &j->proc, &err), 0);
}

struct real_janus *real_janus_start(struct loop *l)
{
    return real_janus_start_secure(l, NULL);
}

struct real_janus *real_janus_start_secure(struct loop *l, const char *certificate)
{
    struct real_janus *j = mem_new(struct real_janus);
    j->loop = l;
    j->certificate = certificate;
    j->port = port_get(SOCK_STREAM);
    snprintf(j->dir, sizeof(j->dir), "/tmp/mast-janus-XXXXXX");
    assert_non_null(mkdtemp(j->dir));
    snprintf(j->url, sizeof(j->url), "%s://127.0.0.1:%u", certificate ? "wss" : "ws", j->port);
    configure(j);
    start(j);
    return j;
}

const char *real_janus_url(const struct real_janus *j)
{
    return j->url;
}

void real_janus_kill(struct real_janus *j)
{
    assert_false(j->ended);
    j->asked = true;
    proc_stop(j->proc, 0);
    RUN_UNTIL(j->loop, j->ended);
    j->proc = proc_free(j->proc);
}

void real_janus_again(struct real_janus *j)
{
    start(j);
}

struct real_janus *real_janus_stop(struct real_janus *j)
{
    char command[96];
    real_janus_kill(j);
    snprintf(command, sizeof(command), "rm -rf %s", j->dir);
    assert_int_equal(system(command), 0);
    free(j);
    return NULL;
}
