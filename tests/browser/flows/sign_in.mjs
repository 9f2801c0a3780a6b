// One signs in with the right password, and learns nothing by a wrong one.
import assert from "node:assert/strict";
import { firstOwner, signIn } from "../deeds.mjs";

export default async function signInFlow(world) {
  const ada = await firstOwner(world);
  const refusal = async (visitor) => (await visitor.page.getByRole("alert").innerText()).trim();

  await world.step("Signing out leads to the sign-in, and going back shows nothing", async () => {
    await ada.goto("/keys");
    await ada.press("Sign out");
    await ada.heading("Sign in");
    await ada.page.goBack();
    await ada.heading("Sign in");
  });
  const wrong = await world.step("A wrong password is refused, and not repeated", async () => {
    await signIn(ada, "ada", "a sentence that is not ada's");
    const told = await refusal(ada);
    assert.equal(await ada.page.getByLabel("Your id or e-mail").inputValue(), "ada");
    assert.equal(await ada.page.getByLabel("Password", { exact: true }).inputValue(), "");
    return told;
  });
  await world.step("Somebody who does not exist is refused in the same words", async () => {
    await signIn(ada, "mallory", "a sentence that is nobody's");
    assert.equal(await refusal(ada), wrong);
  });
  await world.step("The right password opens the page that one wanted", async () => {
    await ada.goto("/audit");
    await ada.heading("Sign in");
    await ada.fill("Your id or e-mail", "ada@example.com");
    await ada.fill("Password", "a sentence that only ada knows");
    await ada.press("Sign in");
    await ada.heading("Audit");
  });
  await world.step("The page to go on to is one of the console, whatever an address says", async () => {
    await ada.press("Sign out");
    for (const elsewhere of ["https://evil.example/", "//evil.example/", "/\\evil.example/"]) {
      await ada.goto(`/sign-in?next=${encodeURIComponent(elsewhere)}`);
      await ada.fill("Your id or e-mail", "ada");
      await ada.fill("Password", "a sentence that only ada knows");
      await ada.press("Sign in");
      await ada.heading("Overview");
      await ada.press("Sign out");
      await ada.heading("Sign in");
    }
    assert.ok(!ada.addresses.some((address) => new URL(address).hostname === "evil.example"));
  });
}
