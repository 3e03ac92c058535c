// SPDX-License-Identifier: Apache-2.0
// The machine's Janus with a configuration folder of its own, and a client that looks at it. Media goes by NET_ADDRESS: a test
// that uses it runs in a network of its own (netns.mjs). Janus rewrites its files for what is permanent, so that a restart
// finds it again.

import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startProgram } from "./ffmpeg.mjs";
import { eventually, freePort, Hopeless, PATIENCE_MS, stopChild } from "./mast.mjs";
import { NET_ADDRESS } from "./netns.mjs";
import { socketsOf } from "./world.mjs";
import { WebSocketClient } from "./ws.mjs";

const MODULES = ["/usr/lib/x86_64-linux-gnu/janus", "/usr/lib/aarch64-linux-gnu/janus", "/usr/lib/janus"].find((m) => existsSync(m));
const UNUSED_PLUGINS = ["audiobridge", "duktape", "echotest", "lua", "nosip", "recordplay", "sip", "textroom", "videocall", "voicemail"];
const UNUSED_TRANSPORTS = ["http", "mqtt", "nanomsg", "pfunix", "rabbitmq"];
const EPHEMERAL = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s/)[0]);
const libraries = (names) => names.map((n) => `libjanus_${n}.so`).join(",");

// libconfig's notation.
function jcfg(value) {
  if (Array.isArray(value)) {
    return `(${value.map(jcfg).join(", ")})`;
  }
  return typeof value === "object" ? `{\n${settings(value)}}` : JSON.stringify(value);
}

function settings(object) {
  return Object.entries(object)
    .map(([name, v]) => `${name} = ${jcfg(v)}\n`)
    .join("");
}

// An error that Janus answered: its words, and its number in .code.
export class JanusError extends Error {
  constructor(what, code, reason) {
    super(`${what}: ${code} ${reason}`);
    this.code = code;
    this.reason = reason;
  }
}

// One WebSocket to the API or, with an adminSecret, to the admin API.
export class JanusClient {
  #ws;
  #waiting = new Map();
  #handles = new Map();
  #next = 1;
  #extra;
  #keepalive;
  events = []; // all that came unasked, in order
  closed = false;
  answerMs = PATIENCE_MS;

  static async connect(url, { adminSecret, apiSecret } = {}) {
    const client = new JanusClient();
    const protocol = adminSecret ? "janus-admin-protocol" : "janus-protocol";
    client.#extra = { ...(adminSecret && { admin_secret: adminSecret }), ...(apiSecret && { apisecret: apiSecret }) };
    client.#ws = await WebSocketClient.connect(url.replace(/^ws:/, "http:"), { headers: { "sec-websocket-protocol": protocol } });
    client.#ws.on("text", (text) => client.#handle(JSON.parse(text)));
    client.#ws.on("close", () => client.#lost());
    return client;
  }

  #lost() {
    this.closed = true;
    clearInterval(this.#keepalive);
    for (const { fail, message } of this.#waiting.values()) {
      fail(new Error(`${message.janus}: Janus closed the connection`));
    }
    this.#waiting.clear();
  }

