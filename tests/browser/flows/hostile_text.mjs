// What people type is shown as they typed it, wherever it comes up, and never becomes part of a page.
import assert from "node:assert/strict";
import { firstOwner, listedKeys, revokeKey } from "../deeds.mjs";

const NAMES = [
  `<script>alert(1)</script>`,
  `"><img src=x onerror=alert(1)>`,
  `' onfocus='alert(1)' autofocus='`,
  `{{ 7 * 7 }} \${7 * 7} &amp; &lt;b&gt;`,
];

export default async function hostileText(world) {
  const ada = await firstOwner(world);
  const keys = [];

  await world.step("Keys may have such names", async () => {
    for (const name of NAMES) {
      await ada.goto("/keys/new");
      await ada.fill("Name", name);
      await ada.choose("checkbox", "read");
      await ada.choose("radio", "All projects");
      await ada.press("Create key");
      const secret = ada.page.getByRole("group", { name: /^The secret\./ });
      world.secrets.add(await secret.innerText());
      await ada.choose("checkbox", "I have stored the secret");
      await ada.press(/^Done/);
      await ada.page.waitForURL(/\/keys\/[^/]+\?stored=yes$/);
      keys.push({ name, id: new URL(ada.page.url()).pathname.split("/").at(-1) });
    }
  });
  await world.step("Every page shows them as text", async () => {
    assert.deepEqual((await listedKeys(ada)).sort(), [...NAMES].sort());
    for (const { id, name } of keys) {
      for (const path of [`/keys/${id}`, `/keys/${id}/revoke`, `/keys/${id}/rotate`]) {
        await ada.goto(path);
        assert.ok((await ada.text()).includes(name), path);
      }
      await ada.goto(`/keys/${id}/edit`);
      assert.equal(await ada.page.getByLabel("Name", { exact: true }).inputValue(), name);
    }
  });
  await world.step("So do a search, a refusal and an explanation", async () => {
    for (const name of NAMES) {
      await ada.goto("/keys");
      await ada.fill("Search, or paste a key", name);
      await ada.page.waitForURL(/q=/);
      await ada.goto("/routes");
      await ada.fill("Path, with its query", `/api/projects/${name}/tasks`);
      await ada.fill("Key id, or nothing for no key", name);
      await ada.press("Explain");
      await ada.page.getByRole("heading", { level: 1 }).waitFor();
    }
  });
  await world.step("A revocation with such a reason is told on the receipt, on the key's page and in the audit", async () => {
    await revokeKey(ada, { ...keys[0], reason: NAMES[1] });
    assert.ok((await ada.text()).includes(NAMES[0]));
    await ada.goto(`/keys/${keys[0].id}`);
    assert.ok((await ada.text()).includes(NAMES[1]));
    await ada.goto("/audit");
  });
  await world.step("No script of theirs has run", () => {
    assert.deepEqual(ada.questions.filter((question) => question !== "beforeunload"), []);
  });
}
