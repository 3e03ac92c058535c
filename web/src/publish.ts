// SPDX-License-Identifier: Apache-2.0
// How to publish here. Ports are what the server says that it listens on.

import { readSystem, type ListenerInfo } from "./api.js";
import { copyable } from "./copy.js";
import { el } from "./dom.js";
import { t } from "./i18n.js";
import { rtmpServer, testCommand } from "./links.js";

function fill(node: HTMLElement, listeners: readonly ListenerInfo[]): void {
  const server = rtmpServer(location, listeners);
  if (!server) {
    node.replaceChildren(el("p", {}, t("publish.off")));
    return;
  }
  node.replaceChildren(
    el("section", {}, el("h3", {}, "OBS Studio"), el("p", {}, t("publish.obs")), copyable(t("publish.server"), `${server}/live`), copyable(t("publish.key"), "test")),
    el("section", {}, el("h3", {}, "FFmpeg"), el("p", {}, t("publish.ffmpeg")), copyable(t("publish.command"), testCommand(server))),
    el("p", { class: "hint" }, `${t("publish.watch")} `, el("a", { href: "/live/test" }, `${location.host}/live/test`), "."),
  );
}

export function howToPublish(): HTMLElement {
  const node = el("div", { class: "publish" });
  const ask = (): void => {
    readSystem().then(
      (s) => fill(node, s.listeners),
      () => node.isConnected && window.setTimeout(ask, 3000),
    );
  };
  ask();
  return node;
}