  #handle(reply) {
    const asked = this.#waiting.get(reply.transaction);
    if (!asked) {
      this.events.push(reply);
      this.#handles.get(reply.sender)?.events.push(reply);
    } else if (reply.janus !== "ack" || asked.message.janus === "keepalive") {
      // The ack of a request whose answer is an event says nothing.
      this.#waiting.delete(reply.transaction);
      asked.done(reply);
    }
  }

  // The answer to a message, whatever it says; throws JanusError for one of Janus itself.
  async ask(message) {
    const transaction = `e2e-${this.#next++}`;
    const reply = await new Promise((done, fail) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(transaction);
        fail(new Error(`${JSON.stringify(message)}: no answer in ${this.answerMs} ms`));
      }, this.answerMs);
      const settle = (then) => (value) => {
        clearTimeout(timer);
        then(value);
      };
      this.#waiting.set(transaction, { done: settle(done), fail: settle(fail), message });
      if (this.closed) {
        this.#lost();
      } else {
        this.#ws.sendText(JSON.stringify({ ...message, transaction, ...this.#extra }));
      }
    });
    if (reply.janus === "error") {
      throw new JanusError(message.janus, reply.error.code, reply.error.reason);
    }
    return reply;
  }

  // A session, kept alive as long as the connection is there.
  async session() {
    this.sessionId = (await this.ask({ janus: "create" })).data.id;
    this.#keepalive = setInterval(() => this.ask({ janus: "keepalive", session_id: this.sessionId }).catch(() => {}), 2000);
    return this.sessionId;
  }

  // {id, events, ask(body, jsep), detach()} of "streaming" or "videoroom"; ask() gives the plugin's data.
  async attach(plugin) {
    if (!this.sessionId) {
      await this.session();
    }
    const session_id = this.sessionId;
    const { id } = (await this.ask({ janus: "attach", session_id, plugin: `janus.plugin.${plugin}` })).data;
    const handle = {
      id,
      events: [],
      ask: async (body, jsep) => pluginData(body, (await this.ask({ janus: "message", session_id, handle_id: id, body, jsep })).plugindata.data),
      detach: () => this.ask({ janus: "detach", session_id, handle_id: id }),
    };
    this.#handles.set(id, handle);
    return handle;
  }

  close() {
    this.#ws.destroy();
    this.#lost();
  }
}

function pluginData(body, data) {
  if (data.error_code) {
    throw new JanusError(body.request, data.error_code, data.error);
  }
  return data;
}

let started = 0; // each has ranges of its own

export class Janus {
  #admin;

  // stringIds; sessionTimeout, reclaim: seconds; apiSecret; tls: {cert, key} of files, for wss too; mountpoints, rooms: {name:
  // settings} that are in its files from the start, as permanent ones are; general, nat, media, streaming, videoroom: more
  // settings of those sections.
  static async start(options = {}) {
    const janus = new Janus();
    const base = 20000 + 2000 * (started++ % 5);
    Object.assign(janus, {
      options,
      adminSecret: "admin-api-secret",
      streamingKey: "stream-admin",
      roomKey: "room-admin",
      apiSecret: options.apiSecret,
      roomSecrets: {}, // room: secret, for who lists forwarders
      icePorts: [base, base + 999],
      mediaPorts: [base + 1000, base + 1999],
      dir: await mkdtemp(join(tmpdir(), "mast-janus-")),
      port: await freePort(),
      securePort: await freePort(),
      adminPort: await freePort(),
    });
    await janus.#configure();
    try {
      await janus.run();
    } catch (e) {
      await janus.close();
      throw e;
    }
    return janus;
  }

