// SPDX-License-Identifier: Apache-2.0
// A button that is pressed twice, so that nothing is ended by a slip.

import { el, setText } from "./dom.js";
import { t } from "./i18n.js";

const SURE_MS = 3000;

// says: what it does, where the text alone does not tell.
export function sureButton(text: string, says: string, run: (button: HTMLButtonElement) => void, kind = ""): HTMLButtonElement {
  let sure: number | undefined;
  const button = el("button", { class: `button ${kind}`.trim(), type: "button", "aria-label": says, title: says });
  const calm = (): void => {
    window.clearTimeout(sure);
    sure = undefined;
    setText(button, text);
    button.classList.remove("sure");
    button.setAttribute("aria-label", says);
  };
  button.addEventListener("click", () => {
    if (sure === undefined) {
      setText(button, t("sure"));
      button.setAttribute("aria-label", `${says}: ${t("sure")}`);
      button.classList.add("sure");
      sure = window.setTimeout(calm, SURE_MS);
      return;
    }
    calm();
    run(button);
  });
  calm();
  return button;
}
