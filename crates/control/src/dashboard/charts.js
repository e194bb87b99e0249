// The charts over an hour, a day or a month, and the same as a table.

import * as actions from "./actions.js";
import { byId, el, setAttribute, setText } from "./dom.js";
import { count, duration, micros, percent, plural, share, stepTime, tokens } from "./format.js";
import { createPlot } from "./plot.js";

// How often they are asked for while nothing tells of requests, and while something does, in ms.
const SLOW_MS = 60_000;
const FAST_MS = 4_000;
const SPANS = { "1h": "the last hour, by minute", "24h": "the last 24 hours, by hour", "30d": "the last 30 days, by day" };

const total = (values) => (values ?? []).reduce((sum, value) => sum + (value ?? 0), 0);
const at = (values, index) => values?.[index] ?? 0;
const shares = (series) => (series.prompt ?? []).map((prompt, index) => share(at(series.cached, index), prompt));
const added = (series) => series.added_us ?? [];

function mean(values) {
  const some = values.filter((value) => value !== null && value !== undefined);
  return some.length === 0 ? null : total(some) / some.length;
}

const requestWords = (all, failed) => (failed > 0 ? `${count(all)} · ${plural(failed, "error")}` : count(all));
const tokenWords = (prompt, cached, output) => `${tokens(prompt)} in · ${tokens(cached)} cached · ${tokens(output)} out`;
const wholeNumber = (value) => (Number.isInteger(value) ? tokens(value) : null);

const CHARTS = [
  {
    title: "Requests",
    kind: "columns",
    layers: [
      { name: "answered", tone: "accent", values: (s) => s.requests.map((n, i) => Math.max(0, n - at(s.errors, i))) },
      { name: "failed", tone: "bad", values: (s) => s.errors ?? [] },
    ],
    least: 4,
    unit: wholeNumber,
    say: (s, i) => requestWords(at(s.requests, i), at(s.errors, i)),
    sum: (s) => requestWords(total(s.requests), total(s.errors)),
  },
  {
    title: "Tokens",
    kind: "columns",
    layers: [
      { name: "from cache", tone: "accent", values: (s) => s.cached ?? [] },
      { name: "read anew", tone: "soft", values: (s) => s.prompt.map((n, i) => Math.max(0, n - at(s.cached, i))) },
      { name: "output", tone: "ink", values: (s) => s.output ?? [] },
    ],
    least: 1000,
    unit: (value) => tokens(value),
    say: (s, i) => tokenWords(at(s.prompt, i), at(s.cached, i), at(s.output, i)),
    sum: (s) => tokenWords(total(s.prompt), total(s.cached), total(s.output)),
  },
  {
    title: "Prompt from cache",
    kind: "line",
    layers: [{ name: "from cache", tone: "accent", values: shares }],
    most: 1,
    unit: (value) => percent(value),
    say: (s, i) => percent(shares(s)[i]),
    sum: (s) => percent(share(total(s.cached), total(s.prompt))),
  },
  {
    title: "Throttles",
    kind: "columns",
    layers: [{ name: "throttles", tone: "warn", values: (s) => s.throttles ?? [] }],
    least: 4,
    unit: wholeNumber,
    say: (s, i) => count(at(s.throttles, i)),
    sum: (s) => count(total(s.throttles)),
  },
  {
    title: "Waiting for a key",
    kind: "columns",
    layers: [{ name: "waits", tone: "warn", values: (s) => s.waits_ms ?? [] }],
    least: 1000,
    unit: (value) => (value === 0 ? "0" : duration(value)),
    say: (s, i) => duration(at(s.waits_ms, i)),
    sum: (s) => `${duration(total(s.waits_ms))} in all`,
  },
  {
    title: "Added latency",
    kind: "line",
    layers: [{ name: "added", tone: "accent", values: added }],
    least: 100,
    unit: (value) => (value === 0 ? "0" : micros(value)),
    say: (s, i) => micros(added(s)[i]),
    sum: (s) => (mean(added(s)) === null ? "–" : `${micros(mean(added(s)))} on average`),
  },
];

let plots = [];
let span = "1h";
let told = null;
let asked = 0;
let timer = null;
let last = 0;

export function start() {
  const look = (index) => {
    for (const plot of plots) plot.look(index);
    note(index);
  };
  plots = CHARTS.map((spec) => createPlot(spec, look));
  byId("charts").append(...plots.map((plot) => plot.node));
  byId("span").addEventListener("change", (event) => {
    span = event.target.value;
    look(null);
    load();
  });
  const toggle = byId("as-table");
  toggle.addEventListener("click", () => {
    const table = toggle.getAttribute("aria-pressed") !== "true";
    setAttribute(toggle, "aria-pressed", String(table));
    byId("charts").hidden = table;
    byId("charts-scroll").hidden = !table;
    if (table) drawTable();
  });
}

export async function load() {
  clearTimeout(timer);
  timer = setTimeout(load, SLOW_MS);
  if (document.hidden) return;
  last = Date.now();
  const mine = ++asked;
  try {
    const answer = await actions.get(`/_lb/charts?span=${span}`);
    if (mine === asked) show(answer);
  } catch {
    // The live connection says what is wrong.
  }
}

// Something has happened: soon, but not for each request.
export function soon() {
  const wait = span === "1h" ? FAST_MS : SLOW_MS;
  clearTimeout(timer);
  timer = setTimeout(load, Math.max(0, last + wait - Date.now()));
}

function show({ series = {}, from, step_ms: stepMs }) {
  series.requests ??= [];
  series.prompt ??= [];
  told = {
    series,
    steps: series.requests.length,
    label: (index, long) => stepTime(from + index * stepMs, stepMs, long),
  };
  for (const plot of plots) plot.set(told);
  note(null);
  if (!byId("charts-scroll").hidden) drawTable();
}

function note(index) {
  setText(byId("charts-note"), index === null || !told || index >= told.steps ? SPANS[span] : `at ${told.label(index, true)}`);
}

function drawTable() {
  if (!told) return;
  const { series, steps, label } = told;
  const head = ["When", ...CHARTS.map((spec) => spec.title)];
  const rows = Array.from({ length: steps }, (_, index) => steps - 1 - index).map((index) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", text: label(index, true) }),
      ...CHARTS.map((spec) => el("td", { text: spec.say(series, index), "data-label": spec.title })),
    ),
  );
  byId("charts-table").replaceChildren(
    el("caption", { class: "unseen", text: `What happened in ${SPANS[span]}, newest first` }),
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col", text })))),
    el("tbody", {}, ...rows),
  );
}
