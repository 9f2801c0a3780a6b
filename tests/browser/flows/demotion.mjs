// A key is never more than its owner: what becomes of a person becomes of their keys and sessions, at once.
import assert from "node:assert/strict";
import { createKey, firstOwner, invite, newcomer } from "../deeds.mjs";
import { eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

export default async function demotion(world) {
  const ada = await firstOwner(world);
  const bob = await newcomer(world, "bob", await invite(ada, { id: "bob", role: "member" }));
  const key = await createKey(bob, { name: "of bob", scopes: ["write"] });
  const writing = () => answerTo(world, key.secret, { method: "POST" });
  await eventuallyIs(writing, "200");

  await world.step("A viewer's keys read, whatever they were granted", async () => {
    await ada.goto("/people/bob");
    await ada.choose("radio", "viewer");
    await ada.press("Save");
    await eventuallyIs(writing, "403 scope_insufficient");
    assert.equal(await answerTo(world, key.secret), "200");
  });
  await world.step("The key's page says that it is less than it was granted, and why", async () => {
    await ada.goto(`/keys/${key.id}`);
    assert.match(await ada.text(), /Less than granted/);
  });
  await world.step("Who is disabled is signed out, and their keys are refused", async () => {
    await ada.goto("/people/bob");
    await ada.press("Disable bob");
    await eventuallyIs(() => answerTo(world, key.secret), "401 key_owner_disabled");
    await bob.goto("/keys");
    await bob.heading("Sign in");
  });
  await world.step("Who is enabled again has their keys back, and signs in again", async () => {
    await ada.goto("/people/bob");
    await ada.press("Enable bob");
    await eventuallyIs(() => answerTo(world, key.secret), "200");
    await bob.goto("/keys");
    await bob.heading("Sign in");
  });
  await world.step("Nobody disables themselves", async () => {
    await ada.goto("/people/ada");
    await ada.heading(/^ada/);
    assert.equal(await ada.page.getByRole("button", { name: "Disable ada" }).count(), 0);
  });
}
