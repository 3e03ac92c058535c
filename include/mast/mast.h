/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The umbrella header of libmast: one header per part. */
#include <mast/version.h>
