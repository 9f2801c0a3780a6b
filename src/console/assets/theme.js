// Before the page is painted: the theme that was chosen here, and that there is JavaScript. A classic script, so that it blocks.
{
  let theme = null;
  try { theme = localStorage.getItem("theme"); } catch { /* storage is forbidden: the system's theme */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  document.documentElement.classList.add("js");
}
