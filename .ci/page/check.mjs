// Looks at every page in a headless browser: node check.mjs FOLDER_OF_PROGRAMS FOLDER_OF_REPORT [STATE...]
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { STATES, Site } from "./site.mjs";

const axe = createRequire(import.meta.url)("axe-core").source;
const [tools, report, ...wanted] = process.argv.slice(2);
const folder = resolve(report);

const WIDTHS = [390, 1280];
const SCHEMES = ["light", "dark"];
const CHROMIUM = {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
};

const findings = [];
const looks = [];
const fail = (where, what) => {
  findings.push({ where, what });
  console.error(`FAILED ${where}: ${what}`);
};
const check = (holds, where, what) => holds || fail(where, what);

const explain = "/page/explain?client=10.1.2.3&method=GET&target=%2FSMS_DP_SMSPKG%24%2FPKG00001%2Fa.bin&why-not=";

function pages(state) {
  const [system, group] = state === "large" ? ["DP-0007", "Office 0"] : ["DP2", "Berlin"];
  return {
    overview: "/",
    systems: "/page/site-systems",
    filtered: `/page/site-systems?role=distribution-point&group=${encodeURIComponent(group)}&health=unwell`,
    system: `/page/site-system?name=${system}`,
    groups: "/page/boundary-groups",
    group: `/page/boundary-group?name=${encodeURIComponent(group)}`,
    content: "/page/content",
    versions: "/page/versions",
    certificates: "/page/certificates",
    explain: explain + system,
    "explain-form": "/page/explain",
    client: "/page/client?client=127.0.0.1",
  };
}

/** A page of a browser that may go nowhere else, and whose errors are findings. */
async function opened(browser, site, where, options) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  let tolerant = false;
  page.on("pageerror", (error) => fail(where, `script error: ${error}`));
  page.on("console", (message) => {
    if (message.type() === "error" && !tolerant && !/status of 40[04]/.test(message.text())) fail(where, `console: ${message.text()}`);
  });
  page.on("request", (request) => check(request.url().startsWith(`${site.origin}/`), where, `asks ${request.url()}`));
  return { context, page, tolerate: () => (tolerant = true) };
}

async function accessibility(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of found.violations) {
    const nodes = violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ");
    fail(where, `axe ${violation.impact}: ${violation.id} (${violation.help}): ${nodes}`);
  }
  return found.violations.length;
}

async function look(browser, site, state) {
  const all = state === "healthy" || state === "degraded" ? SCHEMES : ["light"];
  for (const width of WIDTHS) {
    for (const scheme of SCHEMES) {
      const options = { viewport: { width, height: width < 600 ? 844 : 900 }, colorScheme: scheme };
      const { context, page } = await opened(browser, site, `${state} ${width} ${scheme}`, options);
      const own = pages(state);
      // With counters that have grown, as somebody sees it who stays.
      await page.goto(site.origin + "/");
      await page.waitForTimeout(1200);
      for (const [name, path] of Object.entries(own)) {
        if (!all.includes(scheme) && name !== "overview") continue;
        const where = `${state} ${name} ${width} ${scheme}`;
        const begun = Date.now();
        const answer = await page.goto(site.origin + path, { waitUntil: "load" });
        const took = Date.now() - begun;
        const missing = [400, 404].includes(answer.status()) && state === "empty";
        check(answer.ok() || missing, where, `status ${answer.status()}`);
        check(took < 3000, where, `took ${took} ms`);
        const bytes = (await answer.body()).length;
        check(bytes < 300 * 1024, where, `${bytes} bytes`);
        const [wide, rows, h1] = await page.evaluate(() => [
          document.documentElement.scrollWidth - document.documentElement.clientWidth,
          document.querySelectorAll("main tbody tr").length,
          document.querySelectorAll("h1").length,
        ]);
        check(wide <= 0, where, `is ${wide} px wider than the window`);
        check(rows <= 220, where, `${rows} rows`);
        check(h1 === 1, where, `${h1} headings of the first level`);
        const violations = await accessibility(page, where);
        const picture = `${state}-${name}-${width}-${scheme}.png`;
        await page.screenshot({ path: join(folder, picture), fullPage: rows < 60 });
        looks.push({ state, page: name, width, scheme, bytes, milliseconds: took, rows, violations, picture });
      }
      await context.close();
    }
  }
}

