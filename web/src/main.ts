// SPDX-License-Identifier: Apache-2.0
// One document for all pages: the server answers / and /{path} with it, and the location says which it is.

import "./style.css";
import { showList } from "./list.js";
import { showLogin } from "./login.js";
import { showPlayer } from "./watch.js";

function currentPath(): string {
  try {
    return decodeURIComponent(location.pathname).replace(/^\/+|\/+$/g, "");
  } catch {
    return location.pathname.slice(1);
  }
}

window.addEventListener("mast-unauthorized", () => showLogin());

const path = currentPath();
if (path === "" || path === "index.html") {
  showList(document.body);
} else {
  showPlayer(document.body, path);
}
