// All that matters works where scripts do not.
import assert from "node:assert/strict";
import { createKey, firstOwner, revokeKey, rotateKey, signIn } from "../deeds.mjs";
import { eventually, eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

export default async function withoutJavaScript(world) {
  const ada = await world.step("The first owner comes in and signs in again", async () => {
    const visitor = await firstOwner(world, { javaScriptEnabled: false });
    await visitor.press("Sign out");
    await signIn(visitor, "ada");
    await visitor.heading("Overview");
    return visitor;
  });
  const key = await world.step("A key is made, and works", async () => {
    const made = await createKey(ada, { name: "plain", projects: ["alpha"] });
    await eventuallyIs(() => answerTo(world, made.secret), "200");
    assert.equal(await answerTo(world, made.secret, { path: "/api/projects/beta/tasks" }), "404 not_found");
    return made;
  });
  await world.step("It is found by its name", async () => {
    await ada.goto("/keys");
    await ada.fill("Search, or paste a key", "plai");
    await ada.press("Search");
    await ada.page.waitForURL(/q=plai/);
    await ada.page.getByRole("link", { name: "plain" }).waitFor();
  });
  const second = await world.step("It is rotated, and its page says how to look again", async () => {
    const secret = await rotateKey(ada, { ...key, overlap: "1 hour" });
    await eventuallyIs(() => answerTo(world, secret), "200");
    assert.equal(await answerTo(world, key.secret), "200");
    await ada.follow("Look again");
    await ada.heading(/^plain/);
    return secret;
  });
  await world.step("A wrong name does not revoke it", async () => {
    await ada.goto(`/keys/${key.id}/revoke`);
    await ada.fill("Type plain to confirm", "plan");
    await ada.press("Revoke key");
    await ada.page.getByRole("alert").waitFor();
    assert.equal(await answerTo(world, second), "200");
  });
  await world.step("It is revoked, and the receipt tells", async () => {
    await revokeKey(ada, key);
    const again = ada.page.getByRole("link", { name: "Look again" });
    await eventually(async () => {
      if (await again.count()) await again.click();
      return ada.text();
    }, (text) => assert.match(text, /in force on 1\/1 replicas/));
    assert.equal(await answerTo(world, second), "401 key_revoked");
    assert.equal(await answerTo(world, key.secret), "401 key_revoked");
  });
}
