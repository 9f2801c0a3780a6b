// The connection breaks while the secret is on its way: the key is there, its secret never comes, and the console says what to do.
import assert from "node:assert/strict";
import { describeKey, firstOwner, leaveSecret, listedKeys, shownKey } from "../deeds.mjs";
import { answerTo } from "../gateway.mjs";
import { eventuallyIs } from "../eventually.mjs";
import { BreakingProxy } from "../breaking_proxy.mjs";

export default async function lostConnection(world) {
  const proxy = await BreakingProxy.start();
  try {
    const ada = await firstOwner(world, { proxy: { server: proxy.url, bypass: "<-loopback>" } });

    await world.step("The answer with the secret is lost", async () => {
      await describeKey(ada, { name: "unlucky" });
      proxy.breakNext("POST");
      await ada.press("Create key");
      await proxy.broken();
    });
    const lost = proxy.lost.match(/kg_\w+/)?.[0];
    await world.step("It was on its way, and its key is in force", async () => {
      assert.ok(lost, "the answer held a secret");
      world.secrets.add(lost);
      await eventuallyIs(() => answerTo(world, lost), "200");
    });
    await world.step("Asking for it again says that it was shown, and to rotate", async () => {
      await ada.page.reload();
      assert.match(await ada.text(), /The secret was shown already/);
      assert.ok(!(await ada.page.content()).includes(lost));
      assert.equal((await listedKeys(ada)).filter((name) => name === "unlucky").length, 1);
    });
    await world.step("Rotating gives a secret that is seen, and ends the lost one", async () => {
      await ada.follow("unlucky");
      await ada.follow("Rotate");
      await ada.choose("radio", "It stops now");
      await ada.press("Rotate");
      const { secret } = await shownKey(ada);
      await leaveSecret(ada, "unlucky");
      await eventuallyIs(() => answerTo(world, secret), "200");
      assert.notEqual(await answerTo(world, lost), "200");
    });
  } finally {
    proxy.stop();
  }
}
