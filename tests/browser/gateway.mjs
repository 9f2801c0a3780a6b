// Requests through the gateway, as programs send them.

// The answer to a request with `secret`: `200`, or of a refusal `401 key_revoked`.
export async function answerTo(world, secret, { method = "GET", path = "/api/projects/alpha/tasks" } = {}) {
  const headers = secret ? { authorization: `Bearer ${secret}` } : {};
  const response = await fetch(world.gateway + path, { method, headers });
  const text = await response.text();
  return response.ok ? `${response.status}` : `${response.status} ${JSON.parse(text).code}`;
}
