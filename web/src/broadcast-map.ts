// SPDX-License-Identifier: Apache-2.0
// Who talks to whom in a broadcast: boxes from the source to the viewers, and how the media come from one to the next. Pure.

import { hasEnded, type BroadcastInfo, type StepInfo } from "./broadcast-api.js";

// How well something is; the page has a colour and a word for each.
export type Tone = "good" | "busy" | "bad" | "off";

export interface Box {
  what: "input" | "obs" | "frontend" | "publisher" | "stream" | "mountpoint" | "viewers";
  title: string; // "" where there is nothing to tell it by
  room: string; // "", also below: none
  peer: string; // whose it is: "janus:main"
  tone: Tone;
}

export interface Arrow {
  by: "" | "obs" | "pull" | "relay" | "sender" | "forward" | "rtp" | "webrtc";
  tone: Tone;
}

// Arrow n leads from box n to box n + 1.
export interface BroadcastMap {
  boxes: Box[];
  arrows: Arrow[];
}

export function stateTone(state: string): Tone {
  switch (state) {
    case "running":
    case "done":
      return "good";
    case "stopped":
    case "undone":
    case "kept":
      return "off";
    case "failed":
    case "debt":
      return "bad";
    default:
      return "busy";
  }
}

// One that is up and has something to complain of is not well.
export function stepTone(s: StepInfo | undefined): Tone {
  return !s ? "off" : s.state === "done" && s.error !== "" ? "busy" : stateTone(s.state);
}

const known = (well: boolean | null | undefined, else_: Tone): Tone => (well === false ? "busy" : else_);

// The media at the mountpoint; the health says itself when one of them is too old.
function mediaTone(b: BroadcastInfo): Tone {
  const media = b.health?.media ?? [];
  if (hasEnded(b.state)) {
    return "off";
  }
  return media.length > 0 && media.every((m) => m.ageMs !== null) && b.state === "running" ? "good" : "busy";
}

export function broadcastMap(b: BroadcastInfo): BroadcastMap {
  const step = (name: string): StepInfo | undefined => b.steps.find((s) => s.name === name);
  const map: BroadcastMap = { boxes: [], arrows: [] };
  const add = (box: Box, arrow?: Arrow): void => {
    map.boxes.push(box);
    if (arrow) {
      map.arrows.push(arrow);
    }
  };
  const ended = hasEnded(b.state);
  const room = step("room");
  const streamBox = (tone: Tone): Box => ({ what: "stream", title: b.stream, room: "", peer: "", tone: ended ? "off" : known(b.health?.stream, tone) });
  const carrier = step("sender") ?? step("relay");
  const pull = step("pull");
  const obs = step("obs");

  if (b.source === "videoroom" || b.source === "browser_webrtc") {
    const there = step("publisher") ?? room;
    add({ what: "publisher", title: b.publisher, room: b.room, peer: there?.peer ?? "", tone: ended ? "off" : known(b.health?.publisher, stepTone(there)) });
  } else if (b.source === "frontend_owned") {
    add({ what: "frontend", title: "", room: b.room, peer: room?.peer ?? "", tone: room && !ended ? stepTone(room) : mediaTone(b) });
  } else {
    if (obs) {
      add({ what: "obs", title: b.obs, room: "", peer: "", tone: stepTone(obs) });
    } else if (b.source !== "stream" && b.input !== "") {
      add({ what: "input", title: b.input, room: "", peer: "", tone: pull ? stepTone(pull) : stepTone(carrier) });
    }
    if (b.stream !== "") {
      add(streamBox(stepTone(obs ?? pull ?? carrier)), map.boxes.length > 0 ? { by: obs ? "obs" : pull ? "pull" : "", tone: stepTone(obs ?? pull ?? carrier) } : undefined);
    }
    if (map.boxes.length === 0) {
      add({ what: "input", title: "", room: "", peer: "", tone: stepTone(carrier) });
    }
  }

  const forward = step("forward");
  const by: Arrow = forward ? { by: "forward", tone: stepTone(forward) } : carrier ? { by: step("sender") ? "sender" : "relay", tone: stepTone(carrier) } : { by: "rtp", tone: mediaTone(b) };
  const mountpoint = step("mountpoint");
  if (mountpoint || b.mountpoint !== "") {
    add({ what: "mountpoint", title: b.mountpoint, room: "", peer: mountpoint?.peer ?? "", tone: stepTone(mountpoint) }, by);
    const viewers = b.health?.viewers ?? null;
    add({ what: "viewers", title: viewers === null || ended ? "" : String(viewers), room: "", peer: "", tone: mediaTone(b) }, { by: "webrtc", tone: mediaTone(b) });
  }
  return map;
}
