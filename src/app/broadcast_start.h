/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For `mast broadcast start` and `plan`: the request of a call, and how its start goes, step by step. */
#include "app/api_call.h"
#include "app/command.h"

#define BROADCASTS "/api/v1/broadcasts"

extern const struct command_option broadcast_start_options[];
extern const struct command_option broadcast_plan_options[];
/* The JSON document that a call asks for: -f FILE, or a source and its options. 0, or an exit code, complained about. */
int broadcast_request_of(const struct args *a, struct out *ret);
/* Starts it, prints each step as it comes; the exit code. */
int broadcast_start_run(const struct args *a);
