/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What every cmocka file needs, in the order cmocka wants it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
