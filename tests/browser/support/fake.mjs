// A small server with the contract of the proxy's management paths and canned states: it serves the very files of
// the dashboard, and can be told to break.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";

import { charts, STATES } from "./states.mjs";

const FILES = join(import.meta.dirname, "../../../crates/control/src/dashboard");
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml" };
export const CONTENT_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
export const TOKEN = "0123456789abcdef";

export class Fake {
  constructor(name, now = () => Date.now()) {
    this.now = now;
    this.orders = [];
    this.streams = new Set();
    this.failing = 0;
    this.show(name);
  }

  // Shows another state, at once.
  show(name) {
    Object.assign(this, { name, ...STATES[name](this.now()) });
    this.state.health.version = name;
    this.push("state", this.state);
  }

  // Changes the state and tells of it.
  change(edit) {
    edit(this.state);
    this.state.now = this.now();
    this.push("state", this.state);
  }

  happened(request) {
    this.requests.unshift(request);
    this.push("request", [request]);
  }

  push(event, data) {
    for (const stream of this.streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  async start(port = 0) {
    this.server = createServer((request, answer) => void this.answer(request, answer));
    await new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, "127.0.0.1", resolve);
    });
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}/_lb/`;
    return this;
  }

  async stop() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    this.streams.clear();
    await closed;
  }

  async answer(request, answer) {
    const url = new URL(request.url, "http://fake");
    const json = (status, body) => {
      answer.writeHead(status, { "content-type": "application/json" });
      answer.end(JSON.stringify(body));
    };
    const refuse = (status, message) => json(status, { error: { message, code: "no" } });
    if (this.failing && !url.pathname.match(/\.(js|css|svg)$|\/$/)) return refuse(this.failing, "the fake was told to");
    if (request.method === "POST") return this.act(request, url, json, refuse);
    if (url.pathname === "/_lb/events") return this.stream(request, answer);
    if (url.pathname === "/_lb/state") return json(200, this.state);
    if (url.pathname === "/_lb/charts") return json(200, charts(url.searchParams.get("span"), this.now(), this.quiet));
    if (url.pathname === "/_lb/requests") {
      const session = url.searchParams.get("session");
      return json(200, { requests: this.requests.filter((one) => !session || one.session === session) });
    }
    if (url.pathname.startsWith("/_lb/requests/")) {
      const found = this.requests.find((one) => one.id === decodeURIComponent(url.pathname.slice(14)));
      return found ? json(200, found) : refuse(404, "forgotten");
    }
    if (url.pathname.startsWith("/_lb/orders/")) return json(200, { done: true, outcome: { applied: ["keys: 1 more"] } });
    return this.file(url.pathname, answer);
  }

  async file(path, answer) {
    const name = path === "/_lb/" || path === "/_lb" ? "index.html" : path.replace("/_lb/", "");
    const body = /^[a-z]+\.[a-z]+$/.test(name) ? await readFile(join(FILES, name)).catch(() => null) : null;
    if (!body) return answer.writeHead(404).end();
    answer.writeHead(200, { "content-type": TYPES[extname(name)], "content-security-policy": CONTENT_POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-frame-options": "DENY", "cache-control": "no-cache" });
    answer.end(body);
  }

  stream(request, answer) {
    answer.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    this.streams.add(answer);
    request.on("close", () => this.streams.delete(answer));
    this.state.now = this.now();
    answer.write(`event: state\ndata: ${JSON.stringify(this.state)}\n\n`);
  }

  act(request, url, json, refuse) {
    request.resume();
    if (request.headers["x-lb-token"] !== TOKEN) return refuse(403, "this needs the token of the instance");
    this.orders.push(url.pathname);
    const [, , kind, id, what] = url.pathname.split("/");
    if (kind === "reload") return json(202, { status: "reloading", order: 1 });
    if (kind === "sessions") this.change((state) => state.sessions.find((one) => one.full === id) && (state.sessions.find((one) => one.full === id).home = null));
    else {
      this.change((state) => {
        const key = state.keys.find((one) => one.fingerprint === id);
        key.state = what === "disable" ? "disabled" : "ready";
        delete key.until_ms;
        delete key.reason;
      });
    }
    return json(200, { done: true });
  }
}
