/* SPDX-License-Identifier: Apache-2.0 */
#include <mast/version.h>

const char *mast_version(void)
{
    return MAST_VERSION;
}
