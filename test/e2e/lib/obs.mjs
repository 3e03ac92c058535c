// SPDX-License-Identifier: Apache-2.0
// OBS Studio without a screen: under Xvfb, drawing with Mesa's software renderer, with a profile and a scene that are written
// before it starts, and driven through its own WebSocket server (obs-websocket 5). That one listens on every address and OBS
// looks for updates, so tests run it in a network of its own (netns.mjs).

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startProgram } from "./ffmpeg.mjs";
import { eventually, freePort, stopChild } from "./mast.mjs";
import { WebSocketClient } from "./ws.mjs";

// A screen of its own; resolves with {display, close}.
export async function startScreen() {
  // -displayfd lets the server choose a free number and tell it.
  const child = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1024x768x24", "-nolisten", "tcp"], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const display = await new Promise((done, fail) => {
    let text = "";
    child.stdio[3].on("data", (d) => {
      text += d;
      if (text.endsWith("\n")) {
        done(`:${text.trim()}`);
      }
    });
    child.on("error", fail);
    child.on("exit", () => fail(new Error("Xvfb ended")));
  });
  return { display, close: () => stopChild(child) };
}

const globalIni = (port, password) => `[General]
FirstRun=true
EnableAutoUpdates=false
[Basic]
Profile=Test
ProfileDir=Test
SceneCollection=Test
SceneCollectionFile=Test
ConfigOnNewProfile=false
[BasicWindow]
WarnBeforeStartingStream=false
WarnBeforeStoppingStream=false
SysTrayEnabled=false
[OBSWebSocket]
FirstLoad=false
ServerEnabled=true
ServerPort=${port}
AlertsEnabled=false
AuthRequired=${password ? "true" : "false"}
ServerPassword=${password}
`;

// What OBS has in a new profile (simple output, x264 veryfast with its B pictures), but for a size that two shared cores can
// draw and encode, and a quick return after a lost connection.
const BASIC_INI = `[General]
Name=Test
[Video]
BaseCX=640
BaseCY=360
OutputCX=640
OutputCY=360
FPSType=0
FPSCommon=30
[Output]
Mode=Simple
Reconnect=true
RetryDelay=1
MaxRetries=20
[SimpleOutput]
VBitrate=1500
ABitrate=160
StreamEncoder=x264
Preset=veryfast
`;

// A moving picture and a tone.
const SCENES = {
  name: "Test",
  current_scene: "Scene",
  current_program_scene: "Scene",
  scene_order: [{ name: "Scene" }],
  sources: [
    { id: "scene", name: "Scene", settings: { id_counter: 1, items: [{ id: 1, name: "clock", visible: true }] } },
    {
      id: "ffmpeg_source",
      name: "clock",
      settings: {
        is_local_file: false,
        input: "testsrc2=size=640x360:rate=30[out0];sine=frequency=440:sample_rate=48000[out1]",
        input_format: "lavfi",
      },
    },
  ],
};

const hash = (text) => createHash("sha256").update(text).digest("base64");

// Requests and events of obs-websocket 5 (its protocol.md): op 0 Hello, 1 Identify, 2 Identified, 5 Event, 6 Request, 7 Response.
class Remote {
  #ws;
  #waiting = new Map();
  #next = 1;
  #password = "";
  streamState = "OBS_WEBSOCKET_OUTPUT_STOPPED";

