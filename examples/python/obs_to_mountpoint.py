#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""OBS publishes to SRS, ffmpeg relays from there to a mountpoint: obs_to_mountpoint.py SRS-URL STREAM-KEY MOUNTPOINT

OBS_PASSWORD and OBS_PORT (4455) are those of its WebSocket server.
"""
import os
import sys

from mast_http import Mast, run_until_asked

if len(sys.argv) != 4:
    sys.exit(__doc__)
sys.exit(
    run_until_asked(
        Mast(),
        source_kind="obs",
        relay_kind="ffmpeg",
        mountpoint_id=int(sys.argv[3]),
        host="127.0.0.1",
        video_port=6004,
        audio_port=6006,
        srs={"rtmp_url": sys.argv[1], "app": "live", "stream_key": sys.argv[2]},
        obs_host="127.0.0.1",
        obs_port=int(os.environ.get("OBS_PORT", "4455")),
        obs_password=os.environ.get("OBS_PASSWORD"),
    )
)
