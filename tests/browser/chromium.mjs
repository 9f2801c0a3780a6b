// Debian's Chromium, without a window. Its profile is a new temporary folder, which goes with it.
import { createRequire } from "node:module";

// `require` finds what NODE_PATH holds; `import` does not.
const { chromium } = createRequire(import.meta.url)("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

export function launch() {
  return chromium.launch({ executablePath: process.env.KEYGATE_CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}
