// The live connection: server-sent events read with fetch, because EventSource cannot send the token.

// The proxy sends at least a comment every 15 s; silence for longer than two of them is a dead connection,
// such as after a laptop has slept.
const SILENCE_MS = 35_000;
// Waits before the next try, in ms; the last one repeats.
const BACK_OFF_MS = [500, 1000, 2000, 4000, 8000, 15_000];

// Takes bytes of an event stream apart as they come.
export function parser(onEvent) {
  const decoder = new TextDecoder();
  let rest = "";
  let name = "";
  let data = [];
  return (chunk) => {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) onEvent(name || "message", data.join("\n"));
        name = "";
        data = [];
      } else if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
    }
  };
}

// Calls back: onEvent(name, data), onAlive() at every sign of life, onLink(phase, detail) with the phases
// connecting, live, waiting {retryAt} and refused {retryAt, status}.
export function connect({ url, headers, onEvent, onAlive, onLink }) {
  let failures = 0;
  let aborter = null;
  let timer = null;
  let silence = null;

  async function open() {
    clearTimeout(timer);
    timer = null;
    aborter?.abort();
    const mine = new AbortController();
    aborter = mine;
    onLink("connecting", {});
    let status = 0;
    try {
      const answer = await fetch(url, {
        headers: { accept: "text/event-stream", ...headers() },
        cache: "no-store",
        signal: mine.signal,
      });
      status = answer.status;
      if (!answer.ok || !answer.body) throw new Error(`status ${status}`);
      onLink("live", {});
      await read(answer.body.getReader(), mine);
    } catch {
      // Whatever it was, the way on is the same: try again.
    }
    clearTimeout(silence);
    if (aborter === mine) retry(status);
  }

  async function read(reader, mine) {
    const parse = parser(onEvent);
    for (;;) {
      clearTimeout(silence);
      silence = setTimeout(() => mine.abort(), SILENCE_MS);
      const { done, value } = await reader.read();
      if (done) return;
      failures = 0;
      onAlive();
      parse(value);
    }
  }

  function retry(status) {
    const refused = status >= 400;
    const wait = refused ? BACK_OFF_MS.at(-1) : BACK_OFF_MS[Math.min(failures, BACK_OFF_MS.length - 1)];
    failures += 1;
    // Pages that lost the proxy together do not come back together.
    const ms = wait * (0.8 + Math.random() * 0.4);
    onLink(refused ? "refused" : "waiting", { retryAt: Date.now() + ms, status });
    timer = setTimeout(open, ms);
  }

  open();
  return {
    // Now rather than when the wait is over.
    now() {
      failures = 0;
      open();
    },
    isWaiting: () => timer !== null,
  };
}
