// The table of keys: state, headroom, what came from the cache, and what can be done with each.

import * as actions from "./actions.js";
import { confirmDisable, toast } from "./dialogs.js";
import { bar, byId, cell, el, icon, reconcile, setAttribute, setIcon, setProse, setText } from "./dom.js";
import { count, countdown, moment, percent, plural, share, tokens, words } from "./format.js";

// What each state is called, and what it means if the proxy gives no reason.
const STATES = {
  ready: ["ready", ""],
  cooling: ["cools", "throttled"],
  parked: ["parked", "quota or credit is used up"],
  refused: ["refused", "the provider does not accept this key"],
  disabled: ["disabled", "until it is enabled again"],
  recovering: ["recovering", "one request first shows that it serves again"],
};
// Limits shown for each key; the tightest ones.
const MOST_LIMITS = 3;
// Below this part left, a bar warns.
const SCARCE = 0.15;

let shown = [];
let all = 0;

export function update(state, now) {
  shown = state.keys ?? [];
  all = shown.reduce((sum, key) => sum + (key.requests ?? 0), 0);
  const pools = new Set(shown.map((key) => key.pool ?? ""));
  byId("keys").hidden = shown.length === 0;
  const empty = byId("keys-empty");
  empty.hidden = shown.length > 0;
  setProse(empty, "There is no key. Add one with `api-key-lb setup`, or in the configuration file.");
  const name = (key) => (pools.size > 1 ? key.pool || "default pool" : null);
  reconcile(
    byId("keys").tBodies[0],
    shown,
    (key) => `${key.pool ?? ""}/${key.fingerprint}`,
    create,
    (row, key) => row.update(key, name(key), now),
  );
  note();
}

// Once a second: what is left of cooldowns and until limits are filled up.
export function tick(now) {
  const body = byId("keys").tBodies[0];
  for (const node of body.querySelectorAll("[data-until]")) {
    const left = Number(node.dataset.until) - now;
    setText(node, countdown(left));
    // The provider tells of limits with answers only: this one is likely full again.
    if (left <= 0) node.closest(".back")?.classList.add("away");
  }
}

export function note() {
  const text = actions.mayAct() ? "" : "View only: actions need the token of this proxy";
  setText(byId("keys-note"), text);
  for (const button of byId("keys").querySelectorAll("button")) {
    if (!button.dataset.busy) button.disabled = !actions.mayAct();
  }
}

