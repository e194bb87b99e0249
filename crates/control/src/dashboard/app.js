// The dashboard: what the proxy says goes to the parts of the page, once a second and when something happens.

import * as actions from "./actions.js";
import * as charts from "./charts.js";
import { explainMode, toast } from "./dialogs.js";
import { byId, el, reconcile, setAttribute, setIcon, setProse, setText } from "./dom.js";
import { count, countdown, duration, money, percent, plural, share, span, tokens } from "./format.js";
import { aloud, glance } from "./glance.js";
import * as keys from "./keys.js";
import * as requests from "./requests.js";
import * as sessions from "./sessions.js";
import { connect } from "./stream.js";

const TICK_MS = 1000;
// A connection that is back before that was not missed: a restart hands over in less.
const GRACE_MS = 2500;
// How old what is shown may be before its age is told.
const FRESH_MS = 5000;
const GLANCE_ICONS = { good: "good", warn: "warn", bad: "bad", idle: "off" };
const THEMES = ["auto", "light", "dark"];
const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" };

let state = null;
// What the clock of the proxy is ahead of ours, in ms.
let skew = 0;
let link = { phase: "connecting" };
let alive = 0;
let drawn = null;

const now = () => Date.now() + skew;

function onEvent(name, data) {
  let value;
  try {
    value = JSON.parse(data);
  } catch {
    return;
  }
  if (name === "state") {
    state = value;
    skew = Math.abs((state.now ?? Date.now()) - Date.now()) > TICK_MS ? state.now - Date.now() : 0;
    if (actions.bind(state.health?.instance)) {
      toast("The proxy was started anew, so this page may only look until it gets the new token: `api-key-lb dashboard`.", "warn");
    }
    draw();
  } else if (name === "request") {
    requests.add(Array.isArray(value) ? value : [value]);
    charts.soon();
  }
}

// Nobody looks at a hidden page: it is drawn when it is seen again.
function draw() {
  if (!state || document.hidden || drawn === state) return;
  drawn = state;
  const at = now();
  setText(byId("target"), targets());
  drawProblems();
  drawTiles();
  keys.update(state, at);
  sessions.update(state, at);
  drawAbout();
  drawGlance();
}

