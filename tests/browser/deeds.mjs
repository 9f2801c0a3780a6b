// What people do in several flows.
import assert from "node:assert/strict";
import { startsWith } from "./visitor.mjs";

// Nobody's but theirs.
export const passwordOf = (name) => `a sentence that only ${name} knows`;

// A visitor who has become the first owner, `ada`, by the one-time link. `how`: options of playwright's newContext.
export async function firstOwner(world, how) {
  const ada = await world.visitor("ada", how);
  await becomeOwner(ada, world.state.first_owner_link);
  return ada;
}

export async function becomeOwner(visitor, link) {
  await visitor.goto(link);
  await visitor.fill("Your id", "ada");
  await visitor.fill("E-mail", "ada@example.com");
  visitor.world.secrets.add(passwordOf("ada"));
  await visitor.fill("Password", passwordOf("ada"));
  await visitor.fill("The password again", passwordOf("ada"));
  await visitor.press("Create owner and sign in");
  await visitor.heading("Overview");
}

export async function signIn(visitor, id, password = passwordOf(id)) {
  await visitor.goto("/sign-in");
  await visitor.fill("Your id or e-mail", id);
  await visitor.fill("Password", password);
  await visitor.press("Sign in");
}

// Fills the form for a new key. `projects`: "all", or ids where the organization declares none.
export async function describeKey(visitor, { name, scopes = ["read"], projects = "all" }) {
  await visitor.goto("/keys/new");
  await visitor.fill("Name", name);
  await visitor.choose("checkbox", ...scopes);
  if (projects === "all") return visitor.choose("radio", "All projects");
  await visitor.choose("radio", "Only these projects");
  return visitor.fill("Project ids", projects.join(", "));
}

// Makes a key and leaves the page that shows its secret; gives `{ id, name, secret, curl }`.
export async function createKey(visitor, key) {
  await describeKey(visitor, key);
  await visitor.press("Create key");
  const shown = await shownKey(visitor);
  await leaveSecret(visitor, key.name);
  return { name: key.name, ...shown };
}

// What the page shows this once: `{ id, secret, curl }`.
export async function shownKey(visitor) {
  const secret = await visitor.page.getByRole("group", { name: /^The secret\./ }).innerText();
  assert.match(secret, /^\S{30,}$/);
  visitor.world.secrets.add(secret);
  const done = visitor.page.locator("form", { has: visitor.page.getByRole("button", { name: /^Done/ }) });
  const id = (await done.getAttribute("action")).split("/").at(-1);
  return { id, secret, curl: await visitor.page.locator("pre", { hasText: "curl" }).innerText() };
}

export async function leaveSecret(visitor, name) {
  await visitor.choose("checkbox", "I have stored the secret");
  await visitor.press(/^Done/);
  await visitor.heading(startsWith(name));
}

// Revokes a key and stays on the receipt.
export async function revokeKey(visitor, { id, name, reason = "" }) {
  await visitor.goto(`/keys/${id}/revoke`);
  await visitor.fill("Why (optional)", reason);
  await visitor.fill(`Type ${name} to confirm`, name);
  await visitor.press("Revoke key");
  await visitor.heading(/is revoked$/);
}

// Gives a key another secret and leaves the page that shows it; `overlap`: how long the old one still works, as on the page.
export async function rotateKey(visitor, { id, name, overlap }) {
  await visitor.goto(`/keys/${id}/rotate`);
  await visitor.choose("radio", overlap);
  await visitor.press("Rotate");
  const { secret } = await shownKey(visitor);
  await leaveSecret(visitor, name);
  return secret;
}

// Makes a person and gives the link with which they come in.
export async function invite(visitor, { id, role }) {
  await visitor.goto("/people/new");
  await visitor.fill("Id", id);
  await visitor.fill("E-mail", `${id}@example.com`);
  await visitor.choose("radio", role, "All projects");
  await visitor.press("Invite");
  const link = await visitor.page.getByRole("group", { name: /^Give this link/ }).innerText();
  await visitor.choose("checkbox", "I have copied the link");
  await visitor.press("Done");
  await visitor.heading(startsWith(id));
  return link;
}

// A visitor who has accepted an invitation.
export async function newcomer(world, name, link) {
  const visitor = await world.visitor(name);
  await visitor.goto(link);
  await visitor.heading(`Welcome, ${name}`);
  world.secrets.add(passwordOf(name));
  await visitor.fill("Choose a password", passwordOf(name));
  await visitor.fill("The password again", passwordOf(name));
  await visitor.press("Set password and sign in");
  await visitor.heading("Overview");
  return visitor;
}

// The names of all keys that this visitor is shown.
export async function listedKeys(visitor) {
  await visitor.goto("/keys");
  return visitor.page.getByRole("table", { name: "Keys" }).getByRole("rowheader").getByRole("link").allInnerTexts();
}
