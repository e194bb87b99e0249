// The page against the fake server: what each state shows, who may do what, and for whom it is usable.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";

import { Browser, DESKTOP, objections, PHONE, SMALLEST } from "./support/browser.mjs";
import { Fake, TOKEN } from "./support/fake.mjs";
import { requests, STATES } from "./support/states.mjs";

const LOST = /net::ERR|Failed to load resource/;

let browser;
let fake;
let pages = [];

before(async () => {
  browser = await Browser.start();
});
after(() => browser.stop());
afterEach(async () => {
  for (const page of pages) {
    const faults = page.faults(page.allowed);
    await page.close();
    assert.deepEqual(faults, []);
  }
  pages = [];
  await fake?.stop();
  fake = null;
});

async function show(state, { token, allowed, ...options } = {}) {
  fake ??= await new Fake(state).start();
  const page = await browser.open(token ? `${fake.url}#token=${token}` : fake.url, options);
  page.allowed = allowed;
  pages.push(page);
  await page.waitForSelector('#link[data-link="live"]');
  await page.waitForFunction(() => !document.querySelector("#glance-text").textContent.startsWith("Asking"));
  return page;
}

const text = (page, selector) => page.locator(selector).innerText();
const eventually = (page, selector, words) => page.locator(selector, { hasText: words }).first().waitFor();
// Shows another state and waits until the page does.
async function turn(page, state) {
  fake.show(state);
  await eventually(page, "#about", `api-key-lb ${state} `);
}

const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

