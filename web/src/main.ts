// SPDX-License-Identifier: Apache-2.0
// One document for all pages: the server answers / and /{path} with it, and the location says which it is. On the front page
// the hash does: "#broadcasts", "#broadcasts/ID", "#events", "#system".

import "./style.css";
import { BroadcastPage } from "./broadcast.js";
import { BroadcastsPage } from "./broadcasts.js";
import { EventsPage } from "./events.js";
import { lang, pickLang, useLang, type Lang } from "./i18n.js";
import { startKeys } from "./keys.js";
import { showLogin } from "./login.js";
import { Shell, type PageName, type View } from "./shell.js";
import { recall, remember } from "./store.js";
import { SystemPage } from "./system.js";
import { startTheme } from "./theme.js";
import { Wall } from "./wall.js";
import { Watch } from "./watch.js";

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const path = decoded(location.pathname).replace(/^\/+|\/+$/g, "");
const isFront = path === "" || path === "index.html";
const embedded = !isFront && new URLSearchParams(location.search).has("embed");

let shown: { view: View; shell: Shell | null } | null = null;

function makeView(): [PageName, View] {
  if (!isFront) {
    return ["watch", new Watch(path, embedded)];
  }
  const broadcast = /^#broadcasts\/(.+)$/.exec(location.hash)?.[1];
  if (broadcast !== undefined) {
    return ["broadcasts", new BroadcastPage(decoded(broadcast))];
  }
  switch (location.hash) {
    case "#broadcasts":
      return ["broadcasts", new BroadcastsPage()];
    case "#events":
      return ["events", new EventsPage()];
    case "#system":
      return ["system", new SystemPage()];
    default:
      return ["streams", new Wall()];
  }
}

function mount(): void {
  shown?.view.close();
  shown?.shell?.close();
  shown?.view.node.remove();
  const [page, view] = makeView();
  const shell = embedded ? null : new Shell(page, view, switchLang);
  document.body.append(shell?.node ?? view.node);
  shown = { view, shell };
}

function setLang(to: Lang): void {
  useLang(to);
  document.documentElement.lang = to;
}

function switchLang(): void {
  setLang(lang() === "en" ? "pt" : "en");
  remember("lang", lang());
  mount();
}

setLang(pickLang(recall("lang"), navigator.languages));
startTheme();
startKeys();
window.addEventListener("mast-unauthorized", () => showLogin());
window.addEventListener("hashchange", () => {
  if (isFront) {
    mount();
    window.scrollTo(0, 0);
  }
});
mount();
