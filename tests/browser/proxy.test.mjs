// The page against the real proxy and the mock provider: what happens is seen without a reload, and what is ordered
// in the browser happens.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { Browser, objections } from "./support/browser.mjs";
import { CONTENT_POLICY } from "./support/fake.mjs";
import { Mock, Proxy, send, until } from "./support/proxy.mjs";

const KEYS = [
  { key: "sk-mock-one-1111", label: "one", account: "acme" },
  { key: "sk-mock-two-2222", label: "two" },
  { key: "sk-mock-three-3333", label: "three" },
];
const SECRETS = KEYS.map(({ key }) => key);
const LOST = /net::ERR|Failed to load resource/;
const EVIL = `<img src=x onerror="alert(1)">`;

let browser;
let mock;
let proxy;
let pages = [];

before(async () => {
  browser = await Browser.start();
});
after(() => browser.stop());
beforeEach(async () => {
  mock = await Mock.start(SECRETS.map((key, index) => `account-${index}:${key}:rpm=600:tpm=4000000`));
  proxy = await Proxy.start(mock, { keys: KEYS });
});
afterEach(async () => {
  for (const page of pages) {
    const faults = page.faults(page.allowed);
    const html = await page.content();
    await page.close();
    assert.deepEqual(faults, []);
    for (const secret of SECRETS) assert.ok(!html.includes(secret), "a key stands in the page");
  }
  pages = [];
  await proxy.stop();
  await mock.stop();
});

async function open(url, allowed) {
  const page = await browser.open(url);
  page.allowed = allowed;
  pages.push(page);
  await page.waitForSelector('#link[data-link="live"]');
  await eventually(page, "#keys tbody tr", "one");
  return page;
}

const look = () => open(`${proxy.url}/_lb/`);
const command = async (allowed) => open(await proxy.dashboard(), allowed);
const eventually = (page, selector, words) => page.locator(selector, { hasText: words }).first().waitFor();
const row = (page, label) => page.locator("#keys tbody tr", { has: page.locator("th .strong", { hasText: new RegExp(`^${label}$`) }) });

test("a request is seen as it happens, with its key, its tokens and its tries", async () => {
  const page = await look();
  await eventually(page, "#requests-empty", "No request has come yet.");
  const first = await proxy.ask("ada");
  await proxy.ask("ada", { turn: 2 });
  await eventually(page, "#requests tbody tr:nth-child(2)", "mock-large");
  const key = first.headers["x-lb-key"];
  const told = await page.locator("#requests tbody tr").first().innerText();
  assert.match(told, new RegExp(`200[^]*mock-large[^]*claude-cli/2\\.1\\.9[^]*${key}[^]*home[^]*% cached`));
  await eventually(page, "#tiles .tile", "2");
  await eventually(page, "#sessions tbody tr", key);
  await eventually(page, "#charts .chart-value", "2");
  await page.locator("#requests tbody tr:nth-child(2) .row-button").click();
  await eventually(page, "#dialog", first.headers["x-lb-request-id"]);
  await eventually(page, "#dialog", "One try");
  assert.match(await page.locator("#dialog").innerText(), new RegExp(`Answered with 200 by ${key}, the home of a new session`));
  assert.deepEqual(await objections(page), []);
});

test("a throttle is hidden from the client and shown here, with its countdown", async () => {
  const page = await look();
  const home = (await proxy.ask("ada")).headers["x-lb-key"];
  await mock.throttle(KEYS.find(({ label }) => label === home).key, 30);
  const answer = await proxy.ask("ada", { turn: 2 });
  assert.equal(answer.status, 200);
  await eventually(page, "#glance-text", new RegExp(`^${home} cools for 0:[23]\\d; its sessions borrow from`));
  await eventually(page, "#tiles .tile:nth-child(4)", "1 request rescued");
  await eventually(page, "#requests tbody tr .reason", `${home} answered 429`);
  await page.locator("#requests tbody tr .row-button").first().click();
  await eventually(page, "#dialog", "2 tries");
  assert.match(await page.locator("#dialog").innerText(), /429[^]*rate limit/);
});

test("when every key cools the page says until when", async () => {
  const page = await look();
  await proxy.configure({ max_wait_ms: 0 });
  await proxy.command("reload");
  for (const key of SECRETS) await mock.throttle(key, 40);
  assert.equal((await proxy.ask("ada")).status, 429);
  await eventually(page, "#glance-text", /^No key can serve until \d\d:\d\d(:\d\d)?, in 0:[34]\d$/);
});

test("a key that is disabled in the browser gets no request until it is enabled", async () => {
  const page = await command();
  const label = (await proxy.ask("ada")).headers["x-lb-key"];
  await row(page, label).locator("button", { hasText: "Disable" }).click();
  await page.locator("#dialog button.danger").click();
  await eventually(page, "#toasts", `${label} is disabled.`);
  await eventually(page, "#glance-text", `${label} is disabled`);
  const before = (await mock.keysUsed()).length;
  for (const session of ["ada", "grace", "linus", "dennis"]) assert.equal((await proxy.ask(session, { turn: 2 })).status, 200);
  const secret = KEYS.find((key) => key.label === label).key;
  const since = (await mock.keysUsed()).slice(before);
  assert.ok(since.length >= 4 && !since.includes(secret), `${since}`);
  await page.mouse.move(5, 5);
  await row(page, label).locator("button", { hasText: "Enable" }).click();
  await eventually(page, "#glance-text", "All 3 keys are ready");
});

