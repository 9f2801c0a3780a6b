// A page with [data-reveal] shows a secret this once: who leaves before the box in <form data-leave> is checked is asked first.
// The secret goes from the page when the page goes.
export function reveal(root) {
  const secret = root.querySelector("[data-reveal]");
  if (!secret) return;
  const form = document.querySelector("form[data-leave]");
  const stored = () => form?.querySelector("input[type=checkbox]").checked;
  addEventListener("beforeunload", (event) => { if (!stored()) event.preventDefault(); });
  addEventListener("pagehide", () => { for (const shown of document.querySelectorAll("[data-reveal] code, .paste pre")) shown.textContent = ""; });
}
