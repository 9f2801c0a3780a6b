// What every page owes, whoever looks at it and however wide their window is.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"];
const WEIGHT_MAX = 50_000;
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 375, height: 800 };
const NARROWEST = { width: 320, height: 800 };

// The faults of the page as it stands, as text: what axe-core finds, light and dark, wide and narrow, and whether one has to
// scroll sideways to read it on the narrowest of screens.
export async function faultsOf({ page }) {
  const faults = [];
  await page.evaluate(AXE);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const size of [WIDE, NARROW]) {
      await page.setViewportSize(size);
      const found = await page.evaluate(violations, RULES);
      faults.push(...found.map((fault) => `${page.url()}, ${colorScheme}, ${size.width} pixels wide: ${fault}`));
    }
  }
  await page.setViewportSize(NARROWEST);
  const overhang = await page.evaluate(widest);
  if (overhang) faults.push(`${page.url()} is wider than ${NARROWEST.width} pixels: ${overhang}`);
  await page.setViewportSize(WIDE);
  await page.emulateMedia({ colorScheme: "light" });
  return faults;
}

async function violations(values) {
  const result = await globalThis.axe.run(document, { runOnly: { type: "tag", values }, resultTypes: ["violations"] });
  return result.violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}\n    ${node.failureSummary}`));
}

// The element that ends farthest to the right, where the page can be scrolled sideways.
function widest() {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return null;
  const ends = [...document.querySelectorAll("body *")].map((element) => [element.getBoundingClientRect().right, element.outerHTML.slice(0, 160)]);
  return ends.sort(([a], [b]) => b - a)[0].join(" ");
}

// Opens a page as for the first time. The bytes that it costs then, with scripts, styles and pictures, as they travel.
export async function openedAfresh(visitor, path) {
  const protocol = await visitor.context.newCDPSession(visitor.page);
  let bytes = 0;
  protocol.on("Network.loadingFinished", ({ encodedDataLength }) => { bytes += encodedDataLength; });
  await protocol.send("Network.enable");
  await protocol.send("Network.setCacheDisabled", { cacheDisabled: true });
  await visitor.page.goto(path, { waitUntil: "load" });
  await protocol.detach();
  assert.ok(bytes > 0 && bytes < WEIGHT_MAX, `${path} costs ${bytes} bytes`);
  return bytes;
}
