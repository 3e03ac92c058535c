/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <unistd.h>

LOG_TOPIC(topic, "io.udp");

#define RUN_MAX       48      /* datagrams of one call: 64 are the kernel's limit, */
#define RUN_BYTES_MAX 64000   /* and 65535 bytes with headers */
#define READ_BATCH    32      /* datagrams of one wake-up; then others get their turn */
#define SEND_BUFFER   1048576 /* asked for; the kernel gives what net.core.wmem_max allows */

struct udp {
    uv_poll_t poll;
    struct loop *loop;
    struct udp_ops ops;
    void *user;
    int fd;
    bool closed;
    bool full;
    bool plain; /* this kernel or device does not segment */
    struct udp_stats stats;
};

socklen_t sockaddr_len(const struct sockaddr *a)
{
    return a->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
           : a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                      : 0;
}

/* ---- in ---- */

static void read_all(struct udp *u)
{
    struct sockaddr_storage from;
    uint8_t *scratch = loop_read_scratch(u->loop);
    for (unsigned i = 0; i < READ_BATCH && !u->closed; i++) {
        socklen_t len = sizeof(from);
        const ssize_t n = recvfrom(u->fd, scratch, LOOP_SCRATCH_BYTES, MSG_DONTWAIT,
                                   (struct sockaddr *)&from, &len);
        if (n < 0) {
            return;
        }
        u->stats.packets_in++;
        u->ops.on_datagram(u->user, BYTES(scratch, n), (struct sockaddr *)&from);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void set_full(struct udp *u, bool full)
{
    u->full = full;
    uv_poll_start(&u->poll, UV_READABLE | (full ? UV_WRITABLE : 0), on_poll);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct udp *u = poll->data;
    if (status < 0) {
        return;
    }
    if (events & UV_READABLE) {
        read_all(u);
    }
    if (!u->closed && events & UV_WRITABLE && u->full) {
        set_full(u, false);
        if (u->ops.on_writable) {
            u->ops.on_writable(u->user);
        }
    }
}

/* ---- out ---- */

static size_t datagram_len(const struct udp_datagram *d)
{
    return d->head.len + d->body.len;
}

/* How many from d on go out in one call: all of one size, but the last may be shorter. */
static unsigned run_len(const struct udp *u, const struct udp_datagram *d, unsigned n)
{
    const size_t size = datagram_len(&d[0]);
    size_t total = size;
    unsigned k = 1;
    while (!u->plain && k < n && k < RUN_MAX) {
        const size_t len = datagram_len(&d[k]);
        total += len;
        if (len == 0 || len > size || total > RUN_BYTES_MAX) {
            break;
        }
        k++;
        if (len < size) {
            break;
        }
    }
    return k;
}

static ssize_t send_run(struct udp *u, const struct sockaddr *to, const struct udp_datagram *d,
                        unsigned n)
{
    struct iovec iov[2 * RUN_MAX];
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++) {
        iov[k++] = (struct iovec){(void *)d[i].head.data, d[i].head.len};
        iov[k++] = (struct iovec){(void *)d[i].body.data, d[i].body.len};
    }
    struct msghdr m = {
        .msg_name = (void *)to, .msg_namelen = sockaddr_len(to), .msg_iov = iov, .msg_iovlen = k};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(uint16_t))];
    } control = {0};
    if (n > 1) {
        const uint16_t size = (uint16_t)datagram_len(&d[0]);
        m.msg_control = &control;
        m.msg_controllen = sizeof(control.space);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(size));
        memcpy(CMSG_DATA(c), &size, sizeof(size));
    }
    const ssize_t sent = sendmsg(u->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

/*
 * Not every device can; other errors have nothing to do with it. Among them is -ENOBUFS, of a device's queue: the socket stays
 * writable then, so there is nothing to wait for, and the packets are lost as they would be further on.
 */
static bool is_about_runs(int r)
{
    return r == -EIO || r == -EINVAL || r == -EMSGSIZE || r == -EOPNOTSUPP || r == -ENOPROTOOPT;
}

unsigned udp_send(struct udp *u, const struct sockaddr *to, const struct udp_datagram *d,
                  unsigned n)
{
    unsigned done = 0;
    while (done < n && !u->full) {
        const unsigned run = run_len(u, d + done, n - done);
        const ssize_t r = send_run(u, to, d + done, run);
        if (r == -EAGAIN || r == -EWOULDBLOCK) {
            u->stats.full++;
            set_full(u, true);
            break;
        }
        if (run > 1 && is_about_runs((int)r)) {
            log_debug("socket %d: no segmentation (%s)", u->fd, error_name((int)r));
            u->plain = true;
            continue;
        }
        done += run;
        u->stats.packets_out += r < 0 ? 0 : run;
        u->stats.errors_out += r < 0 ? run : 0;
        u->stats.bytes_out += r < 0 ? 0 : (uint64_t)r;
    }
    return done;
}

/* ---- open and close ---- */

static void on_closed(uv_handle_t *handle)
{
    struct udp *u = handle->data;
    close(u->fd);
    free(u);
}

struct udp *udp_open(struct loop *l, const struct sockaddr *bind_to, const struct udp_ops *ops,
                     void *user, struct error *err)
{
    const int size = SEND_BUFFER;
    const int fd = socket(bind_to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, bind_to, sockaddr_len(bind_to)) < 0) {
        error_set(err, -errno, "udp", "cannot bind a UDP socket: %s", error_name(-errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    struct udp *u = mem_new(struct udp);
    u->loop = l;
    u->ops = *ops;
    u->user = user;
    u->fd = fd;
    const int r = uv_poll_init(loop_uv(l), &u->poll, fd);
    if (r < 0) {
        error_set(err, r, "udp", "cannot watch a UDP socket: %s", error_name(r));
        close(fd);
        free(u);
        return NULL;
    }
    u->poll.data = u;
    set_full(u, false);
    return u;
}

struct udp *udp_close(struct udp *u)
{
    if (u && !u->closed) {
        u->closed = true;
        uv_close((uv_handle_t *)&u->poll, on_closed);
    }
    return NULL;
}

void udp_local(const struct udp *u, struct sockaddr_storage *ret)
{
    socklen_t len = sizeof(*ret);
    memset(ret, 0, sizeof(*ret));
    (void)getsockname(u->fd, (struct sockaddr *)ret, &len);
}

void udp_stats(const struct udp *u, struct udp_stats *ret)
{
    *ret = u->stats;
}
