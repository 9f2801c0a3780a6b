// Where keys are files, the console shows them, writes the YAML for each change, and revokes at once.
import assert from "node:assert/strict";
import { eventually, eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

export default async function fileMode(world) {
  const ada = await world.visitor("ada");
  const { manage_key: manageKey, reader } = world.state;
  world.secrets.add(manageKey).add(reader.secret);
  const yaml = () => ada.page.locator("pre").first().innerText();

  await world.step("There are no passwords; a key without the scope keygate:manage does not open it", async () => {
    await ada.goto("/");
    await ada.heading("Sign in");
    assert.equal(await ada.page.getByLabel("Password", { exact: true }).count(), 0);
    await ada.fill("Manage key", reader.secret);
    await ada.press("Sign in with a key");
    await ada.page.getByRole("alert").waitFor();
    assert.ok(!(await ada.page.content()).includes(reader.secret));
  });
  await world.step("A manage key opens it", async () => {
    await ada.fill("Manage key", manageKey);
    await ada.press("Sign in with a key");
    await ada.heading("Overview");
  });
  await world.step("Every page says that the file decides", async () => {
    for (const path of ["/", "/keys", "/people", "/routes"]) {
      await ada.goto(path);
      assert.match(await ada.text(), /Keys live in\s+keys\.yaml/, path);
    }
  });
  await world.step("A new key is YAML to paste, with its secret this once", async () => {
    await ada.goto("/keys/new");
    await ada.fill("Name", "from the console");
    await ada.choose("checkbox", "read");
    await ada.choose("radio", "All projects");
    await ada.press("Create key");
    const secret = await ada.page.getByRole("group", { name: /^The secret\./ }).innerText();
    world.secrets.add(secret);
    const text = await ada.page.locator("pre").allInnerTexts();
    assert.ok(text.some((part) => /name: from the console/.test(part) && /scopes: \[read\]/.test(part)), text.join("\n"));
    assert.ok(!text.some((part) => /hash/.test(part) && part.includes(secret)), "the file holds no secret");
    assert.equal(await answerTo(world, secret), "401 key_unknown");
    await ada.choose("checkbox", "I have stored the secret");
    await ada.press("Done");
  });
  await world.step("To rename is YAML to paste as well", async () => {
    await ada.goto(`/keys/${reader.id}/edit`);
    await ada.fill("Name", "renamed");
    await ada.press("Save");
    assert.match(await yaml(), /name: renamed/);
    await ada.goto(`/keys/${reader.id}`);
    assert.ok(!(await ada.text()).includes("renamed"));
  });
  await world.step("A revocation is in force at once, and warns until the file agrees", async () => {
    assert.equal(await answerTo(world, reader.secret), "200");
    await ada.goto(`/keys/${reader.id}/revoke`);
    await ada.fill(`Type ${reader.name} to confirm`, reader.name);
    await ada.press("Revoke key");
    await eventuallyIs(() => answerTo(world, reader.secret), "401 key_revoked");
    await eventually(() => ada.text(), (text) => assert.match(text, /revoked/i));
    await ada.goto(`/keys/${reader.id}`);
    await eventually(() => ada.text(), (text) => assert.match(text, /Revoked|revoked/));
  });
}
