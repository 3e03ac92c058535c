// SPDX-License-Identifier: Apache-2.0
// The OpenAPI document is one, and the program does what it says: every answer that can be had is documented and of its shape.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

import { Validator } from "@seriousme/openapi-schema-validator";
import addFormats from "ajv-formats";
import Ajv from "ajv/dist/2020.js";

import { publishFfmpeg } from "./lib/ffmpeg.mjs";
import { eventually, Mast, stopChild } from "./lib/mast.mjs";

let mast;
let doc;
let ajv;

before(async () => {
  mast = await Mast.start();
  doc = await mast.get("/api/openapi.json");
  ajv = addFormats(new Ajv({ strict: false, allErrors: true }));
  ajv.addSchema({ $id: "mast", components: doc.components });
});

after(async () => {
  await mast?.close();
});

// Holds an answer to what the document says of it, and returns its body.
async function hold(method, path, { operation = path, body, status } = {}) {
  const op = doc.paths[operation][method];
  const reply = await fetch(mast.url + path, {
    method: method.toUpperCase(),
    headers: { ...mast.headers, ...(body ? { "Content-Type": "application/json" } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const what = `${method} ${path}: ${reply.status}`;
  assert.ok(!status || reply.status === status, what);
  const described = op.responses[reply.status];
  assert.ok(described, `${what} is not documented`);
  const type = (reply.headers.get("content-type") ?? "").split(";")[0];
  const text = await reply.text();
  if (!described.content) {
    assert.equal(text, "", what);
    return null;
  }
  assert.ok(described.content[type], `${what}: ${type} is not documented`);
  const { $ref } = described.content[type].schema;
  if (!$ref) {
    return text;
  }
  const value = JSON.parse(text);
  const valid = ajv.getSchema(`mast${$ref}`);
  assert.ok(valid(value), `${what}: ${JSON.stringify(valid.errors)} in ${text}`);
  // What is answered is documented: no field that the schema does not name.
  const schema = doc.components.schemas[$ref.split("/").at(-1)];
  assert.deepEqual(Object.keys(value).filter((k) => !schema.properties[k]), [], what);
  if (type === "application/problem+json") {
    assert.match(described.description, new RegExp(`\`${value.code}\``), `${what}: ${value.code} is not documented`);
  }
  return value;
}

test("the document is OpenAPI 3.1", async () => {
  const result = await new Validator().validate(structuredClone(doc));
  assert.ok(result.valid, JSON.stringify(result.errors, null, 1));
  const operations = Object.values(doc.paths).flatMap((methods) => Object.values(methods));
  assert.equal(new Set(operations.map((o) => o.operationId)).size, operations.length, "operation ids are unique");
});

test("examples in the document fit their own schemas", () => {
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      const { example, schema } = op.requestBody?.content["application/json"] ?? {};
      if (schema) {
        assert.ok(example, `${method} ${path} has no example of its body`);
        const patched = schema["x-mast-patch-of"];
        if (patched) {
          const { properties } = doc.components.schemas[patched.split("/").at(-1)];
          assert.deepEqual(Object.keys(example).filter((k) => !properties[k]), [], `${method} ${path}`);
          continue;
        }
        const valid = ajv.getSchema(`mast${schema.$ref}`);
        assert.ok(valid(example), `${method} ${path}: ${JSON.stringify(valid.errors)}`);
      }
    }
  }
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    for (const [field, s] of Object.entries(schema.properties ?? {})) {
      for (const value of [...(s.examples ?? []), ...(s.default === undefined ? [] : [s.default])]) {
        assert.ok(ajv.getSchema(`mast#/components/schemas/${name}/properties/${field}`)(value), `${name}.${field}: ${JSON.stringify(value)}`);
      }
    }
  }
});

test("everything that is read answers as documented, with a stream on the air", async () => {
  const publisher = publishFfmpeg(mast.rtmp("live/cam1"));
  try {
    await mast.onAir("live/cam1");
    const master = await eventually("HLS", async () => {
      const r = await fetch(`${mast.url}/live/cam1/index.m3u8`);
      return r.status === 200 ? r.text() : null;
    });
    const list = master.split("\n").find((l) => l.startsWith("~hls/video")).split("/")[1];
    let asked = 0;
    for (const [operation, methods] of Object.entries(doc.paths)) {
      if (methods.get && !methods.get.responses["101"] && !methods.get.responses["200"].content["text/event-stream"]) {
        const path = operation.replace("{path}", "live/cam1").replace("{file}", list);
        if (!path.includes("{")) {
          await hold("get", path, { operation, status: 200 });
          asked++;
        }
      }
    }
    assert.ok(asked >= 8, `only ${asked} routes were asked`);
    const stream = await hold("get", "/api/v1/streams/live/cam1", { operation: "/api/v1/streams/{path}" });
    assert.equal(stream.readers[0].protocol, "hls");
    await hold("post", "/api/v1/streams/kick/live/cam1", { operation: "/api/v1/streams/kick/{path}", body: { session: "publisher" }, status: 204 });
  } finally {
    await stopChild(publisher, "SIGKILL");
  }
});

test("what is made, deleted, reloaded and refused answers as documented", async () => {
  for (const [path, body] of [["/api/v1/keys", { scopes: ["read"] }], ["/api/v1/stream-keys", { path: "live/cam1" }]]) {
    const made = await hold("post", path, { body, status: 201 });
    assert.ok(made.key);
    assert.equal((await hold("get", path)).items.length, 1);
    const operation = `${path}/{id}`;
    await hold("delete", `${path}/${made.id}`, { operation, status: 204 });
    await hold("delete", `${path}/${made.id}`, { operation, status: 404 });
    await hold("post", path, { body: { nonsense: 1 }, status: 400 });
  }
  await hold("post", "/api/v1/reload", { status: 200 });
  await hold("get", "/api/v1/streams/no/such", { operation: "/api/v1/streams/{path}", status: 404 });
  await hold("post", "/api/v1/streams/kick/no/such", { operation: "/api/v1/streams/kick/{path}", status: 404 });
  await hold("post", "/api/v1/streams/kick/no/such", { operation: "/api/v1/streams/kick/{path}", body: { nonsense: 1 }, status: 400 });
  await hold("get", "/live/.hidden/index.m3u8", { operation: "/{path}/index.m3u8", status: 400 });
  await hold("get", "/live/cam1/mse", { operation: "/{path}/mse", status: 426 });
  await hold("get", "/live/cam1/mse?start=never", { operation: "/{path}/mse", status: 400 });
});

// What a call of curl is answered, as soon as it is: some answers have no end.
async function statusOf(call, key) {
  const child = spawn("bash", ["-c", `exec ${call} -s -D - -o /dev/null`], { env: { ...process.env, MAST_KEY: key }, stdio: ["ignore", "pipe", "inherit"] });
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const status = /^HTTP\/\S+ (\d{3})/.exec(line)?.[1];
      if (status && status !== "100") {
        return status;
      }
    }
    return "no answer";
  } finally {
    await stopChild(child, "SIGKILL");
  }
}

