/* SPDX-License-Identifier: Apache-2.0 */
#include "io/inherit.h"

#include "base/log.h"
#include "io/conn_private.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

LOG_TOPIC(topic, "io.inherit");

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

static int fds[INHERIT_MAX];
static unsigned n_fds;

/* A socket that cannot be what we take is left alone: it is not ours. */
static bool is_listening_tcp(int fd)
{
    int listening = 0;
    int type = 0;
    socklen_t len = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

/* Called before there are threads. NOLINTBEGIN(concurrency-mt-unsafe) */
void inherit_init(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    long n = pid && count && strtol(pid, NULL, 10) == getpid() ? strtol(count, NULL, 10) : 0;
    for (int fd = FIRST_FD; fd < FIRST_FD + n && n_fds < INHERIT_MAX; fd++) {
        if (!is_listening_tcp(fd)) {
            log_warn("descriptor %d was handed over and is not a listening TCP socket", fd);
            continue;
        }
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        fds[n_fds++] = fd;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}
/* NOLINTEND(concurrency-mt-unsafe) */

static bool is_bound_to(int fd, const struct sockaddr *sa)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);
    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 || own.ss_family != sa->sa_family) {
        return false;
    }
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)sa;
        const struct sockaddr_in *b = (const struct sockaddr_in *)&own;
        return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)sa;
    const struct sockaddr_in6 *b = (const struct sockaddr_in6 *)&own;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): getsockname() has written it */
    return a->sin6_port == b->sin6_port &&
           memcmp(&a->sin6_addr, &b->sin6_addr, sizeof(a->sin6_addr)) == 0;
}

unsigned inherit_take(const struct sockaddr *sa, int *ret_fds, unsigned max)
{
    unsigned taken = 0;
    unsigned left = 0;
    for (unsigned i = 0; i < n_fds; i++) {
        if (taken < max && is_bound_to(fds[i], sa)) {
            ret_fds[taken++] = fds[i];
        } else {
            fds[left++] = fds[i];
        }
    }
    n_fds = left;
    return taken;
}

void inherit_close_rest(void)
{
    for (unsigned i = 0; i < n_fds; i++) {
        struct sockaddr_storage sa = {0};
        socklen_t len = sizeof(sa);
        struct conn_addr addr;
        (void)getsockname(fds[i], (struct sockaddr *)&sa, &len);
        conn_addr_set(&addr, (struct sockaddr *)&sa, len);
        log_warn("a socket for %s was handed over, and nothing is configured there; closing it",
                 addr.text);
        close(fds[i]);
    }
    n_fds = 0;
}
