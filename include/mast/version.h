/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The version of libmast, and what it was built with. Any thread. There is no ABI promise before 1.0.
 */

#if defined(__GNUC__)
#define MAST_API __attribute__((visibility("default")))
#else
#define MAST_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0"; static. */
MAST_API const char *mast_version(void);

#ifdef __cplusplus
}
#endif
