// The list of requests as they happen, newest first.

import * as actions from "./actions.js";
import { command, showRequest, tone } from "./dialogs.js";
import { byId, cell, el, icon, isInUse, reconcile, setAttribute, setText } from "./dom.js";
import { duration, percent, plural, share, time, tokens } from "./format.js";

// Requests kept and shown.
const MOST = 100;
const ICONS = { good: "good", warn: "warn", bad: "bad" };

let list = [];
// What came while somebody was at the list; shown once they have left it, or ask for it.
let held = [];
let session = null;
let loaded = false;
let asked = 0;

// Begins anew: what the proxy remembers, of everything or of one session.
export async function load() {
  const mine = ++asked;
  const query = session ? `&session=${encodeURIComponent(session)}` : "";
  try {
    const { requests = [] } = await actions.get(`/_lb/requests?limit=${MOST}${query}`);
    if (mine !== asked) return;
    list = requests.slice(0, MOST);
    held = [];
    loaded = true;
    draw();
  } catch {
    // The live connection says what is wrong.
  }
}

// What has just happened; newest last or first, as it comes.
export function add(requests) {
  const fresh = requests.filter((request) => !session || request.session === session);
  held.push(...fresh);
  settle();
}

// Shows what is held, unless somebody is at the list.
export function settle(force = false) {
  if (held.length === 0) return;
  if (!force && isInUse(byId("requests-scroll"))) {
    const newer = byId("newer");
    newer.hidden = false;
    setText(newer, `Show ${plural(held.length, "newer request")}`);
    return;
  }
  const known = new Map(list.map((request) => [request.id, request]));
  for (const request of held) known.set(request.id, request);
  list = [...known.values()].sort((a, b) => b.began + b.took_ms - a.began - a.took_ms).slice(0, MOST);
  held = [];
  draw();
}

export function filterBy(id) {
  session = id;
  const button = byId("filter");
  button.hidden = id === null;
  setText(byId("filter-text"), id ? `Session ${id}` : "");
  setAttribute(button, "aria-label", id ? `Show the requests of all sessions again, not only of ${id}` : null);
  load();
}

export function start() {
  byId("filter").addEventListener("click", () => {
    filterBy(null);
    byId("requests-scroll").focus();
  });
  byId("newer").addEventListener("click", () => {
    settle(true);
    byId("requests-scroll").scrollTop = 0;
    byId("requests-scroll").focus();
  });
  const scroll = byId("requests-scroll");
  scroll.addEventListener("pointerleave", () => settle());
  scroll.addEventListener("focusout", () => setTimeout(settle));
  drawEmpty();
}

function draw() {
  byId("newer").hidden = true;
  byId("requests-scroll").hidden = list.length === 0;
  byId("requests-empty").hidden = list.length > 0 || !loaded;
  byId("guide").hidden = session !== null;
  setText(byId("none-text"), session ? "This session has no request that the proxy still remembers." : "No request has come yet.");
  setText(byId("requests-note"), list.length > 0 ? `the last ${list.length === 1 ? "one" : list.length}` : "");
  reconcile(byId("requests").tBodies[0], list, (request) => request.id, create, (row, request) => row.update(request));
}

function create(first) {
  let request = first;
  const open = el("button", { type: "button", class: "row-button", onclick: () => showRequest(request) });
  const state = icon("good");
  const status = el("span");
  const answer = el("span", { class: "status" }, state, status);
  const model = el("span", { class: "line strong" });
  const from = el("span", { class: "line faint" });
  const key = el("span", { class: "line" });
  const affinity = el("span", { class: "line faint" });
  const why = el("span", { class: "clamp" });
  const prompt = el("span", { class: "line" });
  const cached = el("span", { class: "line faint" });
  const took = el("span", { class: "line" });
  const waited = el("span", { class: "line faint" });
  const node = el(
    "tr",
    { role: "row" },
    cell("Time", { class: "when" }, open),
    cell("Answer", { class: "answer" }, answer),
    cell("Request", { class: "what" }, model, from),
    cell("Key", { class: "by" }, key, affinity),
    cell("Why this key", { class: "reason" }, why),
    cell("Prompt", { class: "num prompt" }, prompt, cached),
    cell("Took", { class: "num took" }, took, waited),
  );
  return {
    node,
    update(now) {
      request = now;
      const kind = tone(request);
      setAttribute(node, "data-tone", kind);
      setAttribute(state.firstChild, "href", `#i-${ICONS[kind]}`);
      setText(open, time(request.began));
      const tries = request.attempts ?? [];
      setText(status, request.status ? `${request.status}` : "left");
      setText(model, request.model ?? request.path);
      setText(from, [request.client, request.model ? request.path : null, request.pool].filter(Boolean).join(" · "));
      setText(key, tries.at(-1)?.key ?? "none");
      setText(affinity, tries.length > 0 ? affinityLine(request, tries) : "");
      setText(why, explain(request, tries));
      setAttribute(why, "title", why.textContent);
      const { usage } = request;
      setText(prompt, usage ? tokens(usage.prompt) : "–");
      setText(cached, usage ? `${percent(share(usage.cached, usage.prompt))} cached` : "");
      setText(took, duration(request.took_ms));
      setText(waited, request.waited_ms > 0 ? `waited ${duration(request.waited_ms)}` : "");
      setAttribute(open, "aria-label", `Details of the request at ${open.textContent}: ${model.textContent}, ${status.textContent}`);
    },
  };
}

function affinityLine(request, tries) {
  const affinity = request.affinity && request.affinity !== "none" ? request.affinity : "in turn";
  return tries.length > 1 ? `${affinity}, try ${tries.length}` : affinity;
}

// Why it was that key: in the proxy's words, else what the affinity means.
function explain(request, tries) {
  const failed = tries.slice(0, -1).map((attempt) => `${attempt.key} answered ${attempt.status ?? "nothing"}`);
  if (request.error_code && tries.length === 0 && !request.reason) failed.push(`no key was asked: ${request.error_code}`);
  const plain = { home: "its session lives there", new: "a new session", borrowed: "its home could not serve", moved: "its home is gone" };
  const why = request.reason ?? plain[request.affinity] ?? (tries.length > 0 ? "no session: the keys take turns" : "");
  return [...failed, why].filter(Boolean).join("; ");
}

// How to point an agent here.
function drawEmpty() {
  const base = location.origin;
  const item = (name, text) => el("div", {}, el("dt", { text: name }), el("dd", {}, command(text)));
  byId("requests-empty").append(
    el("p", { class: "strong", id: "none-text", text: "No request has come yet." }),
    el(
      "div",
      { id: "guide" },
      el("p", { class: "faint", text: "Give your agent this proxy as its base URL, with the path that it had before; the key configured there no longer matters. Or have the agents on this machine pointed here:" }),
      command("api-key-lb setup"),
      el(
        "dl",
        { class: "guide" },
        item("Claude Code", `ANTHROPIC_BASE_URL=${base}`),
        item("Codex", `openai_base_url = "${base}/v1"`),
        item("OpenCode", `"baseURL": "${base}/v1"`),
        item("OpenAI SDKs", `base_url="${base}/v1"`),
      ),
    ),
  );
}