describe("what it shows", () => {
  const sentences = {
    empty: /^All 3 keys are ready$/,
    healthy: /^All 3 keys are ready$/,
    throttled: /^personal cools for 0:4\d; its sessions borrow from work and spare$/,
    revoked: /^spare is refused by the provider; work and personal serve instead$/,
    cooling: /^No key can serve until \d\d:\d\d(:\d\d)?, in 2:\d\d$/,
    disabled: /^spare is disabled; work and personal serve instead$/,
  };
  for (const [state, sentence] of Object.entries(sentences)) {
    test(`the first sentence says whether everything is all right: ${state}`, async () => {
      const page = await show(state);
      assert.match(await text(page, "#glance-text"), sentence);
      const said = (await text(page, "#glance-text")).split(/[;,]/)[0];
      if (!/\d:\d\d/.test(said)) assert.equal(await page.title(), `${said} · api-key-lb`);
      assert.equal(await page.locator("#keys tbody tr").count(), 3);
    });
  }

  test("tiles, keys, requests, charts and sessions have their numbers", async () => {
    const page = await show("throttled");
    assert.match(await text(page, "#tiles"), /2,497[^]*92 %[^]*\$247[^]*6 requests rescued[^]*9\.4 s/);
    const personal = page.locator("#keys tbody tr", { hasText: "personal" });
    assert.match(await personal.innerText(), /cools\s+0:\d\d[^]*rate limit \(429\)[^]*0 of 600[^]*92 % of 33\.1M[^]*2 errors · 1 throttle/);
    assert.equal(await page.locator("#requests tbody tr").count(), 34);
    await eventually(page, "#requests tbody tr:nth-child(3) .reason", "personal answered 429; personal cools for 42 s (rate limit); work has 31 % of 94k tokens warm");
    await eventually(page, "#charts", "555 · 3 errors");
    assert.match(await text(page, "#sessions tbody tr:first-child"), /9f31c2a4[^]*claude-sonnet-4-5[^]*personal[^]*140[^]*94 % of 4\.2M/);
    assert.match(await text(page, "#problems"), /look like one account/);
  });

  test("before the first request it says how to point an agent here", async () => {
    const page = await show("empty");
    await eventually(page, "#requests-empty", "No request has come yet.");
    assert.match(await text(page, "#requests-empty"), new RegExp(`ANTHROPIC_BASE_URL=http://127.0.0.1:${fake.port}`));
    fake.happened(requests(Date.now(), ["key-2"])[0]);
    await eventually(page, "#requests tbody tr", "key-2");
    assert.equal(await page.locator("#requests-empty").isVisible(), false);
  });

  test("a cooldown counts down between two updates, and nobody has that read out", async () => {
    const page = await show("throttled");
    const left = () => text(page, "#glance-text .left");
    const [first, aloud] = [await left(), await page.locator("#glance-aloud").textContent()];
    await page.waitForFunction((before) => document.querySelector("#glance-text .left").textContent !== before, first);
    assert.equal(await page.locator("#glance-aloud").textContent(), aloud);
    assert.doesNotMatch(aloud, /\d:\d\d/);
  });

  test("an update changes what it is about and moves nothing else", async () => {
    const page = await show("healthy");
    await eventually(page, "#charts", "555");
    const tops = () => page.evaluate(() => [...document.querySelectorAll("section, .head, #keys tbody tr")].map((node) => Math.round(node.getBoundingClientRect().top)));
    const before = await tops();
    fake.change((state) => {
      Object.assign(state.keys[0], { in_flight: 7, requests: 1205, state: "cooling", until_ms: Date.now() + 9000, reason: "rate limit" });
      state.totals.requests += 1;
    });
    fake.happened({ ...requests(Date.now(), ["work"])[0], id: "new", model: "brand-new" });
    await eventually(page, "#requests", "brand-new");
    await eventually(page, "#keys", "cools");
    assert.deepEqual(await tops(), before);
  });

  test("who is at the list of requests is not pushed away by new ones", async () => {
    const page = await show("healthy");
    const first = page.locator("#requests tbody tr").first();
    await first.hover();
    const before = await first.innerText();
    for (const id of ["n1", "n2"]) fake.happened({ ...requests(Date.now(), ["work"])[0], id, model: "brand-new" });
    await eventually(page, "#newer", "Show 2 newer requests");
    assert.equal(await first.innerText(), before);
    await page.mouse.move(5, 5);
    await eventually(page, "#requests", "brand-new");
    assert.equal(await page.locator("#newer").isVisible(), false);
  });

  test("a request opens with its tries, and closes to where one was", async () => {
    const page = await show("throttled");
    const button = page.locator("#requests tbody tr:nth-child(3) .row-button");
    await button.click();
    const dialog = page.locator("#dialog");
    await eventually(page, "#dialog", "2 tries");
    assert.match(await dialog.innerText(), /Answered with 200 by work, borrowed from another key\.[^]*429[^]*rate limit/);
    await page.keyboard.press("Escape");
    assert.equal(await dialog.isVisible(), false);
    assert.equal(await button.evaluate((node) => node === document.activeElement), true);
  });

  test("a session leads to its requests and back to all", async () => {
    const page = await show("healthy");
    await page.locator("#sessions tbody tr:nth-child(2) button", { hasText: "Requests" }).click();
    await page.waitForFunction(() => document.querySelectorAll("#requests tbody tr").length === 5);
    fake.happened({ ...requests(Date.now(), ["work"])[0], id: "other", session: "ffffffff" });
    await page.locator("#filter").click();
    await page.waitForFunction(() => document.querySelectorAll("#requests tbody tr").length === 35);
  });

  test("charts can be read with the keyboard, as a table, and over other spans", async () => {
    const page = await show("healthy");
    await eventually(page, "#charts", "555");
    const plot = page.locator(".plot").first();
    await plot.focus();
    await page.keyboard.press("End");
    const end = await plot.getAttribute("aria-valuetext");
    assert.match(end, /^\d\d:\d\d: \d+/);
    await page.keyboard.press("ArrowLeft");
    assert.notEqual(await plot.getAttribute("aria-valuetext"), end);
    await page.keyboard.press("Escape");
    assert.match(await plot.getAttribute("aria-valuetext"), /^whole span: 555/);
    await page.locator("#span label", { hasText: "30 d" }).click();
    await eventually(page, "#charts-note", "the last 30 days, by day");
    await page.locator("#as-table").click();
    await page.waitForFunction(() => document.querySelectorAll("#charts-table tbody tr").length === 30);
    assert.equal(await page.locator("#charts").isVisible(), false);
  });

  test("words of strangers stay words", async () => {
    const page = await show("hostile");
    await eventually(page, "#requests", "<img src=x");
    await page.locator(".row-button").first().click();
    await eventually(page, "#dialog", "One try");
    assert.match(await text(page, "#dialog"), /<script>alert\(2\)<\/script>/);
    const made = await page.evaluate(() => document.querySelectorAll("img[src='x'], body script, [onerror]").length);
    assert.equal(made, 0);
  });

  test("its words and numbers", async () => {
    const page = await show("healthy");
    const said = await page.evaluate(async () => {
      const { glance } = await import("/_lb/glance.js");
      const { parser } = await import("/_lb/stream.js");
      const format = await import("/_lb/format.js");
      const key = (label, state, more) => ({ label, state, pool: "", ...more });
      const words = (...keys) => {
        const { level, text } = glance({ keys }, 0);
        return `${level}: ${text.map((part) => (typeof part === "string" ? part : `<${part.until}>`)).join("")}`;
      };
      const events = [];
      const parse = parser((name, data) => events.push(`${name}=${data}`));
      for (const byte of new TextEncoder().encode(": ping\n\nevent: a\r\ndata: 1\r\ndata: ü\r\n\r\ndata:2\n\n")) parse(new Uint8Array([byte]));
      return {
        glance: [
          words(),
          words(key("a", "ready")),
          words(key("a", "ready"), key("b", "cooling", { until_ms: 5 }), key("c", "refused")),
          words(key("a", "ready"), key("b", "parked", { until_ms: 86_400_000 * 30 })),
          words(key("a", "refused"), key("b", "disabled")),
          words(key("a", "refused")),
          words(key("a", "ready"), key("b", "cooling", { pool: "zai" })),
          words(key("a", "recovering")),
        ],
        numbers: [format.percent(0.999), format.percent(0.001), format.percent(null), format.count(9999), format.count(12_345), format.countdown(41_001), format.countdown(3_600_000), format.money(0.001), format.duration(61_000), format.names(["a", "b", "c", "d", "e"])],
        events,
      };
    });
    assert.deepEqual(said.glance, [
      "bad: No key is configured",
      "good: The only key, a, is ready",
      "warn: c is refused by the provider; b cools for <5>; a serves instead",
      "warn: b is parked until 31 Jan 00:00; a serves instead",
      "bad: No key can serve: every one is refused or disabled",
      "bad: No key can serve: the provider refuses every one",
      "bad: No key of the pool zai can serve: every one cools",
      "good: a is back and first shown one request; the pool serves",
    ]);
    assert.deepEqual(said.numbers, ["99 %", "<1 %", "–", "9,999", "12.3K", "0:42", "1 h", "<$0.01", "61 s", "a, b and 3 others"]);
    assert.deepEqual(said.events, ["a=1\nü", "message=2"]);
  });
});