  static async connect(port, password) {
    const remote = new Remote();
    remote.#password = password;
    const ws = await WebSocketClient.connect(`http://127.0.0.1:${port}/`);
    remote.#ws = ws;
    await new Promise((done, fail) => {
      ws.on("close", () => fail(new Error("OBS closed the connection")));
      ws.on("text", (text) => remote.#handle(JSON.parse(text), done));
    });
    return remote;
  }

  #handle({ op, d }, identified) {
    if (op === 0) {
      const { salt, challenge } = d.authentication ?? {};
      const authentication = salt && hash(hash(this.#password + salt) + challenge);
      this.#ws.sendText(JSON.stringify({ op: 1, d: { rpcVersion: 1, authentication } }));
    } else if (op === 2) {
      identified();
    } else if (op === 5 && d.eventType === "StreamStateChanged") {
      this.streamState = d.eventData.outputState;
    } else if (op === 7) {
      const { done, fail } = this.#waiting.get(d.requestId);
      this.#waiting.delete(d.requestId);
      if (d.requestStatus.result) {
        done(d.responseData);
      } else {
        fail(new Error(`${d.requestType}: ${JSON.stringify(d.requestStatus)}`));
      }
    }
  }

  ask(requestType, requestData) {
    const requestId = String(this.#next++);
    this.#ws.sendText(JSON.stringify({ op: 6, d: { requestType, requestId, requestData } }));
    return new Promise((done, fail) => this.#waiting.set(requestId, { done, fail }));
  }

  close() {
    this.#ws.destroy();
  }
}

const STARTED = "OBS_WEBSOCKET_OUTPUT_STARTED";
const STOPPED = "OBS_WEBSOCKET_OUTPUT_STOPPED";

export class Obs {
  static async start(screen, { password = "" } = {}) {
    const obs = new Obs();
    obs.screen = screen;
    obs.password = password;
    obs.home = await mkdtemp(join(tmpdir(), "mast-obs-"));
    obs.port = await freePort();
    const folder = join(obs.home, ".config/obs-studio");
    await mkdir(join(folder, "basic/profiles/Test"), { recursive: true });
    await mkdir(join(folder, "basic/scenes"), { recursive: true });
    await mkdir(join(obs.home, "run"), { mode: 0o700 });
    await writeFile(join(folder, "global.ini"), globalIni(obs.port, password));
    await writeFile(join(folder, "basic/profiles/Test/basic.ini"), BASIC_INI);
    await writeFile(join(folder, "basic/scenes/Test.json"), JSON.stringify(SCENES));
    await obs.run();
    return obs;
  }

  // Also after it ended: with the same settings, at the same port.
  async run() {
    const args = ["--multi", "--minimize-to-tray", "--disable-shutdown-check", "--profile", "Test", "--collection", "Test"];
    this.child = startProgram("obs", args, {
      env: {
        PATH: process.env.PATH,
        LANG: "C.UTF-8",
        HOME: this.home,
        XDG_CONFIG_HOME: join(this.home, ".config"),
        XDG_RUNTIME_DIR: join(this.home, "run"),
        DISPLAY: this.screen.display,
        LIBGL_ALWAYS_SOFTWARE: "1",
        GALLIUM_DRIVER: "llvmpipe",
        QT_QPA_PLATFORM: "xcb",
      },
    });
    this.remote = await eventually("OBS listens", () => Remote.connect(this.port, this.password), { every: 200 });
  }

  get log() {
    return this.child.log;
  }

  // What the Stream page of the settings has for a custom server: server, key, use_auth, username, password.
  service(settings) {
    return this.remote.ask("SetStreamServiceSettings", {
      streamServiceType: "rtmp_custom",
      streamServiceSettings: { bwtest: false, use_auth: false, ...settings },
    });
  }

  // Its encoder makes no B pictures, or again as many as it does by itself, from the next start of its stream on.
  async noBPictures(none = true) {
    const values = { UseAdvanced: String(none), x264Settings: none ? "bframes=0" : "" };
    for (const [parameterName, parameterValue] of Object.entries(values)) {
      await this.remote.ask("SetProfileParameter", { parameterCategory: "SimpleOutput", parameterName, parameterValue });
    }
  }

  // What it has there now.
  async settings() {
    return (await this.remote.ask("GetStreamServiceSettings")).streamServiceSettings;
  }

  // The button answers at once, whatever comes of it; the state says what did.
  startStream() {
    return this.remote.ask("StartStream");
  }

  started() {
    return eventually("OBS streams", () => this.remote.streamState === STARTED);
  }

  stopped() {
    return eventually("OBS has stopped", () => this.remote.streamState === STOPPED);
  }

  async stopStream() {
    await this.remote.ask("StopStream");
    await this.stopped();
  }

  status() {
    return this.remote.ask("GetStreamStatus");
  }

  // As a crash: run() starts it again, with what it had saved.
  async kill() {
    this.remote?.close();
    await stopChild(this.child, "SIGKILL");
  }

  async close() {
    this.remote?.close();
    await stopChild(this.child, "SIGTERM", 10000);
    await rm(this.home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
