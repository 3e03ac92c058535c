// SPDX-License-Identifier: Apache-2.0
// Records what the MSE WebSocket sends (docs/mse-protocol.md): the messages, and the media as one fMP4.

import { eventually } from "./mast.mjs";
import { WebSocketClient } from "./ws.mjs";

// Resolves when n chunks are there, with {init, messages, mp4}; one init only, a second ends it.
export async function recordMse(mast, path, n, { query = "", timeout } = {}) {
  const ws = await WebSocketClient.connect(`${mast.url}/${path}/mse${query}`);
  const messages = [];
  const media = [];
  let inits = 0;
  ws.on("text", (t) => {
    const m = JSON.parse(t);
    messages.push(m);
    inits += m.type === "init" ? 1 : 0;
  });
  ws.on("binary", (b) => {
    if (inits === 1) {
      media.push(b);
    }
  });
  try {
    await eventually(`${n} chunks of ${path}`, () => media.length > n || inits > 1, { timeout });
  } finally {
    ws.destroy();
  }
  return { init: messages.find((m) => m.type === "init"), messages, mp4: Buffer.concat(media) };
}
