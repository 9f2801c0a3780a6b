// The console tells for any request what would become of it, and which row of the decision table says so.
import assert from "node:assert/strict";
import { createKey, firstOwner, revokeKey } from "../deeds.mjs";
import { eventuallyIs } from "../eventually.mjs";
import { answerTo } from "../gateway.mjs";

export default async function explain(world) {
  const ada = await firstOwner(world);
  const reader = await createKey(ada, { name: "reader", projects: ["alpha"] });
  const revoked = await createKey(ada, { name: "revoked" });
  await revokeKey(ada, revoked);
  await eventuallyIs(() => answerTo(world, reader.secret), "200");

  const cases = [
    ["no key", { target: "/api/projects/alpha/tasks" }, "4", /401 key_missing/],
    ["a key nobody has", { target: "/api/projects/alpha/tasks", key: `${reader.secret.slice(0, -1)}${reader.secret.endsWith("A") ? "B" : "A"}` }, /^[56]$/, /401 key_(unknown|malformed)/],
    ["a revoked key, by its id", { target: "/api/projects/alpha/tasks", id: revoked.id }, "7", /401 key_revoked/],
    ["a path that no route names", { target: "/nowhere", id: reader.id }, "9", /404 not_found/],
    ["a project of others", { target: "/api/projects/beta/tasks", id: reader.id }, "10", /404 not_found/],
    ["a scope that is too low", { method: "POST", target: "/api/projects/alpha/tasks", key: reader.secret }, "12", /403 scope_insufficient/],
    ["a request that passes", { target: "/api/projects/alpha/tasks", key: reader.secret }, "13", /forwarded to api/],
  ];
  for (const [what, request, row, heading] of cases) {
    await world.step(`It explains ${what}`, async () => {
      await ada.goto("/routes");
      if (request.method) await ada.page.getByLabel("Method").selectOption(request.method);
      await ada.fill("Path, with its query", request.target);
      if (request.id) await ada.fill("Key id, or nothing for no key", request.id);
      if (request.key) await ada.fill("Or the key itself", request.key);
      await ada.press("Explain");
      await ada.heading(heading);
      const decided = ada.page.getByRole("table", { name: /decision table/ }).getByRole("row").filter({ hasText: "decided" });
      assert.equal(await decided.count(), 1);
      assert.equal(await decided.getAttribute("aria-current"), "true");
      assert.match((await decided.getByRole("cell").first().innerText()).trim(), row instanceof RegExp ? row : new RegExp(`^${row}$`));
      assert.ok(!request.key || !(await ada.page.content()).includes(request.key), "a key is not shown again");
    });
  }
  await world.step("The route table shows what each route asks for", async () => {
    await ada.goto("/routes");
    const routes = ada.page.getByRole("table", { name: "Routes" });
    await routes.getByRole("row").filter({ hasText: "/api/projects/{project}/{*rest}" }).filter({ hasText: "GET read" }).waitFor();
    await routes.getByRole("row").filter({ hasText: "/status" }).filter({ hasText: "public" }).waitFor();
  });
}
