// SPDX-License-Identifier: Apache-2.0
// A line of text with a button that copies it.

import { el, icon } from "./dom.js";
import { t } from "./i18n.js";

export function copyable(label: string, text: string): HTMLElement {
  const button = el("button", { class: "control", type: "button", "aria-label": t("copy.what", { what: label }), title: t("copy") }, icon("copy"), icon("done"));
  const said = el("span", { class: "visually-hidden", role: "status" });
  button.addEventListener("click", () => {
    // Plain HTTP pages have no clipboard; selecting the text is the next best.
    window.getSelection()?.selectAllChildren(code);
    navigator.clipboard?.writeText(text).then(
      () => {
        button.classList.add("on");
        said.textContent = t("copy.done");
        window.setTimeout(() => {
          button.classList.remove("on");
          said.textContent = "";
        }, 1500);
      },
      () => undefined,
    );
  });
  const code = el("code", {}, text);
  return el("div", { class: "copyable" }, el("span", { class: "label" }, label), code, button, said);
}
