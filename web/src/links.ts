// SPDX-License-Identifier: Apache-2.0
// Addresses of a stream, to publish and to play with other programs. Pure.

import type { ListenerInfo } from "./api.js";

export interface Here {
  protocol: string; // "http:"
  hostname: string; // as location has it: IPv6 in brackets
  host: string; // with the port, if any
}

const RTMP_PORTS: Record<string, number> = { rtmp: 1935, rtmps: 1936 };

// Where encoders send to: plain RTMP before RTMPS; null when neither is switched on. The port is left out where programs know it.
export function rtmpServer(here: Here, listeners: readonly ListenerInfo[]): string | null {
  const l = listeners.find((x) => x.name === "rtmp") ?? listeners.find((x) => x.name === "rtmps");
  if (!l) {
    return null;
  }
  // Programs take 443 for rtmps, so that one is always said.
  const port = l.name === "rtmp" && l.port === RTMP_PORTS["rtmp"] ? "" : `:${l.port}`;
  return `${l.name}://${here.hostname}${port}`;
}

export interface Link {
  name: "page" | "hls" | "rtmp" | "mse" | "embed" | "ffplay" | "vlc" | "still";
  text: string;
}

export function playLinks(here: Here, path: string, listeners: readonly ListenerInfo[]): Link[] {
  const at = path.split("/").map(encodeURIComponent).join("/");
  const base = `${here.protocol}//${here.host}/${at}`;
  const socket = `${here.protocol === "https:" ? "wss:" : "ws:"}//${here.host}/${at}/mse`;
  const rtmp = rtmpServer(here, listeners);
  const hls = `${base}/index.m3u8`;
  return [
    { name: "page", text: base },
    { name: "hls", text: hls },
    ...(rtmp ? [{ name: "rtmp", text: `${rtmp}/${at}` } as Link] : []),
    { name: "mse", text: socket },
    { name: "ffplay", text: `ffplay -fflags nobuffer ${rtmp ? `${rtmp}/${at}` : hls}` },
    { name: "vlc", text: `vlc ${hls}` },
    { name: "embed", text: `<iframe src="${base}?embed" width="640" height="360" allow="autoplay; fullscreen" allowfullscreen></iframe>` },
    { name: "still", text: `${base}/keyframe.mp4` },
  ];
}

export function testCommand(server: string): string {
  return (
    "ffmpeg -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=440 " +
    "-c:v libx264 -preset veryfast -tune zerolatency -g 60 -pix_fmt yuv420p -c:a aac -b:a 128k " +
    `-f flv ${server}/live/test`
  );
}