describe("who may do what", () => {
  test("without the token nothing can be changed, and the page says how to get it", async () => {
    const page = await show("throttled");
    await eventually(page, "#keys-note", "View only");
    for (const name of ["Disable", "Use now", "Unpin", "Reload"]) {
      assert.equal(await page.locator("button", { hasText: name }).first().isDisabled(), true, name);
    }
    await page.locator("#mode").click();
    await eventually(page, "#dialog code", `api-key-lb dashboard --port ${fake.port}`);
  });

  test("the token leaves the address, outlives a reload of the page, and can be forgotten", async () => {
    const page = await show("throttled", { token: TOKEN });
    assert.equal(page.url(), fake.url);
    await page.reload();
    await eventually(page, "#mode", "Actions on");
    assert.equal(await page.locator("#reload").isDisabled(), false);
    await page.locator("#mode").click();
    await page.locator("#dialog button", { hasText: "Forget the token" }).click();
    await eventually(page, "#mode", "View only");
    await page.reload();
    await eventually(page, "#mode", "View only");
  });

  test("disabling a key asks first", async () => {
    const page = await show("healthy", { token: TOKEN });
    const work = page.locator("#keys tbody tr", { hasText: "acme" });
    await work.locator("button", { hasText: "Disable" }).click();
    await eventually(page, "#dialog", "6 sessions live there");
    await page.keyboard.press("Enter");
    assert.deepEqual(fake.orders, [], "the button that has the focus is Cancel");
    await work.locator("button", { hasText: "Disable" }).click();
    await page.locator("#dialog button.danger").click();
    await eventually(page, "#toasts", "work is disabled.");
    await eventually(page, "#glance-text", "work is disabled; personal and spare serve instead");
    await work.locator("button", { hasText: "Enable" }).click();
    await eventually(page, "#glance-text", "All 3 keys are ready");
    assert.deepEqual(fake.orders, ["disable", "enable"].map((what) => `/_lb/keys/${fake.state.keys[0].fingerprint}/${what}`));
  });

  test("the last key that serves is disabled only after a warning", async () => {
    const page = await show("cooling", { token: TOKEN });
    fake.change((state) => Object.assign(state.keys[0], { state: "ready", until_ms: undefined }));
    await eventually(page, "#keys tbody tr:first-child", "ready");
    await page.locator("#keys tbody tr:first-child button", { hasText: "Disable" }).click();
    await eventually(page, "#dialog", "This is the last key that can serve.");
  });

  test("cooldowns are forgotten, sessions unpinned, the configuration reloaded", async () => {
    const page = await show("throttled", { token: TOKEN });
    await page.locator("#keys button:visible", { hasText: "Use now" }).click();
    await eventually(page, "#toasts", "personal may be used again.");
    await page.locator("#sessions button", { hasText: "Unpin" }).first().click();
    await eventually(page, "#toasts", "Session 9f31c2a4 chooses its key anew.");
    await page.mouse.move(5, 5);
    await eventually(page, "#sessions tbody tr:first-child", "none");
    await page.locator("#reload").click();
    await eventually(page, "#toasts", "Reloaded: keys: 1 more.");
    assert.equal(fake.orders.length, 3);
  });

  test("a wrong token is dropped when it is refused", async () => {
    const page = await show("throttled", { token: "ffff", allowed: LOST });
    await page.locator("#reload").click();
    await eventually(page, "#toasts", "get a new one with");
    await eventually(page, "#mode", "View only");
    assert.deepEqual(fake.orders, []);
  });

  test("a token is not kept for the next start of the proxy", async () => {
    const page = await show("throttled", { token: TOKEN });
    await eventually(page, "#mode", "Actions on");
    fake.change((state) => (state.health.instance = "another"));
    await eventually(page, "#mode", "View only");
    await eventually(page, "#toasts", "started anew");
  });
});

