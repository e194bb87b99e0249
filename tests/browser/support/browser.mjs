// Chromium, driven by Playwright, and what every page must not do: report an error, break the content policy, ask
// anybody but its own server.

import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MODULES = process.env.BROWSER_MODULES ?? join(import.meta.dirname, "../../../target/browser");
const require = createRequire(join(MODULES, "index.js"));
const { chromium } = require("playwright-core");
const CANDIDATES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/snap/bin/chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];
// How long anything on the page may take on a busy machine, in ms.
const PATIENCE_MS = 15_000;

export const DESKTOP = { width: 1280, height: 900 };
export const PHONE = { width: 390, height: 844 };
export const SMALLEST = { width: 320, height: 640 };

export class Browser {
  static async start() {
    const executablePath = CANDIDATES.find((path) => path && existsSync(path));
    if (!executablePath) throw new Error("there is no Chromium; install it, or name it with CHROMIUM=/path/to/it");
    const profile = await mkdtemp(join(tmpdir(), "api-key-lb-browser-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      headless: true,
      viewport: DESKTOP,
      locale: "en-GB",
      timezoneId: "UTC",
      args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"],
    });
    return new Browser(context, profile);
  }

  constructor(context, profile) {
    this.context = context;
    this.profile = profile;
  }

  async stop() {
    await this.context.close();
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  // A page at `url`; `faults()` says what it did wrong, but for what `allowed` names.
  async open(url, { viewport = DESKTOP, theme = "light", reduced = true } = {}) {
    const page = await this.context.newPage();
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme: theme, reducedMotion: reduced ? "reduce" : "no-preference" });
    page.setDefaultTimeout(PATIENCE_MS);
    const origin = new URL(url).origin;
    const faults = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") faults.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => faults.push(`error: ${error.stack}`));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== origin) faults.push(`asks a third party: ${request.url()}`);
    });
    page.on("dialog", (dialog) => {
      faults.push(`alert: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.faults = (allowed = /$^/) => faults.filter((fault) => !allowed.test(fault));
    await page.goto(url);
    return page;
  }
}

// What axe-core objects to, one line each. It is run as the browser's own script would be, past the content policy.
export async function objections(page) {
  const source = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");
  await page.evaluate(source);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  return violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.slice(0, 4).map((node) => `${node.target} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
}
