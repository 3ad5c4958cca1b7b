// The card form: Stripe's Payment Element in its own frames. The number never comes near this page.

const form = document.querySelector("[data-pay]");
const errorLine = form.querySelector("[data-pay-error]");
const button = form.querySelector("[data-pay-button]");

function say(message) {
  errorLine.textContent = message;
  errorLine.hidden = !message;
}

function isDark() {
  return getComputedStyle(document.documentElement).colorScheme === "dark";
}

async function pay(stripe, elements) {
  const wanted = { elements, confirmParams: { return_url: form.dataset.return } };
  const confirm = form.dataset.mode === "setup" ? stripe.confirmSetup : stripe.confirmPayment;
  // It comes back only with an error: otherwise the browser has left for the return address.
  const { error } = await confirm(wanted);
  if (error) say(error.message);
}

function start() {
  if (!window.Stripe) {
    say(errorLine.dataset.away);
    return;
  }
  const stripe = window.Stripe(form.dataset.key);
  const elements = stripe.elements({
    clientSecret: form.dataset.secret,
    appearance: { theme: isDark() ? "night" : "stripe" },
    locale: document.documentElement.lang === "zh-hans" ? "zh" : "en",
  });
  const element = elements.create("payment", { layout: "tabs" });
  const place = form.querySelector("[data-pay-element]");
  place.replaceChildren();
  element.on("ready", () => (button.disabled = false));
  element.on("loaderror", () => say(errorLine.dataset.away));
  element.mount(place);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    say("");
    try {
      await pay(stripe, elements);
    } finally {
      button.disabled = false;
    }
  });
}

start();
