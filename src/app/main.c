/* SPDX-License-Identifier: Apache-2.0 */
/* The program `mast`. */
#include <stdio.h>

int main(void)
{
    puts("mast");
    return 0;
}
