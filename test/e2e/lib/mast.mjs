// SPDX-License-Identifier: Apache-2.0
// Starts the real program on free loopback ports with a folder of its own, and stops it by pid.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { get as getTls } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const LOG_MAX = 64 << 20; // characters that are kept of a server's log

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");
const BIN = process.env.MAST_BIN ?? join(ROOT, "build/src/app/mast");

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// How long anything may take that a test waits for: what only a broken program needs, however slow the machine.
export const PATIENCE_MS = 60000;

// How long a test may take in all, of which some waits are a part.
export const TEST_MS = 5 * PATIENCE_MS;

// Thrown by a check: waiting longer would not help.
export class Hopeless extends Error {}

// Asks until check() gives something truthy, and returns that.
export async function eventually(what, check, { timeout = PATIENCE_MS, every = 50 } = {}) {
  const until = Date.now() + timeout;
  let last;
  for (;;) {
    try {
      last = await check();
      if (last) {
        return last;
      }
    } catch (e) {
      if (e instanceof Hopeless) {
        throw e;
      }
      last = e;
    }
    if (Date.now() > until) {
      throw new Error(`${what}: not within ${timeout} ms (last: ${last})`);
    }
    await sleep(every);
  }
}

// Below what the kernel gives to connections that go out (from 32768 on, unless somebody set net.ipv4.ip_local_port_range) and
// above what Janus takes (lib/janus.mjs) and the unit tests (test/unit/port.h). Each lane of tools/test-e2e has
// a half of it, and a process goes through that from a point of its own, so that no port is given twice before the one who asked
// for it could listen.
const PORTS = { from: 30000, half: 1350 };
const firstPort = PORTS.from + (process.env.TEST_LANE === "beside" ? PORTS.half : 0);
let portsGiven = Math.floor(Math.random() * PORTS.half);

function canListen(port) {
  const server = createServer();
  return new Promise((done) => {
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}

export async function freePort() {
  for (;;) {
    const port = firstPort + (portsGiven++ % PORTS.half);
    if (await canListen(port)) {
      return port;
    }
  }
}

// The exit of a child: {code, signal}.
export function exitOf(child) {
  if (child.exitCode !== null || child.signalCode !== null) {
    return Promise.resolve({ code: child.exitCode, signal: child.signalCode });
  }
  return new Promise((done) => child.once("exit", (code, signal) => done({ code, signal })));
}

// undefined, when there is no child: a before() that failed leaves none.
export async function stopChild(child, signal = "SIGTERM", graceMs = PATIENCE_MS) {
  if (!child) {
    return undefined;
  }
  if (child.exitCode !== null || child.signalCode !== null) {
    return exitOf(child);
  }
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  const exit = await exitOf(child);
  clearTimeout(timer);
  return exit;
}

function yaml(value, indent = "") {
  return Object.entries(value)
    .map(([key, v]) =>
      typeof v === "object" && v !== null && !Array.isArray(v)
        ? `${indent}${key}:\n${yaml(v, `${indent}  `)}`
        : `${indent}${key}: ${JSON.stringify(v)}\n`,
    )
    .join("");
}

function merge(into, from) {
  for (const [key, v] of Object.entries(from)) {
    const both = typeof v === "object" && v !== null && typeof into[key] === "object";
    into[key] = both ? merge({ ...into[key] }, v) : v;
  }
  return into;
}

// What the server reads of our own environment: the variables of the tests (MAST_BIN, MAST_LONG, ...) are not its settings.
function environment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("MAST_") || name === "MAST_LIBEXEC_DIR"));
}

export class Mast {
  // config is laid over the defaults of the tests; args follow `mast serve`.
  static async start({ config = {}, args = [], env = {} } = {}) {
    const mast = new Mast();
    mast.dir = await mkdtemp(join(tmpdir(), "mast-e2e-"));
    mast.httpPort = await freePort();
    mast.rtmpPort = await freePort();
    mast.rtmpsPort = await freePort();
    mast.config = merge(
      {
        log: { level: "debug" },
        state_dir: mast.dir,
        http: { port: mast.httpPort, web_dir: join(ROOT, "web/dist") },
        rtmp: { port: mast.rtmpPort },
        rtmps: { port: mast.rtmpsPort },
      },
      config,
    );
    mast.args = args;
    mast.env = env;
    try {
      await mast.run();
    } catch (e) {
      await stopChild(mast.child, "SIGKILL");
      await rm(mast.dir, { recursive: true, force: true });
      throw e;
    }
    return mast;
  }

