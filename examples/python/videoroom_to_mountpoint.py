#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A publisher of a VideoRoom becomes a Streaming mountpoint: videoroom_to_mountpoint.py ROOM PUBLISHER MOUNTPOINT"""
import sys

from mast_http import Mast, run_until_asked

if len(sys.argv) != 4:
    sys.exit(__doc__)
room, publisher, mountpoint = map(int, sys.argv[1:])
sys.exit(
    run_until_asked(
        Mast(),
        source_kind="videoroom",
        relay_kind="none",
        room_id=room,
        publisher_id=publisher,
        mountpoint_spec={
            "id": mountpoint,
            "media": [
                {"type": "video", "mid": "v", "port": 0, "pt": 96, "codec": "h264"},
                {"type": "audio", "mid": "a", "port": 0, "pt": 111, "codec": "opus"},
            ],
        },
    )
)
