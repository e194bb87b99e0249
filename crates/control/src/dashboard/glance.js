// The sentence on top: from the state to "is everything all right?" in words. Nothing here touches the page.

import { moment, names, plural, span } from "./format.js";

// Characters of a label that the sentence has room for.
const MOST_LABEL = 28;
const CAN_SERVE = new Set(["ready", "recovering"]);

// {level: good|warn|bad|idle, text: [text or {until}], more: text}
export function glance(state, now) {
  const keys = state.keys ?? [];
  if (keys.length === 0) {
    return {
      level: "bad",
      text: ["No key is configured"],
      more: "Add one with `api-key-lb setup`, or in the configuration file.",
    };
  }
  return { ...judge(keys, now), more: activity(state) };
}

function judge(keys, now) {
  const pools = Map.groupBy ? Map.groupBy(keys, (key) => key.pool ?? "") : group(keys);
  for (const [pool, members] of pools) {
    if (!members.some((key) => CAN_SERVE.has(key.state))) return blocked(members, pools.size > 1 ? pool : null, now);
  }
  const troubled = keys.filter((key) => !CAN_SERVE.has(key.state));
  if (troubled.length === 0) return healthy(keys);
  // What a person has to do something about comes before what passes by itself.
  const refused = troubled.filter((key) => key.state === "refused");
  const passing = troubled.filter((key) => key.state === "cooling" || key.state === "parked");
  const disabled = troubled.filter((key) => key.state === "disabled");
  const text = [];
  if (refused.length > 0) add(text, [`${names(labels(refused))} ${are(refused)} refused by the provider`]);
  if (passing.length > 0) add(text, cooling(passing, now));
  if (disabled.length > 0) add(text, [`${names(labels(disabled))} ${are(disabled)} disabled`]);
  text.push(`; ${instead(troubled, pools)}`);
  const level = refused.length > 0 || passing.length > 0 ? "warn" : "good";
  return { level, text };
}

function healthy(keys) {
  const recovering = keys.filter((key) => key.state === "recovering");
  const all = keys.length === 1 ? `The only key, ${name(keys[0])}, is ready` : `All ${keys.length} keys are ready`;
  if (recovering.length === 0) return { level: "good", text: [all] };
  return { level: "good", text: [`${names(labels(recovering))} ${are(recovering)} back and first shown one request; the pool serves`] };
}

function cooling(keys, now) {
  const first = soonest(keys);
  if (keys.length > 1) {
    const text = [`${names(labels(keys))} cannot serve right now`];
    return first ? [...text, ", the first is back in ", { until: first }] : text;
  }
  const [key] = keys;
  if (!key.until_ms) return [`${name(key)} cools`];
  if (key.state === "parked") return [`${name(key)} is parked until ${moment(key.until_ms, now)}`];
  return [`${name(key)} cools for `, { until: key.until_ms }];
}

function instead(troubled, pools) {
  const lists = new Set(troubled.map((key) => key.pool ?? ""));
  const others = [...lists].flatMap((pool) => pools.get(pool).filter((key) => CAN_SERVE.has(key.state)));
  const passes = troubled.every((key) => key.state === "cooling");
  const whose = troubled.length === 1 ? "its" : "their";
  if (passes) return `${whose} sessions borrow from ${names(labels(others))}`;
  return others.length === 1 ? `${name(others[0])} serves instead` : `${names(labels(others))} serve instead`;
}

function blocked(keys, pool, now) {
  const until = soonest(keys.filter((key) => key.state === "cooling" || key.state === "parked"));
  const where = pool === null ? "" : pool === "" ? " of the default pool" : ` of the pool ${pool}`;
  if (until) return { level: "bad", text: [`No key${where} can serve until ${moment(until, now)}, in `, { until }] };
  const states = new Set(keys.map((key) => key.state));
  const why =
    states.size > 1 ? "every one is refused or disabled"
    : states.has("refused") ? "the provider refuses every one"
    : states.has("disabled") ? "every one is disabled"
    : "every one cools";
  return { level: "bad", text: [`No key${where} can serve: ${why}`] };
}

function activity(state) {
  const inFlight = (state.keys ?? []).reduce((sum, key) => sum + (key.in_flight ?? 0), 0);
  const waiting = state.health?.waiting ?? 0;
  const parts = [];
  if (waiting > 0) parts.push(`${plural(waiting, "request")} ${waiting === 1 ? "waits" : "wait"} for a key`);
  parts.push(inFlight > 0 ? `${plural(inFlight, "request")} in flight` : "Nothing in flight");
  const sessions = state.health?.sessions ?? state.sessions?.length ?? 0;
  parts.push(sessions === 0 ? "no session yet" : `${plural(sessions, "session")} known`);
  if (state.health?.uptime_ms !== undefined) parts.push(`running for ${span(state.health.uptime_ms)}`);
  return parts.join(" · ");
}

// Without what ticks, for whoever has it read out.
export function aloud(said) {
  const text = said.text.map((part) => (typeof part === "string" ? part : "a while")).join("");
  return text.endsWith(", in a while") ? text.slice(0, -", in a while".length) : text;
}

// Long labels would push the rest out of sight.
const name = (key) => (key.label.length > MOST_LABEL ? `${key.label.slice(0, MOST_LABEL - 1)}…` : key.label);
const labels = (keys) => keys.map(name);
const are = (keys) => (keys.length === 1 ? "is" : "are");

function soonest(keys) {
  const times = keys.map((key) => key.until_ms).filter(Boolean);
  return times.length === 0 ? null : Math.min(...times);
}

function add(text, more) {
  if (text.length > 0) text.push("; ");
  text.push(...more);
}

function group(keys) {
  const pools = new Map();
  for (const key of keys) pools.set(key.pool ?? "", [...(pools.get(key.pool ?? "") ?? []), key]);
  return pools;
}
