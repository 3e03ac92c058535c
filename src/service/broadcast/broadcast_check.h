/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the check share. */
#include "service/broadcast/broadcast_models.h"

/* One id that stands in two places: either may be absent, then both are the one that is there. -EINVAL when they differ. */
int broadcast_unite_ids(struct model_id *a, struct model_id *b, const char *where,
                        const char *other, struct error *err);
/* The flat fields of 1.0.0 into mountpoint_spec; clears them and sets the warnings. */
int broadcast_flat_map(struct broadcast_request *r, struct error *err);
