// A key gets another secret while programs go on.
import assert from "node:assert/strict";
import { createKey, firstOwner, rotateKey } from "../deeds.mjs";
import { eventually, eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

export default async function rotate(world) {
  const ada = await firstOwner(world);
  const key = await createKey(ada, { name: "deploy" });
  const used = async (secret) => (await split(ada))[secret];

  const second = await world.step("With an overlap, both secrets work", async () => {
    const secret = await rotateKey(ada, { ...key, overlap: "1 hour" });
    assert.notEqual(secret, key.secret);
    await eventuallyIs(() => answerTo(world, secret), "200");
    assert.equal(await answerTo(world, key.secret), "200");
    return secret;
  });
  await world.step("The key's page shows, by itself, how often each of them is used", async () => {
    await answerTo(world, second);
    await ada.page.getByRole("region", { name: "Two secrets work" }).waitFor();
    await eventually(() => used("New"), (count) => assert.ok(count >= 2, `${count} with the new secret`));
    await eventually(() => used("Old"), (count) => assert.ok(count >= 1, `${count} with the old secret`));
  });
  const third = await world.step("Rotating again warns that two work, and without overlap ends them at once", async () => {
    await ada.goto(`/keys/${key.id}/rotate`);
    assert.match(await ada.text(), /Two secrets work until/);
    const secret = await rotateKey(ada, { ...key, overlap: "It stops now" });
    await eventuallyIs(() => answerTo(world, secret), "200");
    await eventually(() => answerTo(world, second), (answer) => assert.match(answer, /^401 /));
    assert.match(await answerTo(world, key.secret), /^401 /);
    return secret;
  });
  await world.step("It still is one key, by the same name", async () => {
    await ada.goto("/keys");
    assert.equal(await ada.page.getByRole("link", { name: "deploy" }).count(), 1);
    assert.equal(await answerTo(world, third), "200");
  });
}

// How many requests came with each secret: `{ New: 2, Old: 1 }`.
async function split({ page }) {
  const rows = page.getByRole("table", { name: "Use of both secrets" }).locator("tbody").getByRole("row");
  const texts = await rows.evaluateAll((found) => found.map((row) => [row.cells[0].innerText.split(/\s/)[0], row.cells[2].innerText]));
  return Object.fromEntries(texts.map(([name, count]) => [name, Number(count.replaceAll(/\D/g, ""))]));
}
