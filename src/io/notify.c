/* SPDX-License-Identifier: Apache-2.0 */
#include "io/notify.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

LOG_TOPIC(topic, "io.notify");

struct notify {
    int fd; /* -1: nobody wants to know */
    struct sockaddr_un to;
    socklen_t to_len;
    uint64_t feed_ms; /* 0 = no watchdog */
    struct loop_timer *timer;
    struct loop *const *loops;
    unsigned n_loops;
    atomic_uint silent; /* media loops that have not answered since the last tick */
};

static void tell(struct notify *n, const char *lines)
{
    if (n->fd < 0) {
        return;
    }
    if (sendto(n->fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&n->to,
               n->to_len) < 0) {
        log_warn("the service manager cannot be told: %s", error_name(-errno));
    }
}

/* A path, or with @ a name of the abstract namespace, unix(7). */
static int parse_socket(const char *name, struct sockaddr_un *ret, socklen_t *ret_len)
{
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(ret->sun_path)) {
        return -EINVAL;
    }
    ret->sun_family = AF_UNIX;
    memcpy(ret->sun_path, name, len + 1);
    if (name[0] == '@') {
        ret->sun_path[0] = '\0';
    }
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (name[0] == '/'));
    return 0;
}

/* Half of the watchdog's time in ms; 0 when it is not for this process. */
static uint64_t feed_interval(const char *usec, const char *pid)
{
    if (!usec || (pid && strtoll(pid, NULL, 10) != getpid())) {
        return 0;
    }
    return strtoull(usec, NULL, 10) / 2000;
}

static void on_alive(struct loop *l, void *arg)
{
    struct notify *n = arg;
    atomic_fetch_sub(&n->silent, 1);
}

static void on_tick(void *user)
{
    struct notify *n = user;
    loop_timer_start(n->timer, n->feed_ms);
    if (atomic_load(&n->silent) > 0) {
        log_warn("a media loop has not answered for %llu ms; the watchdog is not fed",
                 (unsigned long long)n->feed_ms);
        return;
    }
    tell(n, "WATCHDOG=1\n");
    atomic_store(&n->silent, n->n_loops);
    for (unsigned i = 0; i < n->n_loops; i++) {
        loop_call(n->loops[i], on_alive, n);
    }
}

/* Commands and the program have one thread when this runs. NOLINTBEGIN(concurrency-mt-unsafe) */
struct notify *notify_new(struct loop *control)
{
    struct notify *n = mem_new(struct notify);
    const char *name = getenv("NOTIFY_SOCKET");
    n->fd = -1;
    if (name && *name) {
        if (parse_socket(name, &n->to, &n->to_len) < 0) {
            log_warn("NOTIFY_SOCKET is not an address of this machine; nobody is told");
        } else {
            n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        }
        n->feed_ms = feed_interval(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    }
    n->timer = loop_timer_new(control, on_tick, n);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return n;
}
/* NOLINTEND(concurrency-mt-unsafe) */

void notify_ready(struct notify *n, struct loop *const *loops, unsigned n_loops)
{
    tell(n, "READY=1\n");
    if (n->fd >= 0 && n->feed_ms > 0 && !n->loops) {
        n->loops = loops;
        n->n_loops = n_loops;
        on_tick(n);
    }
}

void notify_reloading(struct notify *n)
{
    char lines[64];
    /* The time lets newer managers tell this reload's end from an earlier one's. */
    snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%lld\n",
             (long long)(clock_mono_ns() / 1000));
    tell(n, lines);
}

void notify_stopping(struct notify *n)
{
    tell(n, "STOPPING=1\n");
}

static void pass_by(struct loop *l, void *arg)
{
}

struct notify *notify_free(struct notify *n)
{
    if (!n) {
        return NULL;
    }
    loop_timer_free(n->timer);
    /* What was asked of the loops has been answered when they have passed by. */
    for (unsigned i = 0; i < n->n_loops; i++) {
        loop_call_wait(n->loops[i], pass_by, NULL);
    }
    if (n->fd >= 0) {
        close(n->fd);
    }
    free(n);
    return NULL;
}
