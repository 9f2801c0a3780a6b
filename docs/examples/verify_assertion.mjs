// Who asks, proven: verifies the assertions that Keygate sends with each request.
//
//     npm install jose
//     node verify_assertion.mjs JWKS_URL ISSUER AUDIENCE < TOKENS
//
// Copy `verifier` into your API. Run as a program, it says of each line what is in the token, or why it is refused.

import { createInterface } from "node:readline";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

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
  /**
   * The claims of the `X-Auth-Assertion` of a request; throws where there is nothing to believe, or the public keys cannot
   * be had, so that nothing can be said (`isKeyless`: 503 rather than 401).
   */
  return async (assertion) => (await jwtVerify(assertion, keys, demands)).payload;
}

/** Whether `error` is no word on the token: the public keys could not be had. */
function isKeyless(error) {
  const ofKeys = [errors.JOSEError.code, errors.JWKSTimeout.code, errors.JWKSInvalid.code];
  return !(error instanceof errors.JOSEError) || ofKeys.includes(error.code);
}

/** Why, for a log; claims are looked at only once the signature is good. */
function reason(refused, wanted) {
  const { claim, code, message, payload } = refused;
  const claims = claim in wanted ? `; ${claim} is ${JSON.stringify(payload[claim])}, not ${JSON.stringify(wanted[claim])}` : "";
  return `${code}: ${message}${claims}`;
}

const [jwksUrl, iss, aud] = process.argv.slice(2);
const whoAsks = verifier(jwksUrl, iss, aud);
for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log(JSON.stringify(await whoAsks(line.trim())));
  } catch (error) {
    const keyless = `not verified, as there are no public keys: ${error.cause?.message ?? error.message}`;
    console.log(isKeyless(error) ? keyless : `refused: ${reason(error, { iss, aud })}`);
  }
}
