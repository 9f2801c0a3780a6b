// Who asks, proven: verifies the assertions that Keygate sends with each request.
//
//     npm install jose
//     node verify_assertion.mjs JWKS_URL ISSUER AUDIENCE < TOKENS
//
// Copy `verifier` into your API. Run as a program, it says of each line what is in the token, or why it is refused.

import { createInterface } from "node:readline";
import { createRemoteJWKSet, jwtVerify } from "jose";

/** What an API needs to know: where the public keys are, who signs, and what the API itself is called. */
function verifier(jwksUrl, issuer, audience) {
  // Keeps the keys, and asks again when a token names another key.
  const keys = createRemoteJWKSet(new URL(jwksUrl), { cacheMaxAge: 300_000 });
  const demands = {
    issuer,
    audience,
    // Never the algorithm that the token names: it may name none.
    algorithms: ["EdDSA", "ES256"],
    // Clocks differ by a little.
    clockTolerance: 5,
    requiredClaims: ["sub", "iat", "exp", "key_id"],
  };
  /** The claims of the `X-Auth-Assertion` of a request; throws where there is nothing to believe. */
  return async (assertion) => (await jwtVerify(assertion, keys, demands)).payload;
}

const whoAsks = verifier(...process.argv.slice(2));
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await whoAsks(line.trim())));
  } catch (refused) {
    console.log(`refused: ${refused.code}`);
  }
}
