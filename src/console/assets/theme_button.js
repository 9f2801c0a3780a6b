// The button that goes from the system's theme to light, to dark, and back; remembered in this browser.
import { say } from "./say.js";

const NEXT = { system: "light", light: "dark", dark: "system" };

export function themeButton() {
  const button = document.querySelector("[data-theme-button]");
  if (!button) return;
  button.hidden = false;
  const root = document.documentElement;
  const label = button.querySelector("span");
  const show = () => { label.textContent = `Theme: ${root.dataset.theme ?? "system"}`; };
  button.addEventListener("click", () => {
    const theme = NEXT[root.dataset.theme ?? "system"];
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try { localStorage.setItem("theme", theme); } catch { /* storage is forbidden: for this page only */ }
    show();
    say(label.textContent);
  });
  show();
}