  // Also after stop(): the same ports and the same folder, as a restarted server has.
  async run() {
    await this.writeConfig();
    this.log = "";
    this.logCut = 0; // characters that are gone from its beginning
    this.child = spawn(BIN, ["serve", "--config", this.configFile, ...this.args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...environment(), ...this.env },
    });
    const keep = (data) => {
      this.log += data;
      if (this.log.length > LOG_MAX) {
        this.logCut += LOG_MAX / 2;
        this.log = this.log.slice(LOG_MAX / 2);
      }
    };
    this.child.stdout.on("data", keep);
    this.child.stderr.on("data", keep);
    this.child.on("error", (e) => keep(`${e}\n`));
    let ended = false;
    this.child.once("close", () => (ended = true));
    await eventually(
      "mast is ready",
      async () => {
        if (ended) {
          throw new Hopeless(`mast ended before it was ready:\n${this.log.trimEnd().split("\n").slice(-20).join("\n")}`);
        }
        return (await this.fetch("/readyz")).status === 200;
      },
    );
  }

  // For what must not be in there.
  get wholeLog() {
    if (this.logCut > 0) {
      throw new Error(`the first ${this.logCut} characters of the log are gone`);
    }
    return this.log;
  }

  get configFile() {
    return join(this.dir, "mast.yml");
  }

  async writeConfig() {
    await writeFile(this.configFile, yaml(this.config));
  }

  get pid() {
    return this.child.pid;
  }

  get url() {
    const tls = this.config.http.tls;
    return `${tls?.enabled && !tls.plain ? "https" : "http"}://127.0.0.1:${this.httpPort}`;
  }

  // fetch() that takes any certificate: {status, headers, text}.
  fetch(path, options = {}) {
    if (this.url.startsWith("http:")) {
      return fetch(this.url + path, options).then(async (r) => ({ status: r.status, headers: Object.fromEntries(r.headers), text: await r.text() }));
    }
    return new Promise((done, fail) => {
      const asked = getTls(this.url + path, { rejectUnauthorized: false, agent: false, ...options }, (r) => {
        let text = "";
        r.on("data", (d) => (text += d));
        r.on("end", () => done({ status: r.statusCode, headers: r.headers, text }));
        r.on("error", fail);
      });
      asked.on("error", fail).end();
    });
  }

  rtmp(path) {
    return `rtmp://127.0.0.1:${this.rtmpPort}/${path}`;
  }

  async get(path) {
    const reply = await this.fetch(path);
    if (reply.status !== 200) {
      throw new Error(`GET ${path}: ${reply.status}`);
    }
    return JSON.parse(reply.text);
  }

  // A number without labels of /metrics; NaN when there is none.
  async metric(name) {
    return Number((await this.fetch("/metrics")).text.match(new RegExp(`^${name} (\\S+)$`, "m"))?.[1]);
  }

  // The stream as the API shows it, null when there is none.
  async stream(path) {
    const reply = await this.fetch(`/api/v1/streams/${path}`);
    return reply.status === 200 ? JSON.parse(reply.text) : null;
  }

  onAir(path) {
    return eventually(`${path} is on air`, async () => {
      const s = await this.stream(path);
      return s?.on_air && s?.ready ? s : null;
    });
  }

  // Ends the process and returns its exit; a sanitizer's report shows as its code and in the log.
  async stop(signal = "SIGTERM") {
    return stopChild(this.child, signal);
  }

  async close() {
    const exit = await this.stop();
    await rm(this.dir, { recursive: true, force: true });
    if (exit.code !== 0) {
      throw new Error(`mast ended with ${JSON.stringify(exit)}:\n${this.log.slice(-4000)}`);
    }
  }
}
