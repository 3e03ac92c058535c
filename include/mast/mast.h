/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The umbrella header of libmast: one header per part. */
#include <mast/broadcast.h>
#include <mast/core.h>
#include <mast/janus.h>
#include <mast/janus_backend.h>
#include <mast/lifecycle.h>
#include <mast/obs.h>
#include <mast/process.h>
#include <mast/relay.h>
#include <mast/service.h>
#include <mast/version.h>
