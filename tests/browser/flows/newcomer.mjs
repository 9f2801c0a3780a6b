// What somebody does who has just started `keygate demo`: signs in by its link, looks around, makes a key, uses it, sees it
// used, and revokes it.
import assert from "node:assert/strict";
import { createKey, revokeKey } from "../deeds.mjs";
import { eventually, eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

export default async function newcomer(world) {
  const ada = await world.visitor("ada");
  const path = "/api/v1/projects/alpha";

  await world.step("The link opens a page with a button, which signs in", async () => {
    await ada.goto(world.state.sign_in_link);
    await ada.press("Sign in");
    await ada.heading("Overview");
  });
  await world.step("Every page has something to show", async () => {
    for (const [address, table] of [["/keys", "Keys"], ["/people", "People"], ["/projects", "Projects"], ["/routes", "Routes"], ["/audit", /^Audit records/], ["/replicas", "Sources of configuration"]]) {
      await ada.goto(address);
      await ada.page.getByRole("table", { name: table }).first().waitFor();
    }
    await ada.goto("/");
    assert.ok(await ada.page.getByRole("img").count() >= 3, "charts");
  });
  const key = await world.step("A key is made", () => createKey(ada, { name: "my first key" }));
  await world.step("It works through the gateway", () => eventuallyIs(() => answerTo(world, key.secret, { path }), "200"));
  await world.step("It is seen used", () => eventually(
    async () => { await ada.goto(`/keys/${key.id}`); return ada.fact("Last used"); },
    (said) => assert.match(said, /from 127\.0\.0\.1/),
  ));
  await world.step("It is revoked, and refused from then on", async () => {
    await revokeKey(ada, key);
    await ada.page.getByRole("status").filter({ hasText: /in force on 1\/1 replicas/ }).waitFor();
    assert.equal(await answerTo(world, key.secret, { path }), "401 key_revoked");
  });
  await world.step("The link works once", async () => {
    const eve = await world.visitor("eve");
    await eve.goto(world.state.sign_in_link);
    const button = eve.page.getByRole("button", { name: "Sign in", exact: true });
    if (await button.count()) await button.click();
    await eve.goto("/keys");
    await eve.heading("Sign in");
  });
}
