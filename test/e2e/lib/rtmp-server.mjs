// SPDX-License-Identifier: Apache-2.0
// Another RTMP server: nginx with its RTMP module, in place of SRS.

import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startProgram } from "./ffmpeg.mjs";
import { eventually, freePort, Hopeless, stopChild } from "./mast.mjs";

const MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
const TEMP_PATHS = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

export class RtmpServer {
  // idleStreams: players may come before the publisher, and stay when it leaves.
  static async start({ app = "live", idleStreams = true } = {}) {
    const server = new RtmpServer();
    await access(MODULE).catch(() => {
      throw new Error("nginx has no RTMP module (package libnginx-mod-rtmp)");
    });
    Object.assign(server, { app, dir: await mkdtemp(join(tmpdir(), "mast-nginx-")), port: await freePort(), httpPort: await freePort() });
    await writeFile(join(server.dir, "nginx.conf"), server.#configuration(idleStreams));
    try {
      await server.run();
    } catch (e) {
      await server.close();
      throw e;
    }
    return server;
  }

  #configuration(idleStreams) {
    // As root it would give its folders to another user, whom a user namespace does not have.
    const user = process.getuid() === 0 ? "user root; " : "";
    return `load_module ${MODULE};
${user}daemon off; master_process off; worker_processes 1; pid ${this.dir}/nginx.pid; error_log ${this.dir}/error.log info;
events { worker_connections 256; }
rtmp { access_log off; server { listen 127.0.0.1:${this.port}; chunk_size 4096; ping 10s;
  application ${this.app} { live on; record off; wait_key on; wait_video on; drop_idle_publisher 10s; idle_streams ${idleStreams ? "on" : "off"}; } } }
http { access_log off; ${TEMP_PATHS.map((p) => `${p}_temp_path ${this.dir}/${p};`).join(" ")}
  server { listen 127.0.0.1:${this.httpPort}; location /stat { rtmp_stat all; } location /control { rtmp_control all; } } }
`;
  }

  // Also after it ended: at the same ports.
  async run() {
    this.child = startProgram("nginx", ["-e", join(this.dir, "error.log"), "-c", join(this.dir, "nginx.conf")], {
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    await eventually("nginx listens", async () => {
      if (this.child.exitCode !== null) {
        throw new Hopeless(`nginx ended:\n${this.child.log}${await this.log()}`);
      }
      return this.streams();
    });
  }

  // Of the server, without app and key: what SRSIngestSpec calls rtmp_url.
  get url() {
    return `rtmp://127.0.0.1:${this.port}`;
  }

  address(key) {
    return `${this.url}/${this.app}/${key}`;
  }

  log() {
    return readFile(join(this.dir, "error.log"), "utf8").catch(() => "");
  }

  async #get(path) {
    const reply = await fetch(`http://127.0.0.1:${this.httpPort}${path}`, { headers: { connection: "close" } });
    return reply.text();
  }

  // {key: {publishing, clients, codecs}}; a stream that only waits for its publisher is there too.
  async streams() {
    const xml = await this.#get("/stat");
    const found = xml.matchAll(/<stream>\s*<name>([^<]*)<\/name>([^]*?)<\/stream>/g);
    return Object.fromEntries(
      [...found].map(([, key, inside]) => [
        key,
        {
          publishing: /<publishing\/>/.test(inside),
          clients: inside.match(/<client>/g)?.length ?? 0,
          codecs: [...inside.matchAll(/<codec>([^<]*)<\/codec>/g)].map((c) => c[1]),
        },
      ]),
    );
  }

  published(key) {
    return eventually(`${key} is published`, async () => (await this.streams())[key]?.publishing);
  }

  // Hangs up on the publisher.
  async drop(key) {
    await this.#get(`/control/drop/publisher?app=${this.app}&name=${encodeURIComponent(key)}`);
  }

  async kill() {
    await stopChild(this.child, "SIGKILL");
  }

  async close() {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}
