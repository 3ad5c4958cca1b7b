// Amounts to tap, and countries by their names in the reader's language. Nothing here is needed.

const suggested = document.querySelector("[data-suggested]");
if (suggested) {
  suggested.hidden = false;
  const amount = suggested.closest("form").querySelector("[name=amount]");
  suggested.addEventListener("click", (event) => {
    if (!event.target.value) return;
    amount.value = event.target.value;
    amount.focus();
  });
}

const countries = document.querySelector("[data-countries]");
const lang = document.documentElement.lang;
if (countries && !lang.startsWith("en") && Intl.DisplayNames) {
  const names = new Intl.DisplayNames([lang], { type: "region" });
  for (const option of countries.options) {
    if (option.value) option.textContent = names.of(option.value);
  }
}
