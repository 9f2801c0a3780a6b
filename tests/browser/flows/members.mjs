// A member who was invited comes in by themselves, makes keys of their own, and sees nobody else's.
import assert from "node:assert/strict";
import { createKey, firstOwner, invite, listedKeys, newcomer, signIn } from "../deeds.mjs";
import { eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

const NOT_FOR_MEMBERS = ["/people", "/people/new", "/people/ada", "/projects", "/routes", "/audit", "/replicas"];

export default async function members(world) {
  const ada = await firstOwner(world);
  const hers = await createKey(ada, { name: "of ada" });

  const link = await world.step("Ada invites Bob, and is shown a link once", async () => {
    const shown = await invite(ada, { id: "bob", role: "member" });
    assert.ok(shown.startsWith(`${world.url}/invitation/`), shown);
    assert.ok(!(await ada.page.content()).includes(shown));
    return shown;
  });
  const bob = await world.step("Bob follows it, chooses a password and is in", () => newcomer(world, "bob", link));
  await world.step("The link works once", async () => {
    const eve = await world.visitor("eve");
    assert.ok(await eve.goto(link) >= 400);
    assert.equal(await eve.page.getByLabel("Choose a password").count(), 0);
  });
  await world.step("He is offered what is his", async () => {
    const links = await bob.page.getByRole("navigation", { name: "Console" }).getByRole("link").allInnerTexts();
    assert.deepEqual(links.map((text) => text.trim()).filter((text) => /^(People|Projects|Routes|Audit|Replicas)$/.test(text)), []);
    await bob.goto("/keys");
    assert.match(await bob.text(), /The keys that you own.*No keys yet/s);
  });
  await world.step("He makes a key, which works", async () => {
    const his = await createKey(bob, { name: "of bob", scopes: ["write"] });
    await eventuallyIs(() => answerTo(world, his.secret, { method: "POST" }), "200");
    assert.equal(await answerTo(world, his.secret, { method: "DELETE" }), "403 scope_insufficient");
    assert.deepEqual(await listedKeys(bob), ["of bob"]);
  });
  await world.step("Addresses of what is not his tell him nothing", async () => {
    for (const path of [...NOT_FOR_MEMBERS, `/keys/${hers.id}`, `/keys/${hers.id}/revoke`, `/keys/${hers.id}/edit`, `/keys/${hers.id}/rotate`]) {
      assert.ok([403, 404].includes(await bob.goto(path)), path);
      assert.ok(!(await bob.text()).includes("of ada"), path);
    }
    await bob.goto("/keys");
    await bob.fill("Search, or paste a key", hers.secret);
    await bob.page.getByText(/No key of this organization has that secret/).waitFor();
  });
  await world.step("Ada sees both keys, and whose they are", async () => {
    assert.deepEqual((await listedKeys(ada)).sort(), ["of ada", "of bob"]);
    await ada.goto("/keys?owner=bob");
    assert.equal(await ada.page.getByRole("link", { name: "of ada" }).count(), 0);
    await ada.page.getByRole("link", { name: "of bob" }).waitFor();
  });
  await world.step("Bob comes again with his password", async () => {
    await bob.press("Sign out");
    await signIn(bob, "bob");
    await bob.heading("Overview");
  });
}
