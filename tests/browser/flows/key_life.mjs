// What a newcomer does: makes a key, uses it, sees it used, revokes it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describeKey, firstOwner, shownKey } from "../deeds.mjs";
import { eventually, eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

const NAME = "GitHub Actions, staging";

export default async function keyLife(world) {
  const ada = await firstOwner(world);
  await ada.context.grantPermissions(["clipboard-write"], { origin: world.url });
  const summary = async () => (await ada.page.getByRole("complementary", { name: "This key" }).innerText()).replaceAll(/\s+/g, " ");

  await world.step("The form has 30 days chosen, and sums up what one chooses", async () => {
    await describeKey(ada, { name: NAME, scopes: ["read"], projects: ["alpha"] });
    assert.ok(await ada.page.getByRole("radio", { name: "in 30 days" }).isChecked());
    assert.match(await summary(), /Name GitHub Actions, staging.* May read In alpha Expires in 30 days From any address/);
  });
  const key = await world.step("The key's secret is shown, to be copied", async () => {
    await ada.press("Create key");
    const shown = await shownKey(ada);
    // Until the page's script has come, the button does nothing.
    const copy = ada.page.getByRole("button", { name: /^(Copy|Copied)$/ }).first();
    await eventually(async () => { await copy.click(); return pasted(ada.context); }, (copied) => assert.equal(copied, shown.secret));
    await ada.page.getByRole("button", { name: "Copied" }).first().waitFor();
    return shown;
  });
  await world.step("The curl line names the project, and works once its other parameters are filled in", () => {
    // The port is 0 in this gateway's configuration, where the system chooses it.
    const line = key.curl.replace("http://127.0.0.1:0", world.gateway).replace("{rest}", "tasks");
    assert.equal(run(line), "200");
  });
  await world.step("The secret works through the gateway, for what was chosen", async () => {
    await eventuallyIs(() => answerTo(world, key.secret), "200");
    assert.equal(await answerTo(world, key.secret, { method: "POST" }), "403 scope_insufficient");
    assert.equal(await answerTo(world, key.secret, { path: "/api/projects/beta/tasks" }), "404 not_found");
  });
  await world.step("Whoever leaves without storing it is asked first; then it is gone", async () => {
    await ada.page.getByRole("link", { name: "Keys", exact: true }).first().click();
    await ada.heading("Keys");
    assert.deepEqual(ada.questions, ["beforeunload"]);
    await notShownAgain(ada, key.secret);
  });
  await world.step("The key's page shows it as used, and by what", async () => {
    await eventually(async () => { await ada.goto(`/keys/${key.id}`); return ada.fact("Last used"); }, (said) => assert.match(said, /from 127\.0\.0\.1/));
    assert.ok(!(await ada.page.content()).includes(key.secret));
    await ada.page.getByRole("table", { name: "Scopes granted and used" }).waitFor();
  });
  await world.step("Revoking needs its name", async () => {
    await ada.follow("Revoke");
    await ada.heading("Revoke this key");
    const revoke = ada.page.getByRole("button", { name: "Revoke key" });
    await ada.fill(`Type ${NAME} to confirm`, "GitHub");
    await eventually(() => revoke.isDisabled(), (is) => assert.ok(is));
    await ada.fill("Why (optional)", "printed by a build");
    await ada.fill(`Type ${NAME} to confirm`, NAME);
    await revoke.click();
  });
  await world.step("The receipt fills until the revocation is in force everywhere", async () => {
    await ada.heading(/is revoked$/);
    await ada.page.getByRole("status").filter({ hasText: /in force on 1\/1 replicas/ }).waitFor();
  });
  await world.step("The key is refused from then on, and its page says by whom and why", async () => {
    assert.equal(await answerTo(world, key.secret), "401 key_revoked");
    await ada.goto(`/keys/${key.id}`);
    assert.match(await ada.text(), /Revoked .* by ada.*“printed by a build”/);
    assert.equal(await ada.page.getByRole("link", { name: /^(Revoke|Rotate)$/ }).count(), 0);
  });
  await world.step("The audit tells it all", async () => {
    await ada.goto(`/audit?target=${key.id}`);
    const rows = await ada.page.getByRole("table").getByRole("row").count();
    assert.ok(rows >= 3, "a header, the creation and the revocation");
  });
}

// The status that a curl line gets.
function run(line) {
  const quietly = line.replace(/^curl /, "curl --silent --output /dev/null --write-out '%{http_code}' --noproxy '*' --max-time 30 ");
  return execFileSync("bash", ["-c", quietly], { encoding: "utf8" });
}

// What is on the clipboard: pasted into an empty page.
async function pasted(context) {
  const page = await context.newPage();
  await page.setContent("<textarea></textarea>");
  await page.locator("textarea").focus();
  await page.keyboard.press("Control+V");
  const text = await page.locator("textarea").inputValue();
  await page.close();
  return text;
}

// Neither going back nor loading again shows the secret another time.
async function notShownAgain(visitor, secret) {
  const { page } = visitor;
  const isShown = async () => (await page.content()).includes(secret);
  await page.goBack().catch(() => {});
  assert.ok(!await isShown(), "after going back");
  await page.reload().catch(() => {});
  assert.ok(!await isShown(), "after loading it again");
  await visitor.goto("/keys");
  assert.ok(!await isShown());
}
