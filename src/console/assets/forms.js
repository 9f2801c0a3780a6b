// <input data-must-equal="NAME">: its form can be sent once that is typed.
export function mustEqual(root) {
  for (const input of root.querySelectorAll("[data-must-equal]")) {
    const button = input.form.querySelector("button:not([type=button])");
    const judge = () => { button.disabled = input.value.trim() !== input.dataset.mustEqual; };
    input.addEventListener("input", judge);
    judge();
  }
}

// <form data-once>: a second click sends nothing. The server would do it once anyway.
export function sendOnce(root) {
  for (const form of root.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
      form.setAttribute("aria-busy", "true");
    });
    addEventListener("pageshow", () => { delete form.dataset.sent; form.removeAttribute("aria-busy"); });
  }
}

// After a form was refused, what is wrong is what one should hear and see first.
export function focusProblems() {
  document.querySelector("[data-focus]")?.focus();
}