  async #configure() {
    const o = this.options;
    const ids = { string_ids: o.stringIds ?? false };
    const folders = Object.fromEntries(["plugins", "transports", "events", "loggers"].map((n) => [`${n}_folder`, `${MODULES}/${n}`]));
    const files = {
      janus: {
        general: {
          configs_folder: this.dir,
          ...folders,
          debug_level: 4,
          debug_timestamps: true,
          debug_colors: false,
          admin_secret: this.adminSecret,
          session_timeout: o.sessionTimeout ?? 8,
          reclaim_session_timeout: o.reclaim ?? 6,
          server_name: "e2e",
          ...(o.apiSecret && { api_secret: o.apiSecret }),
          ...o.general,
        },
        certificates: {},
        media: { ipv6: false, rtp_port_range: this.icePorts.join("-"), ...o.media },
        nat: { ice_lite: false, full_trickle: false, ignore_mdns: true, ice_enforce_list: NET_ADDRESS, ...o.nat },
        plugins: { disable: libraries(UNUSED_PLUGINS) },
        transports: { disable: libraries(UNUSED_TRANSPORTS) },
        loggers: { disable: libraries(["jsonlog"]) },
        events: { broadcast: false },
      },
      "janus.transport.websockets": {
        general: {
          json: "compact",
          ...{ ws: true, ws_port: this.port, ws_interface: "lo", ws_ip: "127.0.0.1" },
          ...{ wss: Boolean(o.tls), wss_port: this.securePort, wss_interface: "lo", wss_ip: "127.0.0.1" },
        },
        certificates: o.tls ? { cert_pem: o.tls.cert, cert_key: o.tls.key } : {},
        admin: { admin_ws: true, admin_ws_port: this.adminPort, admin_ws_interface: "lo", admin_ws_ip: "127.0.0.1", admin_wss: false },
      },
      "janus.plugin.streaming": {
        general: { admin_key: this.streamingKey, rtp_port_range: this.mediaPorts.join("-"), ...ids, ...o.streaming },
        ...o.mountpoints,
      },
      "janus.plugin.videoroom": {
        general: { admin_key: this.roomKey, lock_rtp_forward: true, ...ids, ...o.videoroom },
        ...o.rooms,
      },
    };
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(this.dir, `${name}.jcfg`), settings(content));
    }
  }

  // Also after it ended: with the same files, at the same ports.
  async run() {
    if (!MODULES) {
      throw new Error("Janus is not installed (package janus)");
    }
    this.child = startProgram("janus", ["-F", this.dir]);
    this.#admin = await eventually("Janus listens", async () => {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Hopeless(`Janus ended before it listened:\n${this.child.log.slice(-3000)}`);
      }
      const admin = await JanusClient.connect(`ws://127.0.0.1:${this.adminPort}`, { adminSecret: this.adminSecret });
      (await this.client()).close(); // the other port too
      return admin;
    });
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  get secureUrl() {
    return `wss://127.0.0.1:${this.securePort}`;
  }

  get pid() {
    return this.child.pid;
  }

  get log() {
    return this.child.log;
  }

  get alive() {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  // For afterEach: some requests crash Janus, and that is to be seen where it happened.
  check() {
    if (!this.alive) {
      throw new Error(`Janus has ended (${this.child.signalCode ?? this.child.exitCode}):\n${this.log.slice(-6000)}`);
    }
  }

  client(url = this.url) {
    return JanusClient.connect(url, { apiSecret: this.apiSecret });
  }

  // Requests of a plugin without a session of ours: they change nothing that is counted. Asynchronous ones need attach().
  async #plugin(plugin, request) {
    const { response } = await this.#admin.ask({ janus: "message_plugin", plugin: `janus.plugin.${plugin}`, request });
    return pluginData(request, response);
  }

  streaming(request) {
    return this.#plugin("streaming", { admin_key: this.streamingKey, ...request });
  }

  videoroom(request) {
    return this.#plugin("videoroom", { admin_key: this.roomKey, ...request });
  }

  admin(request) {
    return this.#admin.ask(request);
  }

  async mountpoints() {
    return (await this.streaming({ request: "list" })).list;
  }

  async mountpoint(id, secret) {
    return (await this.streaming({ request: "info", id, secret })).info;
  }

  async rooms() {
    return (await this.videoroom({ request: "list" })).list;
  }

  async participants(room) {
    return (await this.videoroom({ request: "listparticipants", room })).participants;
  }

  // [{publisher, stream_id, host, port, type, ...}] of a room.
  async forwarders(room, secret = this.roomSecrets[room]) {
    const { publishers } = await this.videoroom({ request: "listforwarders", room, secret });
    return publishers.flatMap((p) => p.forwarders.map((f) => ({ publisher: p.publisher_id, ...f })));
  }

  async sessions() {
    return (await this.admin({ janus: "list_sessions" })).sessions;
  }

  // The plugin of each handle of a session.
  async handles(session_id) {
    const { handles } = await this.admin({ janus: "list_handles", session_id });
    return Promise.all(handles.map(async (handle_id) => (await this.admin({ janus: "handle_info", session_id, handle_id })).info.plugin));
  }

  // The UDP ports of mountpoints, sorted. Not those of WebRTC connections, nor those that forwards are sent from, of any number:
  // the first one of a publisher stays as long as that one does.
  mediaUdpPorts() {
    const [from, to] = this.icePorts;
    return socketsOf(this.pid)
      .filter((s) => s.protocol === "udp" && s.port > 0 && s.port < EPHEMERAL && (s.port < from || s.port > to))
      .map((s) => s.port)
      .sort((a, b) => a - b);
  }

  async kill() {
    await stopChild(this.child, "SIGKILL");
  }

  async stop() {
    await stopChild(this.child, "SIGTERM", 5000);
  }

  async close() {
    this.#admin?.close();
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}
