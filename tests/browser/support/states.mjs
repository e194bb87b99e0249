// Canned states of the proxy, as its contract has them: what the page is shown by the fake server.

const MINUTE = 60_000;
const SESSION = "0".repeat(23);

function key(label, changes = {}) {
  return {
    fingerprint: `${label}-4f1c2a9e07`.replaceAll(/[^0-9a-z]/g, "").padEnd(16, "0"),
    label,
    pool: "",
    account: null,
    state: "ready",
    in_flight: 0,
    headroom: [],
    requests: 0,
    errors: 0,
    throttles: 0,
    prompt: 0,
    cached: 0,
    output: 0,
    sessions: 0,
    ...changes,
  };
}

const headroom = (now, requests, tokens) => [
  { what: "requests", limit: 600, remaining: requests, resets_at: now + 41_000 },
  { what: "input_tokens", limit: 2_000_000, remaining: tokens, resets_at: now + 18_000 },
];

const busy = (now) => [
  key("work", { account: "acme", in_flight: 2, headroom: headroom(now, 512, 1_240_000), requests: 1204, prompt: 41_200_000, cached: 38_900_000, output: 310_000, sessions: 6, throttles: 3 }),
  key("personal", { account: "me", in_flight: 1, headroom: headroom(now, 71, 212_000), requests: 988, errors: 2, prompt: 33_100_000, cached: 30_600_000, output: 268_000, sessions: 5, throttles: 1 }),
  key("spare", { account: null, headroom: [], requests: 305, prompt: 9_800_000, cached: 7_900_000, output: 90_000, sessions: 2 }),
];

const AGENTS = [
  ["claude-cli/2.1.9", "claude-sonnet-4-5", "header x-claude-code-session-id"],
  ["codex_cli_rs/0.98.0", "gpt-5.2-codex", "header session_id"],
  ["opencode/1.2.4", "glm-4.7", "header x-session-affinity"],
  ["HermesAgent/0.9", "glm-4.7", "content"],
  [null, "claude-haiku-4-5", "content"],
];

const sessionIds = ["9f31c2a4", "1a2b3c4d", "77e0b1d2", "c4d5e6f7", "0b1c2d3e", "5a6b7c8d", "e1f20314", "d00dfeed"];

function sessions(now, homes) {
  return sessionIds.map((id, index) => {
    const [client, model, rule] = AGENTS[index % AGENTS.length];
    return {
      id,
      full: id + SESSION + (index % 10),
      pool: "",
      rule,
      client,
      model,
      home: homes[index % homes.length],
      moves: index === 2 ? 1 : 0,
      requests: 140 - index * 16,
      prompt: 4_200_000 - index * 480_000,
      cached: 3_950_000 - index * 470_000,
      last_seen: now - 2_000 - index * index * 24_000,
    };
  });
}

export function requests(now, homes, trouble) {
  return Array.from({ length: 34 }, (_, index) => {
    const [client, model, rule] = AGENTS[index % AGENTS.length];
    const home = homes[index % homes.length];
    const prompt = 31_000 + ((index * 7919) % 90_000);
    const request = {
      id: `r${String(1000 - index)}`,
      began: now - 3_500 - index * 7_300,
      took_ms: 2_100 + ((index * 613) % 9_000),
      first_byte_ms: 640 + ((index * 97) % 900),
      waited_ms: 0,
      added_us: 58 + ((index * 13) % 40),
      method: "POST",
      path: index % 5 === 0 ? "/api/anthropic/v1/messages" : "/v1/chat/completions",
      pool: "",
      status: 200,
      model,
      session: sessionIds[index % sessionIds.length],
      rule,
      client,
      affinity: "home",
      reason: null,
      attempts: [{ key: home, status: 200, took_ms: 2_000 }],
      usage: { prompt, cached: Math.round(prompt * 0.93), written: 0, output: 312 },
      request_bytes: prompt * 4,
      response_bytes: 21_000,
      ending: "complete",
      cost_usd: 0.034,
    };
    if (index === 13) Object.assign(request, { affinity: "new", reason: `the least loaded: ${home}`, usage: { ...request.usage, cached: 0 } });
    if (index === 21) Object.assign(request, { status: 400, usage: null, reason: null, attempts: [{ key: home, status: 400, verdict: "request at fault", took_ms: 240 }], took_ms: 245 });
    return trouble?.(request, index) ?? request;
  });
}

