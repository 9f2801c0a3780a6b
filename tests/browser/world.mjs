// What a flow is given: a browser, visitors who come with it, and what was prepared.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "./chromium.mjs";
import { Visitor } from "./visitor.mjs";

export class World {
  visitors = [];
  // Every secret that a page has shown; none may be anywhere else.
  secrets = new Set();
  current = "nothing yet";

  // `state`: what was prepared, see README.md.
  static async open({ url, gateway, state }) {
    const world = new World();
    return Object.assign(world, { url, gateway, state, browser: await launch() });
  }

  // Somebody with a browser profile of their own. `how`: options of playwright's newContext.
  async visitor(name, how = {}) {
    const visitor = await Visitor.open(this, name, how);
    this.visitors.push(visitor);
    return visitor;
  }

  async step(name, body) {
    this.current = name;
    console.log(`  ${name}`);
    return body();
  }

  // What holds of all visitors, whatever the flow was.
  async judge() {
    this.current = "what every visit owes";
    for (const visitor of this.visitors) await visitor.judge(this.secrets);
  }

  // Where everybody stands, with pictures.
  async describe() {
    const folder = mkdtempSync(join(process.env.KEYGATE_PICTURES ?? tmpdir(), "keygate-browser-"));
    const lines = [];
    for (const visitor of this.visitors) lines.push(...await visitor.describe(folder));
    return lines.join("\n");
  }

  async close() {
    await this.browser.close();
  }
}
