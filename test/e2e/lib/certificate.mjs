// SPDX-License-Identifier: Apache-2.0
// Certificates that nobody signed.

import { execFileSync } from "node:child_process";

// Writes one of that name, and its key, over what is there. Returns the name.
export function makeCertificate({ certificate, key }, name, { for: names = "IP:127.0.0.1,DNS:localhost" } = {}) {
  execFileSync("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
    "-subj", `/CN=${name}`, "-addext", `subjectAltName=${names}`, "-keyout", key, "-out", certificate,
  ], { stdio: "ignore" }); // prettier-ignore
  return name;
}
