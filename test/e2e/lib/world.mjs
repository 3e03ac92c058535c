// SPDX-License-Identifier: Apache-2.0
// What there is around a broadcast, counted: world() before and after, and diffWorld() says what is left or missing.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

import { eventually } from "./mast.mjs";
import { processesIn } from "./netns.mjs";

const LISTEN = 10; // of /proc/net/tcp

// Lines of /proc/PID/net/{tcp,udp}{,6}: {inode: {protocol, port, peer, state}}.
function internetSockets(pid) {
  const found = new Map();
  for (const file of ["tcp", "tcp6", "udp", "udp6"]) {
    let text = "";
    try {
      text = readFileSync(`/proc/${pid}/net/${file}`, "utf8");
    } catch {
      // there is no IPv6
    }
    for (const line of text.split("\n").slice(1)) {
      const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
      if (inode) {
        const port = (address) => parseInt(address.split(":")[1], 16);
        found.set(inode, { protocol: file.slice(0, 3), port: port(local), peer: port(remote), state: parseInt(state, 16) });
      }
    }
  }
  return found;
}

// What the descriptors of a process are, as /proc says it: "socket:[1]", "pipe:[2]", "anon_inode:[eventpoll]", "/a/file".
function descriptors(pid) {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
}

const inodeOf = (descriptor) => /^socket:\[(\d+)\]$/.exec(descriptor)?.[1];

// The TCP and UDP sockets that a process holds: [{protocol, port, peer, state}].
export function socketsOf(pid) {
  const all = internetSockets(pid);
  return descriptors(pid).flatMap((d) => all.get(inodeOf(d)) ?? []);
}

// What the descriptors of a process are for, sorted. Connections that others made to it are theirs to end, and left out.
export function descriptorsOf(pid) {
  const all = internetSockets(pid);
  const listening = new Set([...all.values()].filter((s) => s.protocol === "tcp" && s.state === LISTEN).map((s) => s.port));
  const name = (d) => {
    const s = all.get(inodeOf(d));
    if (!s) {
      return d.replace(/:\[\d+\]$/, "").replace(/ \(deleted\)$/, "");
    }
    if (s.protocol === "udp") {
      return s.port ? `udp ${s.peer ? `to ${s.peer}` : "socket"}` : "udp unbound";
    }
    if (s.state === LISTEN) {
      return `tcp listener at ${s.port}`;
    }
    return listening.has(s.port) ? null : `tcp to ${s.peer}`;
  };
  return descriptors(pid).map(name).filter((n) => n !== null).sort(); // prettier-ignore
}

// The uppermost of the test's own processes in here: the runner.
function runnerIn(parents) {
  let pid = process.pid;
  while (parents.has(parents.get(pid))) {
    pid = parents.get(pid);
  }
  return pid;
}

// What runs in this network on behalf of the server, or of one that is no more: its children and theirs, and whatever has no
// process of the test above it. What the test itself started is its own affair.
export function servantsOf(mastPid) {
  const all = processesIn().filter((p) => !/crashpad|chrom(e|ium)/.test(p.command)); // some of Chromium's leave their parent
  const parents = new Map(all.map((p) => [p.pid, p.parent]));
  const runner = runnerIn(parents);
  const isServant = ({ pid }) => {
    for (let above = parents.get(pid); above !== undefined; above = parents.get(above)) {
      if (above === mastPid) {
        return true;
      }
      if (above === runner) {
        return false;
      }
    }
    return pid !== runner;
  };
  return all.filter((p) => p.pid !== mastPid && isServant(p));
}

async function forwardersOf(janus, rooms) {
  const found = [];
  for (const { room } of rooms) {
    // A room whose secret the test does not know has them as they are: unknown.
    const list = await janus.forwarders(room).catch((e) => [{ publisher: "?", type: e.message, host: "", port: "" }]);
    found.push(...list.map((f) => `room ${room}, publisher ${f.publisher}: ${f.type} to ${f.host}:${f.port}`));
  }
  return found;
}

// By name where they have one: ids of who joins again are others.
async function participantsOf(janus, rooms) {
  const lists = await Promise.all(rooms.map(async ({ room }) => (await janus.participants(room)).map((p) => ({ room, ...p }))));
  return lists.flat().map((p) => `${p.display || p.id} in room ${p.room}, ${p.publisher ? "publishing" : "silent"}`);
}

// Their ids say nothing, and are others after each start.
async function sessionsOf(janus) {
  const sessions = await janus.sessions();
  const handles = await Promise.all(sessions.map((s) => janus.handles(s)));
  return { "session of Janus": sessions.map(() => "open"), "handle of Janus": handles.flat() };
}

async function janusWorld(janus) {
  if (!janus.alive) {
    return { janus: ["not running"] };
  }
  const rooms = await janus.rooms();
  return {
    "UDP port of Janus": janus.mediaUdpPorts(),
    // But for UDP: the socket that forwards are sent from stays with their publisher, and the others are above; and for the event
    // descriptors of its threads, of which it keeps some.
    "descriptor of Janus": descriptorsOf(janus.pid).filter((d) => !/^udp|eventfd/.test(d)),
    mountpoint: (await janus.mountpoints()).map((m) => `${m.id}${m.enabled ? "" : " (disabled)"}`),
    room: rooms.map((r) => `${r.room}`),
    forwarder: await forwardersOf(janus, rooms),
    participant: await participantsOf(janus, rooms),
    ...(await sessionsOf(janus)),
  };
}

async function obsWorld(obs) {
  return { OBS: [`has ${JSON.stringify(await obs.settings())}`, (await obs.status()).outputActive ? "streams" : "is idle"] };
}

// {kind: [things]}; of what is given.
export async function world({ mast, janus, obs } = {}) {
  const running = mast && mast.child.exitCode === null && mast.child.signalCode === null;
  return {
    process: servantsOf(mast?.pid).map((p) => p.command),
    ...(running && { descriptor: descriptorsOf(mast.pid) }),
    ...(janus && (await janusWorld(janus))),
    ...(obs && (await obsWorld(obs))),
  };
}

// The first one of a file: once the server, which connects to Janus as soon as it runs, has a handle of each plugin there.
export async function firstWorld(parts) {
  await eventually("the server has its handles", async () => (await sessionsOf(parts.janus))["handle of Janus"].length === 2);
  return world(parts);
}

const without = (list, other) => {
  const rest = [...other];
  return list.filter((x) => {
    const at = rest.indexOf(x);
    if (at >= 0) {
      rest.splice(at, 1);
    }
    return at < 0;
  });
};

// One line for each thing that is there after and was not before ("+ mountpoint 9001"), or the other way round ("- room 1").
export function diffWorld(before, after) {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].flatMap((kind) => {
    const [was, is] = [before[kind] ?? [], after[kind] ?? []];
    return [...without(is, was).map((x) => `+ ${kind} ${x}`), ...without(was, is).map((x) => `- ${kind} ${x}`)];
  });
}

// Waits until the world is as it was before, but for what `except` matches; fails with the difference. Fewer descriptors are
// nothing that was left behind: at the first look a connection may have been on its way out.
export async function sameWorld(before, parts, { except = /^$/, timeout } = {}) {
  let diff = [];
  await eventually(
    "the world is as before",
    async () => {
      diff = diffWorld(before, await world(parts)).filter((line) => !except.test(line) && !line.startsWith("- descriptor"));
      return diff.length === 0;
    },
    { timeout, every: 200 },
  ).catch((e) => {
    throw new Error(`${e.message}:\n${diff.join("\n")}`);
  });
}
