// SPDX-License-Identifier: Apache-2.0
// The pages of broadcasts, at a real Janus and without media: what they show follows what happens, and their buttons work.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Broadcasts, janusConfig } from "./lib/broadcast.mjs";
import { pressTwice, startBrowser } from "./lib/browser.mjs";
import { Janus } from "./lib/janus.mjs";
import { eventually, Mast, PATIENCE_MS } from "./lib/mast.mjs";
import { inOwnNetwork } from "./lib/netns.mjs";

const PHONE = { width: 360, height: 640 };
const media = [
  { type: "video", mid: "v", codec: "h264", pt: 96, port: 0 },
  { type: "audio", mid: "a", codec: "opus", pt: 111, port: 0 },
];
const request = (id, room, mountpoint) => ({ broadcast_id: id, name: `Hall ${id}`, source_kind: "frontend_owned", room_id: room, mountpoint_spec: { id: mountpoint, media } });

if (inOwnNetwork(import.meta.url)) {
  defineTests();
}

function defineTests() {
  let janus;
  let mast;
  let browser;
  let broadcasts;

  before(async () => {
    [janus, browser] = await Promise.all([Janus.start(), startBrowser()]);
    mast = await Mast.start({ config: { watch: false, broadcasts: { check: "200ms", debt_retry: "10m" }, ...janusConfig(janus) } });
    broadcasts = new Broadcasts(mast);
  });

  after(async () => {
    await browser?.close();
    await mast?.close();
    await janus?.close();
  });

  const visible = (locator) => locator.waitFor({ timeout: PATIENCE_MS });

  async function open(where, size) {
    const page = await browser.newPage();
    if (size) {
      await page.setViewportSize(size);
    }
    await page.goto(mast.url + where);
    return page;
  }

  const press = (page, name) => pressTwice(page.getByRole("button", { name }));

  test("shown as it happens: the list, who talks to whom, a lost Janus, debts, and what the buttons do", async () => {
    const page = await open("/#broadcasts");
    await visible(page.getByText("mast broadcast start videoroom", { exact: false }));
    await broadcasts.run(request("one", 4321, 9001));
    const row = page.locator("tr[data-broadcast=one]");
    await visible(row.getByText("Running"));
    await visible(row.getByText("9001"));

    await row.getByRole("link", { name: "Hall one" }).press("Enter");
    const badge = page.locator(".title .badge");
    await visible(badge.getByText("Running"));
    await visible(page.locator("[data-what=frontend]").getByText("room 4321, janus:main"));
    await visible(page.locator("[data-what=mountpoint][data-tone=good]").getByText("9001"));
    await visible(page.getByText("make mountpoint 9001: v h264, a opus"));
    await visible(page.locator(".panel", { hasText: "Health" }).getByText("Media: video v"));
    await visible(page.locator(".event").getByText("broadcast running"));
    await page.getByText("The result as JSON").click();
    await visible(page.locator("pre", { hasText: '"broadcast_id": "one"' }));

    await janus.kill();
    await visible(badge.getByText(/Restarting|Degraded/));
    await press(page, /^Stop this/);
    await visible(page.getByRole("heading", { name: "Debts" }));
    assert.equal((await janus.run(), await janus.mountpoints()).length, 0, "it has forgotten all of it");
    await eventually("it is settled", async () => {
      await page.getByRole("button", { name: /^Settle/ }).click({ timeout: 1000 }).catch(() => {}); // it may be gone by now
      return page.getByRole("heading", { name: "Debts" }).isHidden();
    });
    await visible(badge.getByText("Stopped"));
    await visible(page.locator("[data-what=mountpoint][data-tone=off]"));

    await press(page, /^Restart:/);
    await visible(badge.getByText("Running"));
    assert.deepEqual((await janus.mountpoints()).map((m) => m.id), [9001]);
    await press(page, /^Stop this/);
    await visible(badge.getByText("Stopped"));
    assert.deepEqual(await janus.mountpoints(), []);
    await press(page, /^Forget/);
    await visible(page.getByRole("heading", { name: "No broadcasts" }));
    assert.deepEqual(page.mastErrors, []);
  });

  test("on a phone, in both languages and by the keyboard, nothing is wider than the screen", async () => {
    await broadcasts.run(request("a-name-without-any-place-to-break-it-012345678901234567890123", 1, 9002));
    for (const lang of ["en", "pt"]) {
      const page = await open("/", PHONE);
      await page.evaluate((l) => localStorage.setItem("mast.lang", l), lang);
      await page.reload();
      await page.keyboard.press("b");
      const fits = async (where) => {
        const widths = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
        assert.ok(widths[0] <= widths[1], `${where} in ${lang}: ${widths}`);
      };
      await visible(page.locator("tr[data-broadcast]"));
      await fits("the list");
      await page.locator("tr[data-broadcast] a").press("Enter");
      await visible(page.locator(".panel .map"));
      await page.locator(".raw summary").press("Enter");
      await visible(page.locator(".raw pre"));
      await fits("a broadcast");
      assert.deepEqual(page.mastErrors, []);
      await page.close();
    }
  });
}
