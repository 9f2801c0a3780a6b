// <form data-try="METHOD" data-path="/api/v1/keys/{id}">: sends the request that its fields describe, with one's own session,
// and shows the answer as it came.
export function tryIt(root) {
  for (const form of root.querySelectorAll("form[data-try]")) {
    form.querySelector("button").hidden = false;
    form.querySelector("[data-try-note]").hidden = form.dataset.try === "GET";
    form.addEventListener("submit", (event) => { event.preventDefault(); send(form); });
  }
}

async function send(form) {
  const button = form.querySelector("button");
  const shown = form.querySelector("[data-try-answer]");
  shown.hidden = false;
  button.disabled = true;
  try {
    const response = await fetch(...request(form));
    const about = [...response.headers].filter(([name]) => SHOWN.has(name)).map(([name, value]) => `${name}: ${value}`);
    shown.querySelector("p").textContent = `${response.status} ${response.statusText}`.trim();
    shown.querySelector("pre").textContent = [...about, "", pretty(await response.text())].join("\n").trim();
  } catch {
    shown.querySelector("p").textContent = "No answer";
    shown.querySelector("pre").textContent = "The gateway did not answer.";
  } finally {
    button.disabled = false;
  }
}

const SHOWN = new Set(["content-type", "etag", "location", "retry-after", "idempotency-replayed"]);

function request(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const options = { method: form.dataset.try, headers: { Accept: "application/json" } };
  for (const field of form.querySelectorAll("[data-place]")) {
    const { place } = field.dataset;
    if (place === "body") {
      options.body = field.value;
      options.headers["Content-Type"] = "application/json";
    } else if (place === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    else if (field.value && place === "query") query.set(field.name, field.value);
    else if (field.value) options.headers[field.name] = field.value;
  }
  return [query.size ? `${path}?${query}` : path, options];
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
