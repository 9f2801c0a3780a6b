// <button data-copy="ID">: puts the text of that element onto the clipboard.
import { say } from "./say.js";

export function copy(root) {
  for (const button of root.querySelectorAll("[data-copy]")) button.addEventListener("click", () => run(button));
}

async function run(button) {
  const source = document.getElementById(button.dataset.copy);
  const label = button.querySelector("span");
  const done = await written(source);
  if (!done) getSelection().selectAllChildren(source);
  label.textContent = done ? "Copied" : "Press Ctrl+C";
  say(done ? "Copied" : "Selected. Press Control C to copy.");
}

// The clipboard is there in secure contexts only, and may be refused.
async function written(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    return false;
  }
}
