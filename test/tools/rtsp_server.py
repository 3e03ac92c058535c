#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# A camera for tests: rtsp_server.py PORT [USER PASSWORD] serves rtsp://127.0.0.1:PORT/cam, H.264 without B pictures and Opus,
# with digest authentication where a password is given. Says "ready" once it listens. Debian's python3, which has gi.
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

LAUNCH = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay name=pay0 pt=96"
    " audiotestsrc is-live=true ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2"
    " ! opusenc ! rtpopuspay name=pay1 pt=97 )"
)


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


Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory.new()
factory.set_shared(True)
factory.set_launch(LAUNCH)
if len(sys.argv) > 3:
    protect(server, factory, sys.argv[2], sys.argv[3])
server.get_mount_points().add_factory("/cam", factory)
if server.attach(None) == 0:
    sys.exit("cannot listen")
print("ready", flush=True)
GLib.MainLoop().run()
