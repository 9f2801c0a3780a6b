// <form data-filter="ID">: what is typed or chosen is asked for at once, and only the element with that id is replaced. The
// form's own method is kept. What stands in the address bar is what the server redirected to, never what was typed: that
// may be a whole key.
import { say } from "./say.js";

const PAUSE_MS = 180;

export function filter(root, enliven) {
  for (const form of root.querySelectorAll("form[data-filter]")) {
    let timer;
    let asking = new AbortController();
    const ask = () => {
      clearTimeout(timer);
      asking.abort();
      asking = new AbortController();
      load(form, asking.signal, enliven);
    };
    form.addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(ask, event.target.matches("[type=search]") ? PAUSE_MS : 0);
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
    // What was typed before this script ran.
    if ([...form.querySelectorAll("[type=search]")].some((field) => field.value !== field.defaultValue)) ask();
  }
}

async function load(form, signal, enliven) {
  const target = document.getElementById(form.dataset.filter);
  target.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(...request(form, signal));
    const here = new URL(form.action).pathname.replace(/\/search$/, "");
    if (response.redirected && new URL(response.url).pathname !== here) return location.assign(response.url);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById(target.id);
    if (!response.ok || !fresh) return form.submit();
    // What the page has to say besides its list is said by opening it.
    if (page.querySelector("main > .notice[role=status]")) return location.assign(response.url);
    target.replaceWith(fresh);
    enliven(fresh);
    history.replaceState(null, "", response.url);
    say(fresh.querySelector(".pager p")?.textContent ?? "");
  } catch (error) {
    if (error.name !== "AbortError") form.submit();
  } finally {
    target.removeAttribute("aria-busy");
  }
}

function request(form, signal) {
  const fields = new URLSearchParams(new FormData(form));
  if (form.method === "post") return [form.action, { method: "POST", body: fields, signal }];
  return [`${form.action}?${fields}`, { signal }];
}
