// Where nobody owns anything yet, the one-time link lets somebody in, once.
import assert from "node:assert/strict";
import { becomeOwner, passwordOf } from "../deeds.mjs";

export default async function firstOwner(world) {
  const ada = await world.visitor("ada");
  const link = world.state.first_owner_link;

  await world.step("Without a session, every page leads to the sign-in", async () => {
    await ada.goto("/keys");
    await ada.heading("Sign in");
  });
  await world.step("A wrong link is told to be one, and opens nothing", async () => {
    assert.ok(await ada.goto(`${link.slice(0, link.lastIndexOf("/"))}/${"x".repeat(43)}`) >= 400);
    assert.equal(await ada.page.getByLabel("Your id").count(), 0);
  });
  await world.step("What is wrong with the form is told beside each field, and what was typed is kept", async () => {
    await ada.goto(link);
    await ada.fill("Your id", "ada");
    await ada.fill("E-mail", "ada@example.com");
    await ada.fill("Password", "short");
    await ada.fill("The password again", "short");
    await ada.press("Create owner and sign in");
    await ada.page.getByRole("alert").waitFor();
    assert.equal(await ada.page.getByLabel("Your id").inputValue(), "ada");
    const password = ada.page.getByLabel("Password", { exact: true });
    assert.equal(await password.inputValue(), "", "a password never comes back");
    assert.equal(await password.getAttribute("aria-invalid"), "true");
  });
  await world.step("The link makes the first owner, who is signed in", async () => {
    await becomeOwner(ada, link);
    await ada.page.getByRole("link", { name: "Create the first key" }).waitFor();
    assert.match(await ada.page.getByRole("navigation", { name: "Console" }).innerText(), /ada\s*owner/);
  });
  await world.step("The link works once", async () => {
    const eve = await world.visitor("eve");
    assert.ok(await eve.goto(link) >= 400);
    assert.equal(await eve.page.getByLabel("Your id").count(), 0);
    assert.ok(!(await eve.text()).includes(passwordOf("ada")));
  });
}
