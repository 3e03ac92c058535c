/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Random numbers from the kernel, good enough for keys. They abort when the kernel gives none. Any thread. */
#include <stddef.h>
#include <stdint.h>

void random_bytes(void *p, size_t n);
uint64_t random_u64(void);
/* Uniform in 0..n-1; n > 0. */
uint64_t random_below(uint64_t n);

/* n characters of [A-Za-z0-9], 5.95 bits each (22 are 128 bits), and a NUL into buf. Returns buf. */
char *random_id(char *buf, size_t n);

/* A version 4 UUID (RFC 9562) as text. Returns buf. */
#define RANDOM_UUID_MAX 37
char *random_uuid(char *buf);
