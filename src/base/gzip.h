/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * gzip (RFC 1952) of texts of ours, by zlib. Not for what holds a secret beside something a stranger can choose: its length
 * would tell of the secret (BREACH). Any thread.
 */
#include "base/buf.h"

/* In 64 KiB of memory while it runs, about 20 ns a byte. NULL: no memory, or it would not become shorter. */
struct buf *gzip_make(struct bytes text);
