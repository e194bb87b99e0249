// What opens above the page: one request in full, how to get the token, the question before a key is disabled;
// and the short messages at the bottom.

import * as actions from "./actions.js";
import { byId, el, icon, prose } from "./dom.js";
import { bytes, count, duration, micros, money, names, percent, plural, share, time, words } from "./format.js";

// How long a message stays, in ms.
const TOAST_MS = 6000;
const BAD_TOAST_MS = 12_000;

const ENDINGS = {
  complete: "complete",
  client_left: "the client left before the end",
  cut: "cut off by the provider",
  own: "answered by the proxy itself",
};

export function toast(text, kind = "good") {
  const close = () => node.remove();
  const node = el(
    "div",
    { class: "toast", "data-kind": kind },
    icon(kind),
    el("span", {}, ...prose(text)),
    el("button", { type: "button", class: "bare", "aria-label": "Close this message", onclick: close }, icon("close")),
  );
  byId("toasts").append(node);
  setTimeout(close, kind === "bad" ? BAD_TOAST_MS : TOAST_MS);
}

function open(title, content, buttons) {
  const dialog = byId("dialog");
  if (dialog.open) dialog.close();
  const close = el(
    "button",
    { type: "button", class: "bare", "aria-label": "Close", onclick: () => dialog.close() },
    icon("close"),
  );
  dialog.replaceChildren(
    el("div", { class: "dialog-head" }, el("h2", { id: "dialog-title", text: title }), close),
    el("div", { class: "dialog-body", tabindex: "0" }, ...content),
    ...(buttons ? [el("div", { class: "dialog-foot" }, ...buttons)] : []),
  );
  dialog.onclick = (event) => {
    if (event.target === dialog) dialog.close();
  };
  dialog.showModal();
  return dialog;
}

// A line to copy.
export function command(text) {
  const button = el("button", { type: "button", class: "bare", "aria-label": `Copy: ${text}` }, icon("copy"));
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.");
    } catch {
      toast("The browser does not let this page copy; select the line instead.", "bad");
    }
  });
  return el("div", { class: "command" }, el("code", { text }), button);
}

export function explainMode() {
  const paragraph = (text) => el("p", {}, ...prose(text));
  if (actions.mayAct()) {
    const end = el("button", {
      type: "button",
      text: "Forget the token",
      onclick: () => {
        actions.drop();
        dialog.close();
      },
    });
    const dialog = open("Actions are on", [
      paragraph("This tab knows the token of the running proxy, so it can disable and enable keys, forget cooldowns, let go of sessions and reload the configuration."),
      paragraph("The token is kept in this tab only, and is worth nothing after the next start of the proxy."),
    ], [end]);
    return;
  }
  const port = location.port || (location.protocol === "https:" ? "443" : "80");
  open("View only", [
    paragraph("Whoever reaches this page may look. To change something it needs the token of the running proxy, which only the user who started it can read. In a terminal of that user:"),
    command(port === "4577" ? "api-key-lb dashboard" : `api-key-lb dashboard --port ${port}`),
    paragraph("This prints an address that carries the token; with `--open` the browser opens it at once."),
  ]);
}

// Resolves to whether it shall be done.
export function confirmDisable(key, others) {
  return new Promise((resolve) => {
    let sure = false;
    const moved = key.sessions > 0
      ? `${plural(key.sessions, "session")} ${key.sessions === 1 ? "lives" : "live"} there and would be read anew elsewhere, without the prompt cache. `
      : "";
    const text = others.length > 0
      ? `New requests go to ${names(others.map((other) => other.label))}. ${moved}Running answers finish.`
      : `No other key can serve right now: every request will fail until one is back. ${moved}Running answers finish.`;
    const cancel = el("button", { type: "button", text: "Cancel", onclick: () => dialog.close() });
    const disable = el("button", {
      type: "button",
      class: "danger",
      text: `Disable ${key.label}`,
      onclick: () => {
        sure = true;
        dialog.close();
      },
    });
    const warning = others.length > 0 ? [] : [el("p", { class: "note", "data-kind": "bad" }, icon("bad"), "This is the last key that can serve.")];
    const dialog = open(`Disable ${key.label}?`, [...warning, el("p", { text })], [cancel, disable]);
    cancel.focus();
    dialog.addEventListener("close", () => resolve(sure), { once: true });
  });
}

// Shows what is known of a request, then what the proxy knows.
export function showRequest(request) {
  const draw = (full) => [summary(full), timing(full), facts(full), ...tries(full)];
  const dialog = open(title(request), draw(request));
  const body = dialog.querySelector(".dialog-body");
  actions
    .get(`/_lb/requests/${encodeURIComponent(request.id)}`)
    .then((full) => {
      if (body.isConnected && dialog.open) body.replaceChildren(...draw(full));
    })
    .catch(() => {
      if (body.isConnected) body.append(el("p", { class: "faint", text: "The proxy has forgotten the rest of this request." }));
    });
}

