// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { defineConfig, type Plugin } from "vite";

// `npm run dev` serves the sources and passes everything else to a running server.
const server = process.env["MAST_URL"] ?? "http://127.0.0.1:8888";

// The server sends NAME.gz to who takes it, so that nothing is packed while somebody waits.
const packed: Plugin = {
  name: "packed",
  writeBundle({ dir = "" }, bundle) {
    for (const name of Object.keys(bundle).filter((n) => /\.(js|css)$/.test(n))) {
      writeFileSync(join(dir, `${name}.gz`), gzipSync(readFileSync(join(dir, name)), { level: 9 }));
    }
  },
};

export default defineConfig({
  plugins: [packed],
  build: {
    target: "es2020",
    assetsInlineLimit: 0, // data: URLs would need a wider content security policy
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700, // hls.js, which is loaded only where it is needed
  },
  server: {
    proxy: {
      "/api": server,
      "^/.+/mse$": { target: server, ws: true },
    },
  },
});
