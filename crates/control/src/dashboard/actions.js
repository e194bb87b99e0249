// What changes the proxy: the token that it needs, and the orders themselves.

const STORED = "api-key-lb.token";
// How often and how long one asks for what came of a reload, in ms.
const POLL_MS = 150;
const PATIENCE_MS = 20_000;

let current = null;
const listeners = [];

// Takes the token out of the address, where `api-key-lb dashboard` has put it, so that neither the history nor
// somebody who looks over a shoulder has it.
export function takeToken() {
  const match = /^#token=([0-9A-Za-z]+)$/.exec(location.hash);
  if (match) {
    keep({ token: match[1], instance: null });
    history.replaceState(null, "", location.pathname + location.search);
    return;
  }
  try {
    const found = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
    if (typeof found?.token === "string") current = found;
  } catch {
    current = null;
  }
  tell();
}

function keep(token) {
  current = token;
  try {
    if (token) sessionStorage.setItem(STORED, JSON.stringify(token));
    else sessionStorage.removeItem(STORED);
  } catch {
    // Without storage it is known until the page is left.
  }
  tell();
}

// A token belongs to one start of the proxy. Says whether it was dropped.
export function bind(instance) {
  if (!current || !instance) return false;
  if (current.instance === null) keep({ ...current, instance });
  else if (current.instance !== instance) {
    keep(null);
    return true;
  }
  return false;
}

export const drop = () => keep(null);
export const mayAct = () => current !== null;
export const headers = () => (current ? { "x-lb-token": current.token } : {});
export function onMode(listener) {
  listeners.push(listener);
}
function tell() {
  for (const listener of listeners) listener();
}

// Reads a path as JSON.
export async function get(path) {
  const answer = await fetch(path, { headers: { accept: "application/json", ...headers() }, cache: "no-store" });
  if (!answer.ok) throw new Error(await reason(answer));
  return answer.json();
}

async function post(path) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers() },
    cache: "no-store",
  }).catch(() => {
    throw new Error("the proxy does not answer");
  });
  if (answer.ok) return answer.json().catch(() => ({}));
  const why = await reason(answer);
  if (answer.status === 401 || answer.status === 403) {
    drop();
    throw new Error("the token of this page is not valid (any more); get a new one with `api-key-lb dashboard`");
  }
  throw new Error(why);
}

async function reason(answer) {
  const json = await answer.json().catch(() => null);
  return json?.error?.message ?? `the proxy answered with status ${answer.status}`;
}

export const key = (fingerprint, what) => post(`/_lb/keys/${encodeURIComponent(fingerprint)}/${what}`);
export const unpin = (session) => post(`/_lb/sessions/${encodeURIComponent(session)}/unpin`);

// Has the configuration read again and waits for what came of it, in words.
export async function reload() {
  const told = await post("/_lb/reload");
  const until = Date.now() + PATIENCE_MS;
  while (told.order !== undefined && Date.now() < until) {
    const standing = await get(`/_lb/orders/${encodeURIComponent(told.order)}`);
    if (standing.done) return outcome(standing.outcome ?? {});
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return "The configuration is read again.";
}

function outcome({ error, applied = [], needs_restart: later = [], warnings = [] }) {
  if (error) throw new Error(`not reloaded, the configuration before stays in force: ${error}`);
  const parts = [applied.length > 0 ? `Reloaded: ${applied.join("; ")}.` : "Reloaded; nothing has changed."];
  if (later.length > 0) parts.push(`Waits for a restart: ${later.join(", ")}.`);
  return [...parts, ...warnings].join(" ");
}