test("a cooldown that is forgotten is over", async () => {
  const page = await command();
  const home = (await proxy.ask("ada")).headers["x-lb-key"];
  await mock.throttle(KEYS.find(({ label }) => label === home).key, 50);
  await proxy.ask("ada", { turn: 2 });
  await eventually(page, "#glance-text", `${home} cools`);
  await row(page, home).locator("button", { hasText: "Use now" }).click();
  await eventually(page, "#toasts", `${home} may be used again.`);
  await page.waitForFunction(() => !document.querySelector("#glance-text").textContent.includes("cools"));
  assert.equal((await proxy.ask("ada", { turn: 2 })).headers["x-lb-key"], home);
});

test("a session is unpinned", async () => {
  const page = await command();
  await proxy.ask("ada");
  await eventually(page, "#sessions tbody tr", "mock-large");
  await page.locator("#sessions button", { hasText: "Unpin" }).click();
  await eventually(page, "#toasts", "chooses its key anew.");
  await until("it has no home", async () => (await proxy.state()).sessions.every((session) => session.home === null));
});

test("the configuration is reloaded, and what is wrong with it is told", async () => {
  const page = await command();
  await proxy.configure({ keys: KEYS.slice(0, 2) });
  await page.locator("#reload").click();
  await eventually(page, "#toasts", "Reloaded");
  await page.waitForFunction(() => document.querySelectorAll("#keys tbody tr").length === 2);
  await proxy.configure({ keys: [] });
  await page.locator("#reload").click();
  await eventually(page, "#toasts", "not reloaded, the configuration before stays in force");
  await page.locator("#problems").waitFor();
});

test("without the token, or with a wrong one, nothing is changed", async () => {
  const page = await look();
  assert.equal(await row(page, "one").locator("button", { hasText: "Disable" }).isDisabled(), true);
  const { keys } = await proxy.state();
  for (const headers of [{}, { "x-lb-token": "0".repeat(64) }]) {
    const answer = await send(`${proxy.url}/_lb/keys/${keys[0].fingerprint}/disable`, { method: "POST", headers: { "content-type": "application/json", ...headers } });
    assert.equal(answer.status, 403);
  }
  const wrong = await open(`${proxy.url}/_lb/#token=${"0".repeat(64)}`, LOST);
  await wrong.locator("#reload").click();
  await eventually(wrong, "#mode", "View only");
  assert.ok((await proxy.state()).keys.every((key) => key.state !== "disabled"));
});

test("where clients need a token, so does who looks", async () => {
  await proxy.halt();
  await proxy.configure({ client_tokens: ["client-token-0123456789-abcdefghijklmnop"] });
  await proxy.run();
  const page = await browser.open(`${proxy.url}/_lb/`);
  page.allowed = LOST;
  pages.push(page);
  await eventually(page, "#glance-text", "The proxy does not show this without a token");
  assert.equal(await page.locator("#keys tbody tr").count(), 0);
  await page.goto(await proxy.dashboard());
  await eventually(page, "#glance-text", "All 3 keys are ready");
  assert.equal(page.url(), `${proxy.url}/_lb/`);
});

test("labels, models and user agents of anybody stay text", async () => {
  await proxy.configure({ keys: [{ ...KEYS[0], label: "one" }, { ...KEYS[1], label: `two ${EVIL}` }] });
  await proxy.command("reload").catch(() => null);
  const page = await look();
  await proxy.ask("ada", { model: EVIL, agent: `${EVIL}/1.0` });
  await proxy.ask("grace", { model: "</script><script>alert(2)</script>", agent: "\"><svg onload=alert(3)>" });
  await eventually(page, "#requests", "<img src=x");
  await page.locator(".row-button").first().click();
  await eventually(page, "#dialog", "One try");
  assert.equal(await page.evaluate(() => document.querySelectorAll("img[src='x'], body script, [onerror], [onload]").length), 0);
});

test("the page finds the proxy again after a restart, and what it missed", async () => {
  const page = await command(LOST);
  await proxy.halt();
  await eventually(page, "#glance-text", "The proxy does not answer");
  await proxy.run();
  await eventually(page, "#glance-text", "All 3 keys are ready");
  await eventually(page, "#mode", "View only");
  await proxy.ask("ada");
  await eventually(page, "#requests tbody tr", "mock-large");
});

test("the files come with a strict policy and are fetched once", async () => {
  const page = await send(`${proxy.url}/_lb/`, { headers: { accept: "text/html" } });
  assert.equal(page.headers["content-security-policy"].replace(/\s+/g, " "), CONTENT_POLICY);
  assert.equal(page.headers["x-content-type-options"], "nosniff");
  for (const name of page.text.match(/\/_lb\/[a-z]+\.[a-z]+/g)) {
    const file = await send(`${proxy.url}${name}`);
    assert.equal(file.status, 200, name);
    const again = await send(`${proxy.url}${name}`, { headers: { "if-none-match": file.headers.etag } });
    assert.equal(again.status, 304, name);
  }
});
