// Asks until the answer is good.
import assert from "node:assert/strict";

const DEADLINE_MS = 30_000;
const PAUSE_MS = 50;

// Calls `ask` until `check`, an assertion about its answer, does not throw; gives the answer. After the deadline, throws what
// the last one threw.
export async function eventually(ask, check) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    try {
      const answer = await ask();
      check(answer);
      return answer;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => { setTimeout(resolve, PAUSE_MS); });
  }
}

export const eventuallyIs = (ask, expected) => eventually(ask, (answer) => assert.deepEqual(answer, expected));
