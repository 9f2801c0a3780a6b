// One sees where one is signed in, and ends it anywhere.
import assert from "node:assert/strict";
import { firstOwner, passwordOf, signIn } from "../deeds.mjs";

export default async function signOutEverywhere(world) {
  const here = await firstOwner(world);
  const there = await world.visitor("ada elsewhere");
  const sessions = () => here.page.getByRole("table", { name: "Sessions" }).locator("tbody").getByRole("row");
  const come = async () => { await signIn(there, "ada"); await there.heading("Overview"); };
  const isOut = async (visitor) => { await visitor.goto("/keys"); await visitor.heading("Sign in"); };

  await world.step("Both sessions are listed", async () => {
    await come();
    await here.goto("/account");
    assert.equal(await sessions().count(), 2);
    assert.equal(await sessions().filter({ hasText: "this one" }).count(), 1);
  });
  await world.step("One of them is ended", async () => {
    await here.press(/^Sign out Chrom/);
    await here.heading("Your account");
    await isOut(there);
    await here.goto("/account");
    assert.equal(await sessions().count(), 1);
  });
  await world.step("A new password ends the others", async () => {
    await come();
    await here.goto("/account");
    await here.fill("Password now", passwordOf("ada"));
    await here.fill("New password", "another sentence that ada knows");
    await here.fill("The new password again", "another sentence that ada knows");
    await here.press("Change password");
    await isOut(there);
    await signIn(there, "ada", passwordOf("ada"));
    await there.page.getByRole("alert").waitFor();
    await signIn(there, "ada", "another sentence that ada knows");
    await there.heading("Overview");
  });
  await world.step("Signing out everywhere ends this one too", async () => {
    await here.goto("/account");
    await here.press("Sign out everywhere");
    await here.heading("Sign in");
    await isOut(here);
    await isOut(there);
  });
}
