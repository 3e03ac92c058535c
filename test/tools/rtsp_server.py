#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# A camera for tests: rtsp_server.py PORT [USER PASSWORD] [--audio opus|aac] [--tones 440,880] serves rtsp://127.0.0.1:PORT/cam,
# H.264 without B pictures and a track of sound for each tone, with digest authentication where a password is given. Says
# "ready" once it listens. Debian's python3, which has gi.
import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

VIDEO = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay name=pay0 pt=96"
)
SOUND = "audiotestsrc is-live=true freq={hz} ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2 ! {coder} name=pay{n} pt={pt}"
CODERS = {"opus": "opusenc ! rtpopuspay", "aac": "voaacenc ! aacparse ! rtpmp4gpay"}


def protect(server, factory, user, password):
    auth = GstRtspServer.RTSPAuth.new()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken.new()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions.new()
    for what in ("access", "construct"):
        permissions.add_permission_for_role("viewer", "media.factory." + what, True)
    factory.set_permissions(permissions)


parser = argparse.ArgumentParser()
parser.add_argument("port")
parser.add_argument("credentials", nargs="*")
parser.add_argument("--audio", choices=CODERS, default="opus")
parser.add_argument("--tones", default="440")
args = parser.parse_args()

branches = [VIDEO] + [
    SOUND.format(hz=hz, coder=CODERS[args.audio], n=n, pt=96 + n) for n, hz in enumerate(filter(None, args.tones.split(",")), 1)
]
Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(args.port)
factory = GstRtspServer.RTSPMediaFactory.new()
factory.set_shared(True)
factory.set_launch("( " + " ".join(branches) + " )")
if args.credentials:
    protect(server, factory, *args.credentials)
server.get_mount_points().add_factory("/cam", factory)
if server.attach(None) == 0:
    sys.exit("cannot listen")
print("ready", flush=True)
GLib.MainLoop().run()
