// Tells who uses a screen reader what changed.
export function say(text) {
  const said = document.getElementById("said");
  if (said) said.textContent = text;
}
