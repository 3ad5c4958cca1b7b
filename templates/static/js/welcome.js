// Asks every two seconds whether the first request has arrived, for fifteen minutes at most.
const PERIOD_MS = 2000;
const ASKS_MAX = 450;

const box = document.querySelector("[data-first-request]");
const waiting = box?.querySelector("[data-waiting]");

function receive(answer) {
  box.querySelector("[data-model]").textContent = answer.model;
  box.querySelector("[data-tokens]").textContent = answer.tokens;
  box.querySelector("[data-charge]").textContent = answer.charge;
  box.querySelector("[data-link]").href = answer.url;
  waiting.hidden = true;
  box.querySelector("[data-again]").hidden = true;
  for (const name of ["received", "link", "usage"]) box.querySelector(`[data-${name}]`).hidden = false;
  box.classList.add("is-received");
  document.querySelector("[data-next]").hidden = false;
  for (const name of ["run", "wait"]) {
    document.querySelector(`[data-step-${name}]`).classList.add("is-done");
  }
}

async function ask() {
  try {
    const response = await fetch(box.dataset.firstRequest, {
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(10_000),
    });
    return response.ok ? await response.json() : { received: false };
  } catch {
    return { received: false }; // asked again in two seconds
  }
}

async function wait() {
  const again = box.querySelector("[data-again]");
  again.hidden = true;
  for (let asked = 0; asked < ASKS_MAX; asked += 1) {
    if (document.visibilityState === "visible") {
      const answer = await ask();
      if (answer.received) return receive(answer);
    } else {
      asked -= 1; // a hidden page asks nothing
    }
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  }
  again.hidden = false;
}

if (waiting) wait();
