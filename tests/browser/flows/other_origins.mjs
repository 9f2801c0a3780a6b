// Pages of others, opened in the same browser: they can neither act in one's name nor show the console in a frame.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createKey, firstOwner, listedKeys } from "../deeds.mjs";
import { eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

export default async function otherOrigins(world) {
  const ada = await firstOwner(world);
  const key = await createKey(ada, { name: "deploy" });
  await eventuallyIs(() => answerTo(world, key.secret), "200");
  const server = createServer((request, response) => response.setHeader("content-type", "text/html").end(pageOf(request.url))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  // Another port is the same site, which cookies do not tell apart; another name is not.
  const origins = [`http://127.0.0.1:${port}`, `http://localhost:${port}`];

  const attacks = {
    "revoke a key": form(`${world.url}/keys/${key.id}/revoke`, { confirm: "deploy", reason: "" }),
    "make a key": form(`${world.url}/keys`, { name: "stolen", scopes: "read", projects: "all", expires: "never", environment: "live", submission: "x".repeat(32) }),
    "sign her out": form(`${world.url}/sign-out`, {}),
    "sign her out everywhere": form(`${world.url}/account/sign-out-everywhere`, {}),
    "use the API": form(`${world.url}/api/v1/keys/${key.id}/revoke`, { reason: "x" }),
  };
  for (const origin of origins) {
    for (const [what, body] of Object.entries(attacks)) {
      await world.step(`A form of ${new URL(origin).hostname} cannot ${what}`, async () => {
        const page = await ada.context.newPage();
        await page.goto(`${origin}/?${encodeURIComponent(body)}`);
        const [answer] = await Promise.all([
          page.waitForResponse((response) => response.request().method() === "POST"),
          page.getByRole("button").click(),
        ]);
        assert.ok(answer.status() >= 400 || answer.headers().location?.startsWith("/sign-in"), `answered ${answer.status()}`);
        await page.close();
      });
    }
    await world.step(`A frame of ${new URL(origin).hostname} shows nothing of it`, async () => {
      const page = await ada.context.newPage();
      const heard = ada.complaints.length;
      await page.goto(`${origin}/?${encodeURIComponent(`<h1>Win a prize</h1><iframe src="${world.url}/keys/${key.id}/revoke"></iframe>`)}`);
      await page.getByRole("heading", { name: "Win a prize" }).waitFor();
      const framed = await Promise.all(page.frames().slice(1).map((frame) => frame.content().catch(() => "")));
      assert.ok(framed.every((content) => !content.includes("Revoke this key")));
      // The browser says that it has refused to.
      ada.complaints.splice(heard);
      await page.close();
    });
  }
  await world.step("Nothing has changed", async () => {
    assert.equal(await answerTo(world, key.secret), "200");
    assert.deepEqual(await listedKeys(ada), ["deploy"]);
  });
  server.close();
  server.closeAllConnections();
}

// A page whose only button sends `fields`.
function form(action, fields) {
  const inputs = Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
  return `<form method="post" action="${action}">${inputs.join("")}<button>Win a prize</button></form>`;
}

const pageOf = (url) => `<!DOCTYPE html><html lang="en"><title>Prizes</title><link rel="icon" href="data:,">${decodeURIComponent(url.slice(2))}`;
