// Pictures of the console of `keygate demo`: node pictures.mjs --url CONSOLE --gateway URL --link SIGN-IN-LINK --out FOLDER
// Each page light, dark, and light on a narrow screen: console-PAGE-light.png, -dark.png, -narrow.png.
import { parseArgs } from "node:util";
import { join } from "node:path";
import { describeKey, revokeKey, shownKey } from "./deeds.mjs";
import { World } from "./world.mjs";

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 390, height: 844 };

const option = { type: "string" };
const { values } = parseArgs({ options: { url: option, gateway: option, link: option, out: option } });
const world = await World.open({ url: values.url, gateway: values.gateway, state: {} });
const ada = await world.visitor("ada", { viewport: WIDE, deviceScaleFactor: 1, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC" });
try {
  await ada.goto(values.link);
  await ada.press("Sign in");
  await ada.heading("Overview");
  await take("overview");
  await page("keys", "/keys");
  await page("key", "/keys/demo-rotating");
  await page("people", "/people");
  await page("audit", "/audit");
  await page("routes", "/routes");
  await explain();
  await makeKey();
} finally {
  await world.close();
}

async function page(name, path) {
  await ada.goto(path);
  await take(name);
}

async function explain() {
  await ada.goto("/routes");
  await ada.page.getByLabel("Method").selectOption("POST");
  await ada.fill("Path, with its query", "/api/v1/projects/alpha/tests");
  await ada.fill("Key id, or nothing for no key", "demo-read");
  await ada.press("Explain");
  await ada.heading(/scope_insufficient/);
  await take("explain");
}

async function makeKey() {
  await describeKey(ada, { name: "GitHub Actions, staging" });
  await take("new-key");
  await ada.press("Create key");
  const { id } = await shownKey(ada);
  await take("secret");
  await revokeKey(ada, { id, name: "GitHub Actions, staging", reason: "printed by a build" });
  await ada.page.getByRole("status").filter({ hasText: /in force on/ }).waitFor();
  await take("receipt");
}

async function take(name) {
  await ada.page.evaluate(() => document.fonts.ready);
  for (const [kind, colorScheme, size] of [["light", "light", WIDE], ["dark", "dark", WIDE], ["narrow", "light", NARROW]]) {
    await ada.page.emulateMedia({ colorScheme });
    await ada.page.setViewportSize(size);
    await ada.page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
    await ada.page.screenshot({ path: join(values.out, `console-${name}-${kind}.png`), animations: "disabled", caret: "hide" });
  }
  await ada.page.setViewportSize(WIDE);
  await ada.page.emulateMedia({ colorScheme: "light" });
}
