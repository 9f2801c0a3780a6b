// Who saves a page that is out of date is told, and overwrites nothing.
import assert from "node:assert/strict";
import { createKey, firstOwner, revokeKey } from "../deeds.mjs";
import { eventually } from "../eventually.mjs";

export default async function staleEdit(world) {
  const ada = await firstOwner(world);
  const key = await createKey(ada, { name: "deploy" });
  const first = ada.page;
  const second = await ada.context.newPage();

  await world.step("The same form is open twice", async () => {
    for (const page of [first, second]) {
      await ada.goto(`/keys/${key.id}/edit`, page);
      await ada.heading("Rename or narrow", page);
    }
  });
  await world.step("The first one to save is obeyed", async () => {
    await ada.fill("Name", "deploy to production", first);
    await ada.press("Save", first);
    await ada.heading(/^deploy to production/, first);
  });
  await world.step("The second is told that it is out of date", async () => {
    await ada.fill("Name", "deploy to nowhere", second);
    const [answer] = await Promise.all([
      second.waitForResponse((response) => response.request().method() === "POST"),
      ada.press("Save", second),
    ]);
    assert.ok([409, 412].includes(answer.status()), `answered ${answer.status()}`);
    await eventually(() => ada.text(second), (text) => assert.match(text, /changed|out of date|meanwhile/i));
  });
  await world.step("Nothing was overwritten", async () => {
    await ada.goto(`/keys/${key.id}`, second);
    await ada.heading(/^deploy to production/, second);
  });
  await world.step("A form for what was revoked meanwhile changes nothing either", async () => {
    await ada.goto(`/keys/${key.id}/edit`, second);
    await revokeKey(ada, { id: key.id, name: "deploy to production" });
    await ada.fill("Name", "risen", second);
    await ada.press("Save", second);
    await eventually(() => ada.text(second), (text) => assert.match(text, /changed|revoked|out of date|meanwhile/i));
    await ada.goto(`/keys/${key.id}`, second);
    await ada.heading(/^deploy to production/, second);
  });
}
