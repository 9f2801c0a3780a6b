// Every page, with something on it: what each owes to whoever looks at it.
import assert from "node:assert/strict";
import { createKey, firstOwner, invite, newcomer, revokeKey, rotateKey } from "../deeds.mjs";
import { eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";
import { faultsOf, openedAfresh } from "../inspection.mjs";

export default async function everyPage(world) {
  const faults = [];
  const weights = [];
  const look = async (visitor) => faults.push(...await faultsOf(visitor));
  const visit = async (visitor, path) => {
    weights.push([path, await openedAfresh(visitor, path)]);
    await look(visitor);
  };

  const stranger = await world.visitor("stranger");
  await world.step("The door", async () => {
    for (const path of [new URL(world.state.first_owner_link).pathname, "/sign-in", "/welcome/nothing"]) await visit(stranger, path);
    await stranger.goto("/sign-in");
    await stranger.fill("Your id or e-mail", "ada");
    await stranger.fill("Password", "wrong");
    await stranger.press("Sign in");
    await stranger.page.getByRole("alert").waitFor();
    await look(stranger);
  });
  const ada = await firstOwner(world);
  await world.step("The empty pages", async () => {
    for (const path of ["/", "/keys", "/keys/new", "/projects", "/audit"]) await visit(ada, path);
  });
  await world.step("A form that was refused", async () => {
    await ada.goto("/keys/new");
    await ada.page.locator("form").filter({ hasText: "Create key" }).evaluate((form) => form.submit());
    await ada.page.getByRole("alert").waitFor();
    await look(ada);
  });
  const { used, revoked } = await world.step("Keys, a person, a project", () => populate(ada, { world, look }));
  const receipt = new URL(ada.page.url()).pathname;
  await world.step("The pages with something on them", async () => {
    const paths = [
      "/", "/keys", "/keys?q=nothing", `/keys/${used.id}`, `/keys/${used.id}/edit`, `/keys/${used.id}/rotate`, `/keys/${used.id}/revoke`,
      `/keys/${revoked.id}`, receipt, "/people", "/people/new", "/people/ada", "/people/bob", "/projects", "/routes", "/audit", "/audit?actor=nobody",
      "/replicas", "/account", "/api/v1/docs", "/no-such-page",
    ];
    for (const path of paths) await visit(ada, path);
  });
  await world.step("An explanation", async () => {
    await ada.goto("/routes");
    await ada.fill("Path, with its query", "/api/projects/alpha/tasks");
    await ada.fill("Key id, or nothing for no key", used.id);
    await ada.press("Explain");
    await ada.heading(/forwarded/);
    await look(ada);
  });
  await world.step("What a member sees", async () => {
    const bob = await newcomer(world, "bob", await linkFor(ada, "bob"));
    for (const path of ["/", "/keys", "/keys/new", "/people"]) await visit(bob, path);
  });
  const heaviest = weights.sort(([, a], [, b]) => b - a).slice(0, 3);
  console.log(`  the heaviest: ${heaviest.map(([path, bytes]) => `${path} ${bytes} bytes`).join(", ")}`);
  assert.equal(faults.length, 0, faults.join("\n\n"));
}

// Something for every page to show; leaves `visitor` on a receipt.
async function populate(visitor, { world, look }) {
  await visitor.goto("/people/new");
  await look(visitor);
  await invite(visitor, { id: "bob", role: "member" });
  const used = await createKey(visitor, { name: "GitHub Actions", projects: ["alpha", "beta"] });
  await rotateKey(visitor, { ...used, overlap: "24 hours" });
  await eventuallyIs(() => answerTo(world, used.secret), "200");
  const revoked = await createKey(visitor, { name: "a name as long as somebody may come up with who writes down where it runs" });
  await revokeKey(visitor, { ...revoked, reason: "printed by a build" });
  await look(visitor);
  return { used, revoked };
}

// A new link for somebody who was invited before.
async function linkFor(visitor, id) {
  await visitor.goto(`/people/${id}`);
  await visitor.press(/link/);
  const link = await visitor.page.getByRole("group", { name: /^Give this link/ }).innerText();
  await visitor.choose("checkbox", "I have copied the link");
  await visitor.press("Done");
  return link;
}
