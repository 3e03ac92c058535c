// SPDX-License-Identifier: Apache-2.0
// A viewer on a bad line: a WebSocket that is read far more slowly than the stream comes.

import { randomBytes } from "node:crypto";
import { connect } from "node:net";

const RECEIVE_BYTES = 4096;

// Reads `bytes` each `everyMs`; with 0 bytes nothing at all after the handshake. {close}.
export function slowReader(mast, path, { bytes = RECEIVE_BYTES, everyMs = 250 } = {}) {
  return new Promise((done, fail) => {
    const socket = connect({ port: mast.httpPort, host: "127.0.0.1", highWaterMark: RECEIVE_BYTES });
    let timer;
    const close = () => {
      clearInterval(timer);
      socket.destroy();
    };
    socket.on("error", fail);
    socket.on("connect", () => {
      const key = randomBytes(16).toString("base64");
      socket.write(`GET /${path}/mse HTTP/1.1\r\nHost: 127.0.0.1:${mast.httpPort}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nUser-Agent: slow\r\n\r\n`);
    });
    socket.once("readable", () => {
      socket.removeAllListeners("error");
      socket.on("error", () => {});
      timer = setInterval(() => bytes > 0 && socket.read(Math.min(bytes, socket.readableLength)), everyMs);
      done({ close });
    });
  });
}
