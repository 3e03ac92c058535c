/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A blocking peer for tests of servers that run on their own loops: raw bytes over TCP, and other programs' output. Every
 * wait ends after AWAIT_MAX_MS with a failed assertion.
 */
#include "../await.h"

#include "base/bytes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

extern char **environ;

static inline int peer_connect(uint16_t port)
{
    const struct sockaddr_in sa = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

/* What the other side does not want to hear any more is not an error here. */
static inline void peer_send(int fd, struct bytes b)
{
    while (b.len > 0) {
        ssize_t n = send(fd, b.data, b.len, MSG_NOSIGNAL);
        if (n <= 0) {
            return;
        }
        b = BYTES(b.data + n, b.len - (size_t)n);
    }
}

static inline void peer_say(int fd, const char *text)
{
    peer_send(fd, BYTES_STR(text));
}

/* Appends what comes within ms; false at the end of the stream (or a reset) and when nothing came. */
static inline bool peer_read_some(int fd, struct out *o, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, ms) <= 0) {
        return false;
    }
    out_reserve(o, 65536);
    ssize_t n = recv(fd, o->data + o->len, 65536, 0);
    if (n <= 0) {
        return false;
    }
    o->len += (size_t)n;
    return true;
}

/* Reads until text has come, and forgets everything up to its end; what was there is returned until the next call. */
static inline const char *peer_expect(int fd, struct out *o, const char *text)
{
    static struct out taken;
    int64_t until = clock_mono_ns() + AWAIT_MAX_MS * NS_PER_MS;
    char *found;
    while (!(found = memmem(o->data ? o->data : (uint8_t *)"", o->len, text, strlen(text)))) {
        if (!peer_read_some(fd, o, 100) && clock_mono_ns() > until) {
            fail_msg("waited for \"%s\", got \"%s\"", text, out_str(o));
        }
    }
    size_t n = (size_t)((uint8_t *)found - o->data) + strlen(text);
    taken.len = 0;
    out_mem(&taken, o->data, n);
    memmove(o->data, o->data + n, o->len - n);
    o->len -= n;
    return out_str(&taken);
}

/* Reads to the end of the stream. */
static inline const char *peer_rest(int fd, struct out *o)
{
    while (peer_read_some(fd, o, AWAIT_MAX_MS)) {
    }
    return out_str(o);
}

/* The whole conversation: sends, and reads to the end. Freed by out_done(). */
static inline const char *peer_ask(uint16_t port, const char *text, struct out *o)
{
    int fd = peer_connect(port);
    o->len = 0;
    peer_say(fd, text);
    (void)peer_rest(fd, o);
    close(fd);
    return out_str(o);
}

/* Runs a program (NULL-terminated argv) and collects its output; returns its exit code. */
static inline int peer_run(const char *const *argv, struct out *o)
{
    int fds[2];
    pid_t pid;
    int status;
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
    int r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    assert_int_equal(r, 0);
    ssize_t n;
    do {
        out_reserve(o, 65536);
        n = read(fds[0], o->data + o->len, 65536);
        o->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