test("the examples of docs/api.md are calls that the server understands", async () => {
  const made = await hold("post", "/api/v1/keys", { body: { scopes: ["admin"] }, status: 201 });
  const text = await readFile(new URL("../../docs/api.md", import.meta.url), "utf8");
  const examples = [...text.matchAll(/^### ([A-Z]+) (\S+)$[^]*?(?=^##)/gm)];
  // The upgrade would end what the others ask; operation.test.mjs has it.
  const calls = examples
    .map(([section, method, path]) => ({ method, path, call: section.match(/```sh\n(curl .*)\n```/)?.[1] }))
    .filter(({ call, path }) => call && path !== "/api/v1/upgrade");
  const run = async ({ method, path, call }) => {
    const status = await statusOf(call.replace("http://127.0.0.1:8888", mast.url), made.key);
    assert.ok(doc.paths[path][method.toLowerCase()].responses[status], `${call}: ${status}`);
    // 401 and 403 would mean that nothing was tried. The password of the login example is nobody's.
    assert.ok(!["401", "403"].includes(status) || path === "/api/v1/session" || path.startsWith("/{path}"), `${call}: ${status}`);
  };
  assert.ok(calls.length >= 20, `${calls.length} examples`);
  // Some wait long for a Janus that is not there: what changes nothing is asked at once.
  await Promise.all(calls.filter((c) => c.method === "GET").map(run));
  for (const c of calls.filter((c) => c.method !== "GET")) {
    await run(c);
  }
});

// Last: with a user, this machine has no right of its own.
test("users and webhooks answer as documented", async () => {
  const users = { operation: "/api/v1/users/{name}" };
  await hold("post", "/api/v1/users", { body: { name: "boss", password: "a long one of its own", api: true }, status: 201 });
  await hold("post", "/api/v1/users", { body: { name: "boss", password: "a long one of its own" }, status: 401 });
  mast.headers = { Authorization: `Basic ${Buffer.from("boss:a long one of its own").toString("base64")}` };
  await hold("post", "/api/v1/users", { body: { name: "boss", password: "a long one of its own" }, status: 409 });
  await hold("get", "/api/v1/users", { status: 200 });
  await hold("get", "/api/v1/users/boss", { ...users, status: 200 });
  await hold("patch", "/api/v1/users/boss", { ...users, body: { read: ["*"] }, status: 200 });
  await hold("patch", "/api/v1/users/boss", { ...users, body: { nonsense: 1 }, status: 400 });
  await hold("delete", "/api/v1/users/nobody", { ...users, status: 404 });
  const hooks = { operation: "/api/v1/webhooks/{id}" };
  const { id } = await hold("post", "/api/v1/webhooks", { body: { url: "https://example.org/hook", enabled: false }, status: 201 });
  await hold("get", "/api/v1/webhooks", { status: 200 });
  await hold("get", `/api/v1/webhooks/${id}`, { ...hooks, status: 200 });
  await hold("patch", `/api/v1/webhooks/${id}`, { ...hooks, body: { name: "mine" }, status: 200 });
  await hold("get", `/api/v1/webhooks/${id}/deliveries`, { operation: "/api/v1/webhooks/{id}/deliveries", status: 200 });
  await hold("post", `/api/v1/webhooks/${id}/replay`, { operation: "/api/v1/webhooks/{id}/replay", status: 202 });
  await hold("delete", `/api/v1/webhooks/${id}`, { ...hooks, status: 204 });
  await hold("get", `/api/v1/webhooks/${id}`, { ...hooks, status: 404 });
  await hold("post", "/api/v1/webhooks", { body: { url: "gopher://example.org" }, status: 400 });
});