// A session whose home cools borrows.
const borrowed = (home, other) => (request, index) =>
  index < 6 && request.attempts[0].key === home
    ? {
        ...request,
        affinity: "borrowed",
        reason: `${home} cools for 42 s (rate limit); ${other} has 31 % of 94k tokens warm`,
        attempts:
          index === 2
            ? [
                { key: home, status: 429, verdict: "rate limit", took_ms: 210, reason: "rate limit" },
                { key: other, status: 200, took_ms: 1_900, reason: "status" },
              ]
            : [{ key: other, status: 200, took_ms: 2_000 }],
        waited_ms: index === 4 ? 1_800 : 0,
      }
    : request;

function state(now, keys, changes = {}) {
  const sum = (name) => keys.reduce((all, one) => all + one[name], 0);
  const totals = { requests: sum("requests"), errors: sum("errors"), throttles: sum("throttles"), prompt: sum("prompt"), cached: sum("cached"), written: 0, output: sum("output"), waited_ms: 9_400, cost_usd: 71.4, saved_usd: 246.9 };
  return {
    health: {
      status: "ok",
      target: "https://api.z.ai",
      keys: [],
      sessions: changes.sessions?.length ?? 0,
      waiting: 0,
      uptime_ms: 11_640_000,
      version: "2.0.0",
      pid: 4242,
      instance: "fake-instance",
      pools: [{ name: "", target: "https://api.z.ai", keys: keys.length }],
      ...changes.health,
    },
    keys,
    sessions: changes.sessions ?? [],
    totals: { ...totals, ...changes.totals },
    saved: { cached_tokens: totals.cached, usd: 246.9, throttles_hidden: 4, requests_rescued: 6, ...changes.saved },
    problems: changes.problems ?? [],
    now,
  };
}

