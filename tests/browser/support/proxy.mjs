// The two programs under test: the mock provider and the proxy, and how tests talk to them.

import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PATIENCE_MS = 15_000;
const POLL_MS = 20;

function binary(variable, name) {
  return process.env[variable] ?? join(import.meta.dirname, "../../../target/debug", name);
}

export async function until(what, check, limit = PATIENCE_MS) {
  const end = Date.now() + limit;
  for (;;) {
    const result = await check();
    if (result) return result;
    if (Date.now() > end) throw new Error(`after ${limit} ms still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function end(process_) {
  if (process_.exitCode !== null || process_.signalCode !== null) return;
  const ended = new Promise((resolve) => process_.once("exit", resolve));
  process_.kill("SIGTERM");
  const timer = setTimeout(() => process_.kill("SIGKILL"), PATIENCE_MS);
  await ended;
  clearTimeout(timer);
}

// One request; `fetch` of Node would keep connections open beyond a test.
export function send(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false, timeout: PATIENCE_MS }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (piece) => (text += piece));
      answer.on("end", () => resolve({ status: answer.statusCode, headers: answer.headers, text, json: () => JSON.parse(text) }));
    });
    request.on("error", reject);
    request.on("timeout", () => request.destroy(new Error("no answer in time")));
    request.end(body);
  });
}

export class Mock {
  static async start(accounts, options = []) {
    const args = ["--bind", "127.0.0.1:0", "--record", "1000", ...options, ...accounts.flatMap((account) => ["--account", account])];
    const mock = new Mock();
    mock.process = spawn(binary("API_KEY_LB_MOCK_BIN", "api-key-lb-mock"), args, { stdio: ["ignore", "pipe", "inherit"] });
    const [url] = await new Promise((resolve, reject) => {
      mock.process.once("error", reject);
      createInterface({ input: mock.process.stdout }).once("line", (line) => resolve([line.trim()]));
    });
    mock.url = url;
    return mock;
  }

  fault(key, fault) {
    return send(`${this.url}/_mock/faults`, { method: "POST", body: JSON.stringify({ key, ...fault }) });
  }

  throttle(key, seconds, times = 1) {
    return this.fault(key, { kind: "status", status: 429, headers: [["retry-after", String(seconds)]], times });
  }

  async keysUsed() {
    return (await send(`${this.url}/_mock/requests`)).json().map((request) => request.key);
  }

  stop() {
    return end(this.process);
  }
}

export class Proxy {
  // `config` is the configuration file; target and port come by themselves.
  static async start(mock, config) {
    const proxy = new Proxy();
    proxy.home = await mkdtemp(join(tmpdir(), "api-key-lb-dashboard-"));
    proxy.port = await freePort();
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    proxy.config = { target: mock.url, port: proxy.port, ...config };
    await proxy.configure({});
    await proxy.run();
    return proxy;
  }

  async configure(changes) {
    Object.assign(this.config, changes);
    const directory = join(this.home, ".config/api-key-lb");
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "config.json"), JSON.stringify(this.config), { mode: 0o600 });
  }

  get environment() {
    return { PATH: process.env.PATH, HOME: this.home, TZ: "UTC" };
  }

  async run() {
    this.output = "";
    this.process = spawn(binary("API_KEY_LB_BIN", "api-key-lb"), ["start"], { cwd: this.home, env: this.environment, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (text) => (this.output += text));
    await until("the proxy answers", async () => {
      if (this.process.exitCode !== null) throw new Error(`the proxy ended at once; it wrote:\n${this.output}`);
      return (await send(`${this.url}/health`).catch(() => null))?.status < 500;
    });
  }

  halt() {
    return end(this.process);
  }

  async stop() {
    await this.halt();
    await rm(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  // What a command of the same user prints.
  command(...args) {
    return new Promise((resolve, reject) => {
      execFile(binary("API_KEY_LB_BIN", "api-key-lb"), args, { cwd: this.home, env: this.environment }, (error, stdout, stderr) => {
        if (error) reject(new Error(`${error.message}\n${stderr}`));
        else resolve(stdout.trim());
      });
    });
  }

  // The address of the page with the token.
  dashboard() {
    return this.command("dashboard", "--print");
  }

  async state() {
    return (await send(`${this.url}/_lb/state`)).json();
  }

  // One turn of a conversation, long enough to be cached.
  ask(session, { model = "mock-large", turn = 1, agent = "claude-cli/2.1.9 (external, cli)", words = 2200 } = {}) {
    const messages = [{ role: "system", content: "You are a coding agent." }];
    for (let index = 0; index < turn; index += 1) {
      messages.push({ role: "user", content: `${session} ${index} ${"read the module and run its tests again ".repeat(words / 8)}` });
      if (index + 1 < turn) messages.push({ role: "assistant", content: "done" });
    }
    return send(`${this.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-session-id": session, "user-agent": agent, authorization: "Bearer not-a-key" },
      body: JSON.stringify({ model, messages, max_tokens: 24 }),
    });
  }
}
