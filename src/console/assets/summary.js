// <form data-summary="ID">: fills the list with that id as one types. <dd data-from="FIELD" data-else="…"> takes what FIELD
// holds; with data-if="A B" only if its value is one of these, else what the fields of data-then hold.
export function summary(root) {
  for (const form of root.querySelectorAll("form[data-summary]")) {
    const list = document.getElementById(form.dataset.summary);
    const fill = () => { for (const entry of list.querySelectorAll("[data-from]")) entry.textContent = said(form, entry.dataset) || entry.dataset.else; };
    form.addEventListener("input", fill);
    addEventListener("pageshow", fill);
    fill();
    list.hidden = false;
  }
}

function said(form, { from, if: expected, then }) {
  const value = new FormData(form).get(from);
  if (!expected || expected.split(" ").includes(value)) return held(form, from);
  return then.split(" ").map((name) => held(form, name)).filter(Boolean).join(", ");
}

function held(form, name) {
  return [...form.querySelectorAll(`[name="${name}"]`)]
    .filter((field) => !field.matches("[type=radio], [type=checkbox]") || field.checked)
    .map((field) => field.dataset.says ?? (field.selectedOptions ? field.selectedOptions[0]?.text : field.value.trim().replaceAll("\n", ", ")))
    .filter(Boolean)
    .join(", ");
}
