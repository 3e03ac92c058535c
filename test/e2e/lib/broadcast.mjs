// SPDX-License-Identifier: Apache-2.0
// Broadcasts of a server, by its API.

import { eventually } from "./mast.mjs";

// Settings of a server for this Janus.
export const janusConfig = (janus, more = {}) => ({
  janus: [{ name: "main", url: janus.url, api_secret: janus.apiSecret, admin_key: janus.streamingKey, room_admin_key: janus.roomKey, ...more }],
});

export class Broadcasts {
  constructor(mast) {
    this.mast = mast;
  }

  async ask(method, path, body) {
    const reply = await this.mast.fetch(`/api/v1/broadcasts${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { status: reply.status, body: reply.text ? JSON.parse(reply.text) : null };
  }

  // The result, once it was taken.
  async start(request) {
    const { status, body } = await this.ask("POST", "", request);
    if (status !== 201) {
      throw new Error(`start: ${status} ${JSON.stringify(body)}`);
    }
    return body;
  }

  // Of a server that the test kills, perhaps before it could answer: the request has its id, and is known by that afterwards.
  async startKilled(request) {
    await this.start(request).catch((e) => {
      if (!(e instanceof TypeError)) {
        throw e; // not "fetch failed"
      }
    });
    return request.id;
  }

  async show(id) {
    const { status, body } = await this.ask("GET", `/${id}`);
    if (status !== 200) {
      throw new Error(`show ${id}: ${status} ${JSON.stringify(body)}`);
    }
    return body;
  }

  // Waits for a state; says at once when it ended in another one.
  reaches(id, state, { timeout } = {}) {
    let last;
    return eventually(
      `broadcast ${id} is ${state}`,
      async () => {
        last = await this.show(id);
        return last.state === state && last;
      },
      { timeout, every: 100 },
    ).catch((e) => {
      throw new Error(`${e.message}; it is ${last?.state}: ${last?.reason}; ${JSON.stringify(last?.steps)}`);
    });
  }

  async run(request) {
    const { broadcast_id } = await this.start(request);
    return this.reaches(broadcast_id, "running");
  }

  async stop(id) {
    const { status, body } = await this.ask("DELETE", `/${id}`);
    if (status >= 300) {
      throw new Error(`stop ${id}: ${status} ${JSON.stringify(body)}`);
    }
    return this.reaches(id, "stopped");
  }
}