function targets() {
  const pools = state.health?.pools ?? [];
  const list = pools.length > 0 ? pools.map((pool) => pool.target) : [state.health?.target];
  return list.filter(Boolean).map((target) => target.replace(/^https?:\/\//, "")).join(" · ");
}

let spoken = "";

function drawGlance() {
  const lost = !state || link.phase === "refused" || (link.phase !== "live" && Date.now() - alive > GRACE_MS);
  const said = state && !lost ? glance(state, now()) : absence();
  setAttribute(byId("glance"), "data-level", said.level);
  setIcon(byId("glance-icon"), GLANCE_ICONS[said.level]);
  const line = byId("glance-text");
  const shape = JSON.stringify(said.text);
  if (line.dataset.shape !== shape) {
    line.dataset.shape = shape;
    line.replaceChildren(...said.text.map((part) => (typeof part === "string" ? part : el("span", { class: "left", "data-until": part.until }))));
  }
  for (const node of line.querySelectorAll("[data-until]")) setText(node, countdown(Number(node.dataset.until) - now()));
  setProse(byId("glance-more"), said.more);
  const words = aloud(said);
  if (words !== spoken) {
    spoken = words;
    setText(byId("glance-aloud"), words);
    document.title = `${words.split(/[;,]/)[0]} · api-key-lb`;
  }
}

// There is nobody to ask, or nobody who answers.
function absence() {
  if (link.phase === "refused" && (link.status === 401 || link.status === 403)) {
    return { level: "bad", text: ["The proxy does not show this without a token"], more: "Run `api-key-lb dashboard` as the user who started it, and open the address that it prints." };
  }
  if (link.phase === "refused") {
    return { level: "bad", text: [`The proxy answers with status ${link.status}`], more: "Is it of another version? `api-key-lb restart` replaces it." };
  }
  if (link.phase === "waiting") {
    const more = state ? "What stands below is what it said last. It is asked again until it answers." : "Start it with `api-key-lb start`.";
    return { level: "idle", text: ["The proxy does not answer"], more };
  }
  return { level: "idle", text: [state ? "Asking the proxy again…" : "Asking the proxy…"], more: state ? "What stands below is what it said last." : "\u00a0" };
}

function drawProblems() {
  const problems = state.problems ?? [];
  byId("problems").hidden = problems.length === 0;
  const items = problems.map((text, index) => ({ text, index }));
  const create = () => ({ node: el("li") });
  reconcile(byId("problems-list"), items, (item) => item.index, create, (row, item) => setProse(row.node, item.text));
}

function drawTiles() {
  const totals = state.totals ?? {};
  const saved = state.saved ?? {};
  const part = share(totals.cached, totals.prompt);
  const usd = saved.usd ?? totals.saved_usd;
  // Nothing saved may mean that no price is known.
  const dollars = usd > 0 ? money(usd) : null;
  const spent = money(totals.cost_usd);
  const hidden = saved.throttles_hidden ?? 0;
  const rescued = saved.requests_rescued ?? 0;
  const waiting = state.health?.waiting ?? 0;
  const savedTokens = `${tokens(saved.cached_tokens ?? totals.cached)} tokens`;
  const tiles = [
    ["Requests", count(totals.requests), totals.errors > 0 ? `${count(totals.errors)} failed` : "none failed"],
    ["From cache", percent(part), totals.prompt > 0 ? `${tokens(totals.cached)} of ${tokens(totals.prompt)} prompt tokens` : "no token counted yet"],
    dollars === null
      ? ["Saved", savedTokens, "not read again by the provider"]
      : ["Saved", dollars, spent === null ? `${savedTokens} not read again` : `${savedTokens} · ${spent} spent`],
    ["Throttles hidden", count(hidden), rescued > 0 ? `${plural(rescued, "request")} rescued` : "no request needed another key"],
    ["Waited for a key", totals.waited_ms > 0 ? duration(totals.waited_ms) : "0 s", waiting > 0 ? `${plural(waiting, "request")} ${waiting === 1 ? "waits" : "wait"} now` : "nobody waits now"],
  ];
  const create = () => {
    const [name, value, more] = [el("dt"), el("dd", { class: "value" }), el("dd", { class: "faint" })];
    return { node: el("div", { class: "tile" }, name, value, more), parts: [name, value, more] };
  };
  reconcile(byId("tiles"), tiles, ([name]) => name, create, (row, texts) => row.parts.forEach((node, index) => setText(node, texts[index])));
}

function drawAbout() {
  const { version, pid, uptime_ms: uptime, store } = state.health ?? {};
  const parts = [version && `api-key-lb ${version}`, pid && `process ${pid}`, uptime !== undefined && `totals since its start ${span(uptime)} ago`];
  if (store?.status === "failing") parts.push("the store cannot be written");
  setText(byId("about"), parts.filter(Boolean).join(" · "));
}

function onLink(phase, detail) {
  const before = link.phase;
  link = { phase, ...detail };
  if (phase === "live") {
    alive = Date.now();
    if (before !== "live") {
      requests.load();
      charts.load();
    }
  }
  // A new try does not flicker.
  if (phase !== "connecting" || !state) drawGlance();
  drawLink();
}

function drawLink() {
  const since = alive > 0 ? span(Date.now() - alive) : null;
  const shown = link.phase === "connecting" && state ? "waiting" : link.phase;
  setAttribute(byId("link"), "data-link", shown);
  const text = {
    live: Date.now() - alive < FRESH_MS ? "Live" : `Live · last update ${since} ago`,
    connecting: state ? `Connecting… · last update ${since} ago` : "Connecting…",
    waiting: `${since ? `Last update ${since} ago` : "No answer"} · next try in ${span(Math.max(0, link.retryAt - Date.now()) + 999)}`,
    refused: `Refused (${link.status}) · next try in ${span(Math.max(0, link.retryAt - Date.now()) + 999)}`,
  }[link.phase];
  setText(byId("link-text"), text);
  byId("retry").hidden = link.phase !== "waiting" && link.phase !== "refused";
  document.documentElement.toggleAttribute("data-stale", state !== null && link.phase !== "live" && shown !== "live");
}

function drawMode() {
  const on = actions.mayAct();
  setIcon(byId("mode"), on ? "unlock" : "lock");
  setText(byId("mode-text"), on ? "Actions on" : "View only");
  if (!byId("reload").dataset.busy) byId("reload").disabled = !on;
  keys.note();
  sessions.note();
}

function chooseTheme(theme) {
  try {
    if (theme === "auto") localStorage.removeItem("api-key-lb.theme");
    else localStorage.setItem("api-key-lb.theme", theme);
  } catch {
    // Then it lasts until the page is left.
  }
  setAttribute(document.documentElement, "data-theme", theme === "auto" ? null : theme);
  setIcon(byId("theme-icon"), theme);
  const text = `Colours: ${THEME_NAMES[theme]}`;
  setText(byId("theme-text"), text);
  setAttribute(byId("theme"), "title", text);
}

function tick() {
  drawLink();
  if (!state || document.hidden) return;
  const at = now();
  keys.tick(at);
  sessions.tick(at);
  drawGlance();
}

function start() {
  actions.onMode(drawMode);
  actions.takeToken();
  charts.start();
  requests.start();
  sessions.start(requests.filterBy);
  chooseTheme(document.documentElement.dataset.theme ?? "auto");
  byId("theme").addEventListener("click", () => {
    const current = document.documentElement.dataset.theme ?? "auto";
    chooseTheme(THEMES[(THEMES.indexOf(current) + 1) % THEMES.length]);
  });
  byId("mode").addEventListener("click", explainMode);
  byId("reload").addEventListener("click", () => keys.act(byId("reload"), actions.reload));
  const live = connect({
    url: "/_lb/events",
    headers: actions.headers,
    onEvent,
    onAlive: () => {
      alive = Date.now();
    },
    onLink,
  });
  byId("retry").addEventListener("click", () => live.now());
  // The address with the token, pasted into a tab that is here already.
  addEventListener("hashchange", () => {
    if (!location.hash.startsWith("#token=")) return;
    actions.takeToken();
    live.now();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    if (live.isWaiting()) live.now();
    draw();
    tick();
    charts.load();
  });
  setInterval(tick, TICK_MS);
}

start();
