// SPDX-License-Identifier: Apache-2.0
// Logging in. The view lies over whatever page was asked for, as soon as the API or a stream answers 401, and goes when the
// server has set its cookie; the page is then loaded anew, so that nothing is left of what it showed before.

import { el, mark, setText } from "./dom.js";
import { t } from "./i18n.js";

export interface Identity {
  by: string; // "cookie": logged in; "loopback", "open", "nobody", ...
  name: string; // of the user or the key; "" when there is none
  scopes: string[];
}

const SESSION = "/api/v1/session";

type Json = Record<string, unknown>;

const text = (v: unknown): string => (typeof v === "string" ? v : "");

async function ask(method: string, body?: Json): Promise<{ status: number; json: Json }> {
  const init: RequestInit = { method, cache: "no-store", headers: { accept: "application/json" } };
  if (body) {
    init.headers = { accept: "application/json", "content-type": "application/json" };
    init.body = JSON.stringify(body);
  }
  const reply = await fetch(SESSION, init);
  const json: unknown = await reply.json().catch(() => null);
  return { status: reply.status, json: typeof json === "object" && json !== null ? (json as Json) : {} };
}

export function parseIdentity(json: Json): Identity {
  const scopes = json["scopes"];
  return {
    by: text(json["by"]) || "nobody",
    name: text(json["user"]) || text(json["key"]),
    scopes: Array.isArray(scopes) ? scopes.map(text) : [],
  };
}

// Who the server takes us for; null when it does not answer.
export async function whoAmI(): Promise<Identity | null> {
  try {
    const { status, json } = await ask("GET");
    return status === 200 ? parseIdentity(json) : null;
  } catch {
    return null;
  }
}

// Ends the session, and what plays by it.
export async function logOut(): Promise<void> {
  try {
    await ask("DELETE");
  } finally {
    location.reload();
  }
}

function field(label: string, input: HTMLInputElement): HTMLElement {
  return el("label", { class: "field" }, el("span", { class: "label" }, label), input);
}

class Login {
  private readonly user = el("input", { name: "user", autocomplete: "username", autocapitalize: "none", spellcheck: "false", required: true });
  private readonly password = el("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  private readonly key = el("input", { name: "key", type: "password", autocomplete: "off", required: true });
  private readonly byUser = el("div", { class: "fields" }, field(t("login.user"), this.user), field(t("login.password"), this.password));
  private readonly byKey = el("div", { class: "fields", hidden: true }, field(t("login.key"), this.key));
  private readonly error = el("p", { class: "error", role: "alert" });
  private readonly submit = el("button", { class: "primary", type: "submit" }, t("login.in"));
  private readonly other = el("button", { class: "link", type: "button" }, t("login.by-key"));
  private usesKey = false;

  constructor(root: HTMLElement) {
    const form = el("form", { class: "login-form" }, el("h1", {}, mark(), "Mast"), this.byUser, this.byKey, this.error, this.submit, this.other);
    const view = el("dialog", { class: "login", "aria-label": t("login.in") }, form);
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      void this.send();
    });
    this.other.addEventListener("click", () => this.choose(!this.usesKey));
    this.choose(false);
    // It goes with the page only: what lies under it is not to be used.
    view.addEventListener("cancel", (e) => e.preventDefault());
    view.addEventListener("close", () => view.showModal());
    root.append(view);
    view.showModal();
    this.user.focus();
  }

  private choose(key: boolean): void {
    this.usesKey = key;
    this.byUser.hidden = key;
    this.byKey.hidden = !key;
    this.user.disabled = this.password.disabled = key;
    this.key.disabled = !key;
    setText(this.other, t(key ? "login.by-user" : "login.by-key"));
    setText(this.error, "");
    (key ? this.key : this.user).focus();
  }

  private async send(): Promise<void> {
    this.submit.disabled = true;
    setText(this.error, "");
    try {
      const body = this.usesKey ? { key: this.key.value.trim() } : { user: this.user.value, password: this.password.value };
      const { status, json } = await ask("POST", body);
      if (status === 200) {
        location.reload();
        return;
      }
      setText(this.error, text(json["detail"]) || t("login.status", { status: String(status) }));
    } catch {
      setText(this.error, t("login.away"));
    }
    this.submit.disabled = false;
    const input = this.usesKey ? this.key : this.password;
    input.select();
    input.focus();
  }
}

let shown: Login | null = null;

// Shows the view, once. What lies under it goes on, and may ask again; it is not told.
export function showLogin(root: HTMLElement = document.body): void {
  shown ??= new Login(root);
}

// "Log out", with the name of who is logged in; nothing when nobody is.
export async function logOutEntry(): Promise<HTMLElement | null> {
  const me = await whoAmI();
  if (!me || me.by !== "cookie") {
    return null;
  }
  const button = el("button", { class: "link logout", type: "button", title: me.name }, t("login.out"));
  button.addEventListener("click", () => void logOut());
  return button;
}
