/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Secrets that a configuration names instead of holding them (design 7, class "reference"):
 *
 *     file:/etc/mast/jwt        the file's contents, without the newline at its end
 *     env:MAST_JWT              an environment variable
 *     credential:jwt            a systemd credential: a file in $CREDENTIALS_DIRECTORY
 *
 * Reads files, so not on a media loop.
 */
#include "base/error.h"

#include <stdbool.h>

#define SECRET_REF_MAX 4096 /* bytes of a secret */

bool secret_is_ref(const char *text);
/* What text names, or text itself when it is no reference; the caller wipes and frees. err never holds the secret. */
int secret_resolve(const char *text, char **ret, struct error *err);
