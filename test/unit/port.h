/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Ports for programs that a test starts, and that listen some moments later. Below what the kernel gives to sockets that
 * ask for any (32768, unless somebody set net.ipv4.ip_local_port_range), above what test Januses take for media, and beside
 * those of test/e2e. A claim keeps each to one test process, until that ends: the name of an abstract socket. Where only a
 * refusal is wanted, a socket that is bound and does not listen is simpler.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT_FROM 22000
#define PORT_N    8000

/* The descriptor stays open, and with it the claim. */
static inline bool port_claim(unsigned port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "mast-test-port-%u", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (bind(fd, (struct sockaddr *)&name, len) == 0) {
        return true;
    }
    close(fd);
    return false;
}

static inline bool port_is_free(unsigned port, int type)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool is_free = bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
    close(fd);
    return is_free;
}

/* Of 127.0.0.1, for SOCK_STREAM or SOCK_DGRAM; never the same one twice. */
static inline uint16_t port_get(int type)
{
    unsigned first = (unsigned)getpid() * 16; /* where others have probably not begun */
    for (unsigned i = 0; i < PORT_N; i++) {
        unsigned port = PORT_FROM + (first + i) % PORT_N;
        if (port_claim(port) && port_is_free(port, type)) {
            return (uint16_t)port;
        }
    }
    fail_msg("all of the ports %d to %d are taken", PORT_FROM, PORT_FROM + PORT_N - 1);
    return 0;
}
