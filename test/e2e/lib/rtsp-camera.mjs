// SPDX-License-Identifier: Apache-2.0
// An IP camera: the GStreamer RTSP server (test/tools/rtsp_server.py), H.264 320x240 with Opus or AAC, digest authentication.

import { fileURLToPath } from "node:url";

import { startProgram } from "./ffmpeg.mjs";
import { eventually, freePort, Hopeless, stopChild } from "./mast.mjs";

const SERVER = fileURLToPath(new URL("../../tools/rtsp_server.py", import.meta.url));

export class RtspCamera {
  // audio: "opus" or "aac"; tones: a track of sound for each, [] for a silent camera; password "": open to all.
  static async start({ user = "cam", password = "cam secret&100%", audio = "opus", tones = [440] } = {}) {
    const camera = new RtspCamera();
    Object.assign(camera, { user, password, audio, tones, port: await freePort() });
    await camera.run();
    return camera;
  }

  // Also after it ended: at the same port.
  async run() {
    const credentials = this.password ? [this.user, this.password] : [];
    const args = [SERVER, String(this.port), ...credentials, "--audio", this.audio, "--tones", this.tones.join(",")];
    this.child = startProgram("/usr/bin/python3", args);
    await eventually("the camera listens", () => {
      if (this.child.exitCode !== null) {
        throw new Hopeless(`the camera ended:\n${this.log}`);
      }
      return this.log.includes("ready");
    });
  }

  get log() {
    return this.child.log;
  }

  // Without what it takes to see it.
  get address() {
    return `rtsp://127.0.0.1:${this.port}/cam`;
  }

  get url() {
    const credentials = this.password ? `${encodeURIComponent(this.user)}:${encodeURIComponent(this.password)}@` : "";
    return this.address.replace("//", `//${credentials}`);
  }

  async kill() {
    await stopChild(this.child, "SIGKILL");
  }

  async close() {
    await this.kill();
  }
}