describe("the connection", () => {
  test("a proxy that has gone is said to be, and met again when it is back", async () => {
    const page = await show("throttled", { allowed: LOST });
    const { port } = fake;
    await fake.stop();
    await eventually(page, "#glance-text", "The proxy does not answer");
    assert.match(await text(page, "#link"), /Last update \d+ s ago · next try in \d+ s/);
    await page.locator("#retry").waitFor();
    fake.show("healthy");
    fake.requests.unshift({ ...requests(Date.now(), ["work"])[0], id: "missed", model: "missed-meanwhile" });
    await fake.start(port);
    await page.locator("#retry").click();
    await eventually(page, "#glance-text", "All 3 keys are ready");
    await eventually(page, "#requests", "missed-meanwhile");
    await eventually(page, "#link", "Live");
  });

  test("a proxy that wants a token is not taken for one that is gone", async () => {
    fake = await new Fake("healthy").start();
    fake.failing = 401;
    const page = await browser.open(fake.url);
    page.allowed = LOST;
    pages.push(page);
    await eventually(page, "#glance-text", "The proxy does not show this without a token");
  });
});

describe("for everybody", () => {
  for (const [name, viewport] of [["desktop", DESKTOP], ["the smallest phone", SMALLEST]]) {
    for (const theme of ["light", "dark"]) {
      test(`axe-core objects to nothing: ${name}, ${theme}`, async () => {
        const page = await show("throttled", { viewport, theme, token: TOKEN });
        await eventually(page, "#charts", "555");
        assert.deepEqual(await objections(page), []);
        for (const state of viewport === DESKTOP ? ["empty", "revoked", "cooling", "disabled"] : ["empty", "hostile"]) {
          await turn(page, state);
          assert.deepEqual(await objections(page), [], state);
          assert.ok((await overflow(page)) <= 0, `${state} is too wide`);
        }
        await turn(page, "throttled");
        await page.locator("#as-table").click();
        await page.locator(".row-button").first().click();
        await eventually(page, "#dialog", "One try");
        assert.deepEqual(await objections(page), [], "with a dialog");
      });
    }
  }

  test("what axe-core objects to would be noticed", async () => {
    const page = await show("empty");
    await page.evaluate(() => document.querySelector("#main").append(document.createElement("img")));
    assert.match((await objections(page)).join(), /image-alt/);
  });

  test("no width makes it scroll sideways", async () => {
    const page = await show("hostile");
    for (const width of [320, 375, 480, 640, 768, 861, 960, 1100, 1440, 2200]) {
      await page.setViewportSize({ width, height: 800 });
      for (const state of Object.keys(STATES)) {
        await turn(page, state);
        assert.ok((await overflow(page)) <= 0, `${state} at ${width} px`);
        const cut = await page.evaluate(() =>
          [...document.querySelectorAll("#keys button, .head button, .tools button")].filter((node) => {
            const box = node.getBoundingClientRect();
            return box.width > 0 && (box.left < 0 || box.right > innerWidth || box.right > node.closest("section, header").getBoundingClientRect().right);
          }).length,
        );
        assert.equal(cut, 0, `buttons out of sight: ${state} at ${width} px`);
      }
    }
  });

  test("the keyboard reaches everything, in order, and is seen where it is", async () => {
    const page = await show("throttled", { token: TOKEN });
    await eventually(page, "#charts", "555");
    const walk = [];
    for (let step = 0; step < 120; step += 1) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const node = document.activeElement;
        if (node === document.body) return null;
        const styles = [getComputedStyle(node), getComputedStyle(node, "::after"), node.nextElementSibling && getComputedStyle(node.closest("fieldset") ?? node)].filter(Boolean);
        return {
          name: node.id || node.getAttribute("aria-label") || node.textContent.trim(),
          seen: styles.some((style) => style.outlineStyle !== "none" && style.outlineWidth !== "0px"),
          top: node.getBoundingClientRect().top + scrollY,
        };
      });
      if (at === null) break;
      walk.push(at);
    }
    const names = walk.map((at) => at.name);
    assert.equal(names[0], "Skip to the content");
    for (const name of ["mode", "reload", "theme", "Disable work", "Use now: personal", "requests-scroll", "as-table", "Added latency", "sessions-scroll", "Unpin session 9f31c2a4 from its home"]) {
      assert.ok(names.includes(name), `${name} is not reached: ${names}`);
    }
    assert.deepEqual(walk.filter((at) => !at.seen).map((at) => at.name), [], "without a visible focus");
    assert.ok(names.indexOf("Disable work") < names.indexOf("requests-scroll") && names.indexOf("as-table") < names.indexOf("sessions-scroll"));
    // The way through the dialog, without a mouse.
    await page.locator("[aria-label='Disable work']").focus();
    await page.keyboard.press("Enter");
    await eventually(page, "#dialog", "Disable work?");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await eventually(page, "#toasts", "work is disabled.");
  });

  test("the skip link leads past the bar", async () => {
    const page = await show("healthy");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  });

  test("the colours follow the system until one is chosen, which is remembered", async () => {
    const page = await show("healthy", { theme: "dark" });
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await background();
    await page.locator("#theme").click();
    assert.notEqual(await background(), dark);
    await page.reload();
    await eventually(page, "#link", "Live");
    assert.notEqual(await background(), dark);
    await page.locator("#theme").click();
    await page.locator("#theme").click();
    assert.equal(await background(), dark);
  });

  test("who wants no motion gets none", async () => {
    const page = await show("healthy", { viewport: PHONE });
    const moving = () => page.evaluate(() => getComputedStyle(document.querySelector(".bar-fill")).transitionDuration);
    assert.equal(await moving(), "0s");
    await page.emulateMedia({ reducedMotion: "no-preference" });
    assert.notEqual(await moving(), "0s");
  });
});
