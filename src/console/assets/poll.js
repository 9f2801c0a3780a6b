// <x data-poll="/path" data-poll-every="MS">: is replaced by the HTML at that path again and again, until that carries no
// data-poll any more (data-done says why). Pauses while the page is hidden, and slows down while nothing answers.
const SLOWEST_MS = 10_000;

export function poll(root, enliven) {
  const found = root instanceof Element && root.matches("[data-poll]") ? [root] : root.querySelectorAll("[data-poll]");
  for (const element of found) follow(element, enliven);
}

async function follow(element, enliven) {
  let current = element;
  let failures = 0;
  while (current.isConnected && current.dataset.poll) {
    await pause(Math.min(Number(current.dataset.pollEvery) * 2 ** failures, SLOWEST_MS));
    if (document.hidden) await seen();
    const fresh = await next(current.dataset.poll);
    failures = fresh ? 0 : failures + 1;
    if (!fresh || !current.isConnected || fresh.outerHTML === current.dataset.html) continue;
    if (current.contains(document.activeElement) && !fresh.hasAttribute("data-done")) continue;
    const html = fresh.outerHTML;
    current.replaceWith(fresh);
    const followed = fresh.dataset.poll;
    delete fresh.dataset.poll;
    enliven(fresh);
    if (followed) fresh.dataset.poll = followed;
    fresh.dataset.html = html;
    current = fresh;
  }
}

async function next(path) {
  try {
    const response = await fetch(path, { redirect: "error", headers: { Accept: "text/html" } });
    if (response.status === 401 || response.status === 403) location.reload();
    if (!response.ok) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html").body.firstElementChild;
  } catch {
    return null;
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const seen = () => new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); });