// Each gives {state, requests, quiet}; `quiet` has charts of zeros.
export const STATES = {
  empty(now) {
    const keys = ["key-1", "key-2", "key-3"].map((label) => key(label));
    const none = { waited_ms: 0, cost_usd: undefined, saved_usd: undefined };
    const saved = { usd: undefined, throttles_hidden: 0, requests_rescued: 0 };
    return { state: state(now, keys, { totals: none, saved, health: { uptime_ms: 8_000 } }), requests: [], quiet: true };
  },
  healthy(now) {
    const homes = ["work", "personal", "spare"];
    return { state: state(now, busy(now), { sessions: sessions(now, homes) }), requests: requests(now, homes) };
  },
  throttled(now) {
    const keys = busy(now);
    Object.assign(keys[1], { state: "cooling", until_ms: now + 42_000, reason: "rate limit (429)", in_flight: 0, headroom: headroom(now, 0, 212_000) });
    const homes = ["personal", "work", "personal", "spare"];
    return {
      state: state(now, keys, { sessions: sessions(now, homes), problems: ["the keys `work` and `spare` look like one account: they share its limits and give no more quota"] }),
      requests: requests(now, homes, borrowed("personal", "work")),
    };
  },
  revoked(now) {
    const keys = busy(now);
    Object.assign(keys[2], { state: "refused", until_ms: now + 14 * MINUTE, reason: "invalid key (401 invalid_api_key)", errors: 3, sessions: 0 });
    const homes = ["work", "personal"];
    const refused = (request, index) =>
      index === 2
        ? {
            ...request,
            affinity: "moved",
            reason: "spare is refused; work has the least to do",
            attempts: [
              { key: "spare", status: 401, verdict: "invalid key", took_ms: 180 },
              { key: "work", status: 200, took_ms: 1_700 },
            ],
          }
        : request;
    return { state: state(now, keys, { sessions: sessions(now, homes) }), requests: requests(now, homes, refused) };
  },
  cooling(now) {
    const keys = busy(now);
    Object.assign(keys[0], { state: "cooling", until_ms: now + 4 * MINUTE, reason: "tokens per minute (429)", in_flight: 0 });
    Object.assign(keys[1], { state: "cooling", until_ms: now + 131_000, reason: "rate limit (429)", in_flight: 0 });
    Object.assign(keys[2], { state: "parked", until_ms: now + 5 * 60 * MINUTE, reason: "quota of 5 hours used up", in_flight: 0 });
    const homes = ["work", "personal", "spare"];
    const waits = (request, index) =>
      index < 3 ? { ...request, status: 429, error_code: "all_throttled", usage: null, attempts: [], reason: "all accounts cool; the soonest is personal", waited_ms: 12_000, took_ms: 12_001, ending: "own" } : request;
    return { state: state(now, keys, { sessions: sessions(now, homes), health: { waiting: 2 } }), requests: requests(now, homes, waits) };
  },
  disabled(now) {
    const keys = busy(now);
    Object.assign(keys[2], { state: "disabled" });
    Object.assign(keys[1], { state: "recovering", reason: "throttled until a moment ago" });
    const homes = ["work", "personal"];
    return { state: state(now, keys, { sessions: sessions(now, homes) }), requests: requests(now, homes) };
  },
  // Two pools, twelve keys, words of strangers, and whatever else is long.
  hostile(now) {
    const evil = `<img src=x onerror="alert(1)"><script>alert(2)</script>`;
    const long = "a-very-long-label-without-any-place-to-break-it-".repeat(3);
    const keys = [
      key(evil, { fingerprint: "aaaaaaaaaaaaaaaa", account: evil, reason: evil, state: "cooling", until_ms: now + 3_700_000 }),
      key(long, { fingerprint: "bbbbbbbbbbbbbbbb", requests: 123_456_789, prompt: 98_765_432_100, cached: 98_765_432_000, errors: 12_345, throttles: 9_876 }),
      key("‮rtl‬ 鍵 🔑", { fingerprint: "cccccccccccccccc", pool: evil }),
      ...Array.from({ length: 9 }, (_, index) => key(`more-${index}`, { fingerprint: `dddddddddddddd0${index}`, pool: "router", headroom: [{ what: "% of its window", limit: 100, remaining: 3 + index * 9, resets_at: now + 7_200_000 }] })),
    ];
    const [one] = sessions(now, [evil]);
    const evilSession = { ...one, client: evil, model: evil, rule: evil, pool: evil };
    const [request] = requests(now, [evil]);
    const evilRequest = { ...request, model: evil, client: evil, reason: evil, path: `/v1/${evil}`, rule: evil, attempts: [{ key: evil, status: 200, verdict: evil, reason: evil, took_ms: 1 }] };
    return {
      state: state(now, keys, { sessions: [evilSession], problems: [evil, long] }),
      requests: [evilRequest],
    };
  },
};

// Curves of a working day; the same each time.
export function charts(span, now, quiet) {
  const [steps, stepMs] = { "1h": [60, MINUTE], "24h": [24, 60 * MINUTE], "30d": [30, 24 * 60 * MINUTE] }[span];
  const wave = (index, seed) => Math.max(0, Math.sin(index / (steps / 9) + seed) + Math.sin(index * 1.7 + seed * 3) * 0.45 + 0.6);
  const values = (make) => Array.from({ length: steps }, (_, index) => (quiet ? 0 : Math.round(make(index))));
  const requests = values((index) => wave(index, 1) * 11);
  const prompt = requests.map((number) => number * 41_000);
  const cached = prompt.map((number, index) => Math.round(number * (0.86 + 0.1 * Math.sin(index / 5))));
  return {
    span,
    step_ms: stepMs,
    from: Math.floor(now / stepMs) * stepMs - (steps - 1) * stepMs,
    series: {
      requests,
      errors: values((index) => (index % 19 === 7 ? 1 : 0)),
      throttles: values((index) => (index % 13 === 4 ? 1 + (index % 3) : 0)),
      prompt,
      cached,
      output: requests.map((number) => number * 900),
      waits_ms: values((index) => (index % 13 === 4 ? 2_400 : 0)),
      added_us: requests.map((number, index) => (number === 0 ? null : 61 + Math.round(24 * Math.sin(index / 3)))),
    },
  };
}
