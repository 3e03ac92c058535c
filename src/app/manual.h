/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The manual pages in man(7), from the tables of the commands and of the configuration: mast(1), a page for each command,
 * mast.yml(5). Made when mast is built, by `mast help --man NAME`.
 */
#include "base/bytes.h"

/* name: "mast", a command's, or "mast.yml". -ENOENT when there is no such page. */
int manual_write(struct out *o, const char *name);