/** The page with what is going on: a server goes, the page says so by itself, and keeps what its reader has done. */
async function live(browser, site) {
  const where = "live update";
  const { context, page, tolerate } = await opened(browser, site, where, { viewport: { width: 1280, height: 500 } });
  await page.goto(site.origin + "/page/site-systems");
  await page.evaluate(() => (globalThis.mark = document.querySelector("main")));
  const link = page.getByRole("rowheader").getByRole("link", { name: "DP3" });
  await link.focus();
  await page.evaluate(() => scrollTo(0, 60));
  const at = await page.evaluate(() => scrollY);
  await site.lose("DP3");
  const row = page.getByRole("row").filter({ hasText: "DP3" });
  await row.locator(".state.down").waitFor({ timeout: 15_000 });
  check(await page.evaluate(() => globalThis.mark?.isConnected), where, "the page was loaded again");
  check((await page.evaluate(() => document.activeElement.textContent)) === "DP3", where, "the focus is lost");
  check((await page.evaluate(() => scrollY)) === at, where, "it is scrolled to another place");
  check(/^Live, /.test(await page.locator("#fresh").textContent()), where, "the page does not say that it is live");

  // Hidden, it asks for nothing.
  let asked = 0;
  page.on("request", () => asked++);
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await page.waitForTimeout(500);
  asked = 0;
  await page.waitForTimeout(5000);
  check(asked === 0, where, `hidden, it has asked ${asked} times`);
  await hide(false);
  await page.waitForTimeout(1000);
  check(asked > 0, where, "shown again, it does not ask");

  // Without an answer it says from when it is.
  tolerate();
  await site.end();
  await page.getByText(/^No answer for \d+ s: this is from /).waitFor({ timeout: 15_000 });
  await page.screenshot({ path: join(folder, "lost-systems-1280-light.png") });
  await context.close();
}

async function keyboard(browser, site) {
  const where = "keyboard";
  const { context, page } = await opened(browser, site, where, { viewport: { width: 1280, height: 900 } });
  await page.goto(site.origin + "/page/site-systems");
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.className)) === "skip", where, "the way past the head is not first");
  await page.keyboard.press("Enter");
  check((await page.evaluate(() => document.activeElement.id)) === "main", where, "the way past the head leads nowhere");
  await page.goto(site.origin + "/page/site-systems");
  const wanted = await page.evaluate(
    () => [...document.querySelectorAll("a, button, input, select, [tabindex='0']")].filter((one) => one.checkVisibility()).length,
  );
  const reached = new Set();
  for (let step = 0; step < wanted + 10; step++) {
    await page.keyboard.press("Tab");
    const found = await page.evaluate(() => {
      const own = document.activeElement;
      if (own === document.body) return null;
      own.dataset.reached ??= Math.random().toString();
      const style = getComputedStyle(own);
      return { id: own.dataset.reached, outline: style.outlineStyle !== "none" && style.outlineWidth !== "0px", html: own.outerHTML.slice(0, 80) };
    });
    if (!found) break;
    reached.add(found.id);
    check(found.outline, where, `the focus does not show: ${found.html}`);
  }
  // A live update may have put a mark aside: what counts is that nothing is left out.
  check(reached.size >= wanted, where, `${reached.size} of ${wanted} can be reached`);
  await page.getByLabel("Name or address").focus();
  await page.keyboard.type("DP1");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=DP1/);
  check((await page.locator("main tbody tr").count()) === 1, where, "the filter shows something else");
  await page.goto(site.origin + "/page/explain");
  await page.getByLabel("Client address").focus();
  await page.keyboard.type("10.1.2.3");
  await page.getByLabel("URL, or path and query").focus();
  await page.keyboard.type("http://mp.contoso.com/SMS_MP/.sms_aut?MPLIST");
  await page.keyboard.press("Enter");
  await page.getByText(/serves it/).waitFor();
  await context.close();
}

async function withoutScript(browser, site) {
  const where = "without script";
  const { context, page } = await opened(browser, site, where, { javaScriptEnabled: false });
  for (const path of Object.values(pages("healthy"))) {
    const answer = await page.goto(site.origin + path);
    check(answer.ok(), where, `${path}: status ${answer.status()}`);
    check((await page.locator("main").innerText()).length > 40, where, `${path} is empty`);
  }
  const plain = await (await fetch(`${site.origin}/`)).text();
  check(plain.startsWith("rolegate: /status"), where, `/ for a program: ${plain.slice(0, 80)}`);
  await context.close();
}

async function main() {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const browser = await chromium.launch(CHROMIUM);
  try {
    for (const [state, start] of Object.entries(STATES)) {
      if (wanted.length > 0 && !wanted.includes(state)) continue;
      const site = new Site(tools, folder, state);
      console.log(`== ${state}`);
      try {
        await start(site);
        if (state !== "empty" && state !== "large") site.keepAsking();
        await look(browser, site, state);
        if (state === "healthy") {
          await keyboard(browser, site);
          await withoutScript(browser, site);
          await live(browser, site);
        }
      } catch (error) {
        fail(state, error.stack ?? String(error));
      } finally {
        await site.end();
      }
    }
  } finally {
    await browser.close();
  }
  writeFileSync(join(folder, "report.json"), JSON.stringify({ findings, looks }, null, 2));
  const slowest = Math.max(0, ...looks.map((one) => one.milliseconds));
  const largest = Math.max(0, ...looks.map((one) => one.bytes));
  console.log(`${looks.length} pages looked at, ${findings.length} findings; the slowest took ${slowest} ms, the largest has ${largest} bytes`);
  console.log(`report and screenshots: ${folder}`);
  process.exitCode = findings.length > 0 ? 1 : 0;
}

await main();
