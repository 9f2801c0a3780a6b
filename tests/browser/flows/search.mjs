// Keys are found by what one knows of them; a whole key may be pasted, and stands in no address.
import assert from "node:assert/strict";
import { createKey, firstOwner, revokeKey } from "../deeds.mjs";
import { eventuallyIs } from "../eventually.mjs";

export default async function search(world) {
  const ada = await firstOwner(world);
  const actions = await createKey(ada, { name: "GitHub Actions" });
  const backup = await createKey(ada, { name: "nightly backup" });
  await revokeKey(ada, backup);
  const found = () => ada.page.getByRole("table", { name: "Keys" }).getByRole("rowheader").getByRole("link").allInnerTexts();
  const box = ada.page.getByLabel("Search, or paste a key");

  await world.step("Typing a part of a name shows those keys, without a button", async () => {
    await ada.goto("/keys");
    await box.pressSequentially("github");
    await eventuallyIs(found, ["GitHub Actions"]);
  });
  await world.step("The page can be loaded again, and shared", async () => {
    await ada.page.waitForURL(/q=github/);
    await ada.page.reload();
    assert.equal(await box.inputValue(), "github");
    assert.deepEqual(await found(), ["GitHub Actions"]);
  });
  await world.step("A status chooses among them", async () => {
    await ada.goto("/keys");
    await ada.page.getByLabel("Status").selectOption({ label: "revoked" });
    await eventuallyIs(found, ["nightly backup"]);
  });
  await world.step("What nothing matches is said, with a way back", async () => {
    await ada.goto("/keys");
    await box.fill("no such key");
    await ada.page.getByRole("heading", { name: "No key is like that" }).waitFor();
    await ada.follow("Show all keys");
    await eventuallyIs(async () => (await found()).length, 2);
  });
  await world.step("Its prefix finds a key", async () => {
    await box.fill(actions.secret.slice(0, 12));
    await eventuallyIs(found, ["GitHub Actions"]);
  });
  await world.step("A whole key, pasted, leads to its page", async () => {
    await ada.goto("/keys");
    await box.fill(actions.secret);
    await ada.heading(/^GitHub Actions/);
    assert.ok(!(await ada.page.content()).includes(actions.secret));
    await ada.page.goBack();
    await ada.heading("Keys");
    assert.notEqual(await box.inputValue(), actions.secret, "the key is not remembered");
  });
  await world.step("No address held it", () => {
    for (const address of ada.addresses) assert.ok(!address.includes(actions.secret.slice(-20)), address);
  });
}
