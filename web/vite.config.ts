// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from "vite";

// `npm run dev` serves the sources and passes everything else to a running server.
const server = process.env["MAST_URL"] ?? "http://127.0.0.1:8888";

export default defineConfig({
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