function create(first) {
  let key = first;
  const label = el("span", { class: "strong clamp" });
  const whose = el("span", { class: "faint line" });
  const stateIcon = icon("ready");
  const stateWord = el("span");
  const left = el("span", { class: "left" });
  const why = el("span", { class: "faint line" });
  const badge = el("span", { class: "badge" }, stateIcon, stateWord);
  const limits = el("div", { class: "limits" });
  const cache = bar("wide");
  const requests = bar("quiet");
  const troubles = el("span", { class: "faint line" });
  const sessions = cell("Sessions", { class: "num" });
  const toggle = el("button", { type: "button", class: "small", onclick: () => switchKey(key, toggle) });
  const forget = el("button", { type: "button", class: "small", onclick: () => forgetTrouble(key, forget) }, "Use now");
  const node = el(
    "tr",
    { role: "row" },
    el("th", { role: "rowheader", scope: "row" }, label, whose),
    cell("State", {}, el("span", { class: "badge-line" }, badge, left), why),
    cell("Headroom", {}, limits),
    cell("From cache", {}, cache.node),
    cell("Requests", {}, requests.node, troubles),
    sessions,
    cell("Actions", { class: "actions" }, forget, toggle),
  );

  function update(now_, pool, now) {
    key = now_;
    setText(label, key.label);
    setAttribute(label, "title", key.label);
    setText(whose, [pool, key.account].filter(Boolean).join(" · ") || key.fingerprint.slice(0, 8));
    const known = Object.hasOwn(STATES, key.state) ? key.state : "ready";
    const [word, meaning] = STATES[known];
    setAttribute(node, "data-state", known);
    setIcon(stateIcon, known);
    setText(stateWord, word);
    const until = key.until_ms && known !== "disabled" ? key.until_ms : null;
    setAttribute(left, "data-until", until);
    setText(left, until ? countdown(until - now) : "");
    setText(why, reason(known, meaning, until, now));
    setAttribute(why, "title", why.textContent);
    drawLimits(now);
    const part = share(key.cached, key.prompt);
    cache.set(part, part === null ? "–" : `${percent(part)} of ${tokens(key.prompt)}`);
    requests.set(share(key.requests, all), count(key.requests));
    const faults = [];
    if (key.errors > 0) faults.push(plural(key.errors, "error"));
    if (key.throttles > 0) faults.push(plural(key.throttles, "throttle"));
    setText(troubles, faults.join(" · "));
    setText(sessions, count(key.sessions ?? 0));
    setText(toggle, known === "disabled" ? "Enable" : "Disable");
    // What stands in the file is changed there, by nobody but who maintains it.
    toggle.classList.toggle("away", Boolean(key.by_configuration));
    setAttribute(toggle, "aria-label", `${toggle.textContent} ${key.label}`);
    setAttribute(forget, "aria-label", `Use now: ${key.label}`);
    setAttribute(forget, "title", "Forgets the cooldown: the key is used at once, whatever the provider said");
    // Kept in place, so that nothing moves when a key begins to cool.
    forget.classList.toggle("away", !["cooling", "parked", "refused", "recovering"].includes(known));
  }

  function reason(known, meaning, until, now) {
    const parts = [];
    if (until) parts.push(`until ${moment(until, now)}`);
    if (key.by_configuration) parts.push(`in the configuration; api-key-lb keys enable ${key.label}`);
    else if (known !== "ready") parts.push(key.reason ?? meaning);
    else if (key.reason) parts.push(key.reason);
    if (key.models > 0) parts.push(`cools for ${plural(key.models, "model")} only`);
    if (key.in_flight > 0) parts.push(`${key.in_flight} in flight`);
    return parts.join(" · ") || "idle";
  }

  function drawLimits(now) {
    const list = (key.headroom ?? [])
      .filter((limit) => limit.limit > 0)
      .sort((a, b) => a.remaining / a.limit - b.remaining / b.limit)
      .slice(0, MOST_LIMITS);
    const some = list.length > 0 ? list : [null];
    reconcile(limits, some, (limit) => limit?.what ?? "", createLimit, (row, limit) => row.update(limit, now));
  }
  return { node, update };
}

function createLimit(first) {
  if (!first) {
    return { node: el("span", { class: "faint" }, "not told by the provider"), update() {} };
  }
  const name = el("span", { class: "limit-name" });
  const line = bar("limit");
  const left = el("span");
  const back = el("span", { class: "faint left back" }, "in ", left);
  const node = el("div", { class: "limit-row" }, name, line.node, back);
  return {
    node,
    update(limit, now) {
      const part = share(Math.max(0, limit.remaining), limit.limit);
      const asPercent = words(limit.what).startsWith("%");
      setText(name, asPercent ? "window" : words(limit.what));
      line.set(part, asPercent ? `${limit.remaining} % left` : `${tokens(limit.remaining)} of ${tokens(limit.limit)}`);
      setAttribute(node, "data-scarce", part < SCARCE);
      const resets = limit.resets_at && limit.resets_at > now && part < 1 ? limit.resets_at : null;
      setAttribute(left, "data-until", resets);
      setAttribute(back, "title", "until it is filled up");
      back.classList.toggle("away", !resets);
      setText(left, resets ? countdown(resets - now) : "");
    },
  };
}

async function switchKey(key, button) {
  if (key.state === "disabled") {
    await act(button, () => actions.key(key.fingerprint, "enable"), `${key.label} is enabled.`);
    return;
  }
  const others = shown.filter(
    (other) => other !== key && (other.pool ?? "") === (key.pool ?? "") && ["ready", "recovering"].includes(other.state),
  );
  if (!(await confirmDisable(key, others))) return;
  await act(button, () => actions.key(key.fingerprint, "disable"), `${key.label} is disabled.`);
}

const forgetTrouble = (key, button) =>
  act(button, () => actions.key(key.fingerprint, "forget"), `${key.label} may be used again.`);

// Carries something out, once, and says what came of it.
export async function act(button, order, done) {
  button.disabled = true;
  button.dataset.busy = "yes";
  try {
    const said = await order();
    toast(typeof said === "string" ? said : done);
  } catch (error) {
    toast(`It did not work: ${error.message}`, "bad");
  } finally {
    delete button.dataset.busy;
    button.disabled = !actions.mayAct();
  }
}
