// Whatever the finger or the browser does twice, there is one key, and its secret is shown once.
import assert from "node:assert/strict";
import { describeKey, firstOwner, listedKeys, shownKey } from "../deeds.mjs";

export default async function doubleSubmit(world) {
  const ada = await firstOwner(world);
  const counted = async (name) => (await listedKeys(ada)).filter((other) => other === name).length;

  await world.step("Two fast clicks make one key", async () => {
    await describeKey(ada, { name: "clicked twice" });
    await ada.page.getByRole("button", { name: "Create key" }).dblclick();
    await shownKey(ada);
    assert.equal(await counted("clicked twice"), 1);
  });
  await world.step("Sending the form again makes none and says that the secret was shown", async () => {
    await describeKey(ada, { name: "sent again" });
    await ada.press("Create key");
    const { secret } = await shownKey(ada);
    await ada.page.reload();
    assert.match(await ada.text(), /The secret was shown already/);
    assert.ok(!(await ada.page.content()).includes(secret));
    await ada.page.getByRole("link", { name: "Rotate the key" }).waitFor();
    assert.equal(await counted("sent again"), 1);
  });
  await world.step("Without JavaScript, two fast clicks make one key as well", async () => {
    const plain = await world.visitor("ada without JavaScript", { javaScriptEnabled: false, storageState: await ada.context.storageState() });
    await describeKey(plain, { name: "clicked twice, plainly" });
    await plain.page.getByRole("button", { name: "Create key" }).dblclick();
    await plain.page.getByText(/shown already|shown this once/).first().waitFor();
    assert.equal(await counted("clicked twice, plainly"), 1);
  });
}
