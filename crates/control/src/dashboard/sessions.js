// The table of sessions: who, with which model, where it lives, how warm it is.

import * as actions from "./actions.js";
import { act } from "./keys.js";
import { bar, byId, cell, el, isInUse, reconcile, setAttribute, setText } from "./dom.js";
import { ago, count, percent, plural, share, tokens } from "./format.js";

let waiting = null;
let filter = () => {};

export function start(filterBy) {
  filter = filterBy;
  const scroll = byId("sessions-scroll");
  const settle = () => setTimeout(() => waiting && update(...waiting));
  scroll.addEventListener("pointerleave", settle);
  scroll.addEventListener("focusout", settle);
}

export function update(state, now) {
  const sessions = state.sessions ?? [];
  byId("sessions-scroll").hidden = sessions.length === 0;
  byId("sessions-empty").hidden = sessions.length > 0;
  // Rows change their places, so not while somebody is about to press a button in one.
  if (isInUse(byId("sessions-scroll"))) {
    waiting = [state, now];
    return;
  }
  waiting = null;
  const known = state.health?.sessions ?? sessions.length;
  const newest = known > sessions.length ? `the newest ${sessions.length} of ${count(known)}` : sessions.length > 0 ? `${sessions.length} known` : "";
  setText(byId("sessions-note"), newest);
  reconcile(byId("sessions").tBodies[0], sessions, (session) => session.full, create, (row, session) => row.update(session, now));
  note();
}

export function tick(now) {
  for (const node of byId("sessions").querySelectorAll("[data-seen]")) {
    setText(node, ago(now - Number(node.dataset.seen)));
  }
}

export function note() {
  for (const button of byId("sessions").querySelectorAll("button.unpin")) {
    if (!button.dataset.busy) button.disabled = !actions.mayAct() || button.dataset.homeless === "yes";
  }
}

function create(first) {
  let session = first;
  const id = el("code", { class: "strong" });
  const client = el("span", { class: "faint line" });
  const model = el("span", { class: "line" });
  const rule = el("span", { class: "faint line" });
  const home = cell("Home", { class: "wrap" });
  const moves = cell("Moves", { class: "num" });
  const requests = cell("Requests", { class: "num" });
  const cache = bar();
  const seen = el("span");
  const show = el("button", { type: "button", class: "small", text: "Requests", onclick: () => {
    filter(session.id);
    byId("requests-title").scrollIntoView({ block: "start" });
    byId("filter").focus();
  } });
  const unpin = el("button", { type: "button", class: "small unpin", text: "Unpin", title: "Forgets where this session lives; its next request chooses anew", onclick: () =>
    act(unpin, () => actions.unpin(session.full), `Session ${session.id} chooses its key anew.`) });
  const node = el(
    "tr",
    { role: "row" },
    el("th", { role: "rowheader", scope: "row" }, id, client),
    cell("Model", {}, model, rule),
    home,
    moves,
    requests,
    cell("From cache", {}, cache.node),
    cell("Last seen", {}, seen),
    cell("Actions", { class: "actions" }, show, unpin),
  );
  return {
    node,
    update(now_, now) {
      session = now_;
      setText(id, session.id);
      setText(client, session.client ?? "unknown client");
      setText(model, session.model ?? "–");
      setText(rule, [session.rule, session.pool].filter(Boolean).join(" · "));
      setText(home, session.home ?? "none");
      setText(moves, count(session.moves ?? 0));
      setText(requests, count(session.requests ?? 0));
      const part = share(session.cached, session.prompt);
      cache.set(part, part === null ? "–" : `${percent(part)} of ${tokens(session.prompt)}`);
      setAttribute(seen, "data-seen", session.last_seen);
      setText(seen, ago(now - session.last_seen));
      setAttribute(unpin, "data-homeless", session.home ? null : "yes");
      setAttribute(show, "aria-label", `Requests of session ${session.id}, ${plural(session.requests ?? 0, "request")}`);
      setAttribute(unpin, "aria-label", `Unpin session ${session.id} from its home`);
    },
  };
}
