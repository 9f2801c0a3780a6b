// A key is made with the keyboard alone.
import assert from "node:assert/strict";
import { firstOwner } from "../deeds.mjs";
import { answerTo } from "../gateway.mjs";
import { eventuallyIs } from "../eventually.mjs";

const STEPS_MAX = 60;

export default async function keyboard(world) {
  const ada = await firstOwner(world);
  const { page } = ada;
  const press = (key) => page.keyboard.press(key);

  await world.step("The first Tab offers to skip the navigation", async () => {
    await ada.goto("/keys");
    await press("Tab");
    assert.equal((await focused(page)).name, "Skip to the page");
    await press("Enter");
    await tabTo(page, "link", /^New key$|^Create the first key$/);
  });
  await world.step("The form is filled by Tab and Space", async () => {
    await press("Enter");
    await ada.heading("New key");
    await tabTo(page, "textbox", /^Name/);
    await page.keyboard.type("by keyboard");
    await tabTo(page, "checkbox", /^read/);
    await press("Space");
    await tabTo(page, "radio", /^(All projects|Only these projects)/);
    if (/^Only/.test((await focused(page)).name)) await press("ArrowUp");
    else await press("Space");
    assert.ok(await page.getByRole("radio", { name: /^All projects/ }).isChecked());
  });
  await world.step("Enter creates the key", async () => {
    await tabTo(page, "button", /^Create key$/);
    await press("Enter");
    await page.getByRole("group", { name: /^The secret\./ }).waitFor();
  });
  const secret = await page.getByRole("group", { name: /^The secret\./ }).innerText();
  world.secrets.add(secret);
  await world.step("The secret is copied, and left behind", async () => {
    await tabTo(page, "button", /^Copy$/);
    await press("Enter");
    await page.getByRole("button", { name: /^(Copied|Press Ctrl)/ }).waitFor();
    await tabTo(page, "checkbox", /^I have stored the secret/);
    await press("Space");
    await tabTo(page, "button", /^Done/);
    await press("Enter");
    await ada.heading(/^by keyboard/);
    await eventuallyIs(() => answerTo(world, secret), "200");
  });
  await world.step("After a refusal, the keyboard stands at what is wrong", async () => {
    await ada.goto("/keys/new");
    await ada.fill("Name", "lacks a scope");
    await ada.press("Create key");
    await page.getByRole("alert").waitFor();
    await eventuallyIs(async () => (await focused(page)).role, "alert");
    assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "lacks a scope");
  });
}

// Presses Tab until something with this role and name has the focus, which one must be able to see.
async function tabTo(page, role, name) {
  const passed = [];
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const now = await focused(page);
    if (now.role === role && name.test(now.name)) return assert.ok(now.isVisible, `${now.name} has a focus that nobody sees`);
    passed.push(`${now.role} ${now.name}`);
    await page.keyboard.press("Tab");
  }
  throw new Error(`no ${role} ${name} by Tab; passed ${passed.join(", ")}`);
}

// What has the focus: its role, its name, and whether something on the screen tells so.
function focused(page) {
  return page.evaluate(() => {
    const element = document.activeElement;
    const types = { checkbox: "checkbox", radio: "radio", search: "searchbox" };
    const tags = { A: "link", BUTTON: "button", TEXTAREA: "textbox", SELECT: "combobox", INPUT: types[element.type] ?? "textbox" };
    const label = element.labels?.[0]?.innerText ?? element.innerText ?? "";
    // Of a choice, the whole label is marked.
    const styles = [element, ...(element.labels ?? [])].map((marked) => getComputedStyle(marked));
    return {
      role: element.getAttribute("role") ?? tags[element.tagName] ?? element.tagName,
      name: label.trim().replaceAll(/\s+/g, " "),
      isVisible: styles.some(({ outlineStyle, boxShadow }) => outlineStyle !== "none" || boxShadow !== "none"),
    };
  });
}
