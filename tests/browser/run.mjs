// Runs one flow in a browser of its own: node run.mjs FLOW --url CONSOLE --gateway URL --state FILE [--secrets FILE]
// Prints each step; of a failure the step, the error, and where the pictures of the open pages are. Exit code 1 then.
// --secrets: a file that is written with every secret that was shown, for others to look for where none should be.
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { World } from "./world.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { url: { type: "string" }, gateway: { type: "string" }, state: { type: "string" }, secrets: { type: "string" } },
});
const [name] = positionals;
const { default: flow } = await import(`./flows/${name}.mjs`);
const world = await World.open({ url: values.url, gateway: values.gateway, state: JSON.parse(readFileSync(values.state, "utf8")) });
try {
  await flow(world);
  await world.judge();
  console.log(`${name}: done`);
} catch (error) {
  console.log(`${name}: failed at “${world.current}”\n${error.stack ?? error}`);
  console.log(await world.describe());
  process.exitCode = 1;
} finally {
  if (values.secrets) writeFileSync(values.secrets, [...world.secrets].join("\n"), { mode: 0o600 });
  await world.close();
}
