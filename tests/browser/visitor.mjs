// One person's browser: a profile of its own with one page, or more, watched all the while.
import assert from "node:assert/strict";
import { join } from "node:path";

const PATIENCE_MS = 20_000;

export class Visitor {
  // Every address that was asked for.
  addresses = [];
  // What the console of the browser, the Content-Security-Policy and scripts complained of.
  complaints = [];
  // Questions of the browser, such as whether to leave a page; all are answered with yes.
  questions = [];

  static async open(world, name, how) {
    const visitor = new Visitor();
    const context = await world.browser.newContext({ baseURL: world.url, viewport: { width: 1280, height: 800 }, ...how });
    Object.assign(visitor, { world, name, context });
    context.setDefaultTimeout(PATIENCE_MS);
    context.on("request", (request) => visitor.addresses.push(request.url()));
    context.on("response", (response) => visitor.#hear(response));
    context.on("console", (message) => visitor.#listen(message));
    context.on("weberror", (error) => visitor.complaints.push(`script: ${error.error()}`));
    context.on("dialog", (dialog) => visitor.#agree(dialog));
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    });
    visitor.page = await context.newPage();
    return visitor;
  }

  // Opens a path of the console and gives the status of the answer.
  async goto(path, page = this.page) {
    const response = await page.goto(path);
    return response.status();
  }

  // Waits until the page has this heading: a text in full, or an expression.
  async heading(name, page = this.page) {
    await page.getByRole("heading", { level: 1, name, exact: typeof name === "string" }).waitFor();
  }

  async fill(label, text, page = this.page) {
    await page.getByLabel(label, { exact: true }).fill(text);
  }

  async press(name, page = this.page) {
    await page.getByRole("button", { name, exact: typeof name === "string" }).click();
  }

  async follow(name, page = this.page) {
    await page.getByRole("link", { name, exact: typeof name === "string" }).first().click();
  }

  // Chooses radio buttons or check boxes by the words that their labels begin with.
  async choose(role, ...names) {
    for (const name of names) await this.page.getByRole(role, { name: startsWith(name) }).check();
  }

  // The value of the fact with this name, in a list of facts.
  async fact(name) {
    return this.page.locator("dt", { hasText: new RegExp(`^${name}$`) }).locator("xpath=following-sibling::dd[1]").innerText();
  }

  // All that the page says.
  async text(page = this.page) {
    return page.locator("body").innerText();
  }

  // A page may be refused on purpose; scripts, styles and pictures are not.
  #hear(response) {
    const isPage = response.request().isNavigationRequest();
    if (response.status() >= 500 || (response.status() >= 400 && !isPage)) this.complaints.push(`${response.status()} of ${response.url()}`);
  }

  // That an answer was a refusal is heard above.
  #listen(message) {
    if (message.type() !== "error" && !/Content Security Policy/i.test(message.text())) return;
    if (!message.text().startsWith("Failed to load resource")) this.complaints.push(`console: ${message.text()}`);
  }

  async #agree(dialog) {
    this.questions.push(dialog.type());
    await dialog.accept();
  }

  async judge(secrets) {
    assert.deepEqual(this.complaints, [], `complaints of ${this.name}'s browser`);
    const kept = JSON.stringify(await this.context.storageState());
    const session = await Promise.all(this.context.pages().map(sessionOf));
    for (const secret of secrets) {
      assert.ok(!this.addresses.some((address) => decodeURIComponent(address).includes(secret)), `a secret in an address that ${this.name} asked for`);
      assert.ok(![kept, ...session].some((text) => text.includes(secret)), `a secret in the storage of ${this.name}'s browser`);
    }
  }

  async describe(folder) {
    const lines = [];
    for (const [index, page] of this.context.pages().entries()) {
      const picture = join(folder, `${this.name}-${index}.png`);
      await page.screenshot({ path: picture, fullPage: true }).catch(() => {});
      lines.push(`${this.name} at ${page.url()}, picture: ${picture}`, await this.text(page).catch(() => "(no text)"));
    }
    return [...lines, ...this.complaints];
  }
}

// Matches what begins with `text` as whole words.
export const startsWith = (text) => new RegExp(`^\\s*${text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?!\\w)`);

// Pages of the browser itself have no storage.
async function sessionOf(page) {
  if (!page.url().startsWith("http")) return "";
  return page.evaluate(() => JSON.stringify({ ...sessionStorage })).catch(() => "");
}