const title = (request) => `${request.method} ${request.path}`;

function summary(request) {
  const status = request.status ? `Answered with ${request.status}` : "No answer";
  const key = request.attempts?.at(-1)?.key;
  const how = request.affinity && request.affinity !== "none" ? `, ${affinityWords(request.affinity)}` : "";
  const who = key ? ` by ${key}${how}` : "";
  const why = request.reason ? [el("p", { class: "why", text: request.reason })] : [];
  return el("div", { class: "summary", "data-tone": tone(request) }, el("p", { class: "strong", text: `${status}${who}.` }), ...why);
}

export function affinityWords(affinity) {
  return { home: "the home of its session", new: "the home of a new session", borrowed: "borrowed from another key", moved: "the new home of its session" }[affinity] ?? affinity;
}

export function tone(request) {
  if (!request.status || request.status >= 500 || request.error_code || request.ending === "cut") return "bad";
  return request.status >= 400 || request.ending === "client_left" ? "warn" : "good";
}

// Where the time went: waiting for a key, until the first byte, the rest of the answer.
function timing(request) {
  const took = Math.max(1, request.took_ms ?? 0);
  const waited = Math.min(took, request.waited_ms ?? 0);
  const first = Math.min(took, Math.max(waited, request.first_byte_ms ?? took));
  const parts = [
    ["waited", "waited for a key", waited],
    ["thought", "until the first byte", first - waited],
    ["streamed", "answer", took - first],
  ].filter(([, , ms]) => ms > 0);
  const line = el("div", { class: "timing", "aria-hidden": "true" });
  const legend = el("ul", { class: "legend" });
  for (const [kind, text, ms] of parts) {
    const part = el("span", { "data-part": kind });
    part.style.flexGrow = ms / took;
    line.append(part);
    legend.append(el("li", { "data-part": kind }, `${text} ${duration(ms)}`));
  }
  return el("div", {}, line, legend);
}

function facts(request) {
  const list = el("dl", { class: "facts" });
  const add = (name, value) => {
    if (value !== null && value !== undefined && value !== "") {
      list.append(el("div", {}, el("dt", { text: name }), el("dd", { text: value })));
    }
  };
  const { usage } = request;
  add("Began", time(request.began));
  add("Took", duration(request.took_ms));
  add("Added by the proxy", request.added_us === undefined || request.added_us === null ? null : micros(request.added_us));
  add("Model", request.model);
  add("Client", request.client);
  add("Session", request.session && `${request.session}${request.rule ? ` (${request.rule})` : ""}`);
  add("Pool", request.pool);
  add("Prompt", usage && `${count(usage.prompt)} tokens, ${count(usage.cached)} from cache (${percent(share(usage.cached, usage.prompt))})`);
  add("Written to cache", usage?.written > 0 ? `${count(usage.written)} tokens` : null);
  add("Output", usage && `${count(usage.output)} tokens`);
  add("Cost", money(request.cost_usd));
  add("Sent, received", `${bytes(request.request_bytes)}, ${bytes(request.response_bytes)}`);
  add("Ending", ENDINGS[request.ending] ?? words(request.ending));
  add("Error", request.error_code);
  add("Id", request.id);
  return list;
}

function tries(request) {
  const attempts = request.attempts ?? [];
  if (attempts.length === 0) return [el("p", { class: "faint", text: "No key was asked." })];
  const head = (text) => el("th", { scope: "col", text });
  const rows = attempts.map((attempt, index) =>
    el(
      "tr",
      {},
      el("th", { scope: "row", text: `${index + 1}` }),
      el("td", { "data-label": "Key", text: attempt.key }),
      el("td", { "data-label": "Answer", text: attempt.status ?? "none" }),
      el("td", { "data-label": "Means", text: words(attempt.verdict ?? (attempt.status && attempt.status < 400 ? "served" : "–")) }),
      el("td", { "data-label": "Took", text: duration(attempt.took_ms) }),
      el("td", { "data-label": "By the rule", class: "wrap", text: attempt.reason ?? "–" }),
    ),
  );
  return [
    el("h3", { text: attempts.length === 1 ? "One try" : `${attempts.length} tries` }),
    el(
      "table",
      { class: "tries" },
      el("thead", {}, el("tr", {}, head("Try"), head("Key"), head("Answer"), head("Means"), head("Took"), head("By the rule"))),
      el("tbody", {}, ...rows),
    ),
  ];
}
