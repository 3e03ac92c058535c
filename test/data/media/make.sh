#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# How the fixtures of this folder were made; they are committed so that unit tests need no encoder. ffmpeg 5.1, Debian 12.
set -e
cd "$(dirname "$0")"
ff="ffmpeg -v error -y -bitexact -f lavfi -i testsrc2=s=192x108:r=25:d=1.2 -f lavfi -i sine=440:d=1.2:r=48000 -fflags +bitexact -pix_fmt yuv420p"
$ff -c:v libx264 -preset medium -bf 2 -g 15 -b:v 60k -c:a aac -b:a 32k h264_aac.mp4
# Open GOP: CRA pictures with RASL pictures behind them.
$ff -c:v libx265 -x265-params log-level=none:bframes=3:open-gop=1:keyint=12:min-keyint=12 -tag:v hvc1 -b:v 60k -c:a aac -ac 2 -b:a 32k hevc_aac.mp4
$ff -c:v libsvtav1 -preset 10 -g 15 -b:v 60k -c:a libopus -b:a 24k av1_opus.mp4
$ff -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 15 -b:v 60k -c:a libmp3lame -b:a 32k vp9_mp3.mp4
