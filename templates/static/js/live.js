// The log follows by itself: it asks for the newest rows every two seconds, for half an hour at
// most, never while the page is hidden or paused, and slower while the server does not answer.
const PERIOD_MS = 2000;
const PERIOD_MAX_MS = 30_000;
const ASKS_MAX = 900;
const ROWS_MAX = 200;

const bar = document.querySelector("[data-live-first]");
const rows = document.querySelector("[data-live-rows]");
const word = bar?.querySelector("[data-live-word]");
const toggle = bar?.querySelector("[data-live-toggle]");
let asked = 0;
let period = PERIOD_MS;
let isPaused = false;

function say(state) {
  bar.dataset.state = state;
  const text = word.dataset[{ on: "liveOn", paused: "livePaused", lost: "liveLost" }[state]];
  if (word.textContent !== text) word.textContent = text;
}

/** New rows come in at their place by id; the ones there are kept, with the focus in them. */
function merge(html) {
  const table = document.createElement("tbody");
  table.innerHTML = html;
  for (const row of [...table.rows]) {
    if (rows.querySelector(`[data-id="${row.dataset.id}"]`)) continue;
    const next = [...rows.rows].find((one) => one.dataset.id < row.dataset.id);
    row.classList.add("is-new");
    rows.insertBefore(row, next ?? null);
  }
  for (const row of [...rows.rows].slice(ROWS_MAX)) row.remove();
}

async function ask() {
  asked += 1;
  try {
    const response = await fetch(bar.dataset.live, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok || response.redirected) throw new Error(String(response.status));
    const html = await response.text();
    if (isPaused) return;
    merge(html);
    period = PERIOD_MS;
    say("on");
  } catch {
    period = Math.min(period * 2, PERIOD_MAX_MS);
    if (!isPaused) say("lost");
  }
}

async function follow() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, period));
    if (isPaused || document.visibilityState !== "visible") continue;
    if (asked >= ASKS_MAX) setPaused(true);
    else await ask();
  }
}

function setPaused(paused) {
  isPaused = paused;
  if (!paused) asked = 0;
  toggle.textContent = paused ? toggle.dataset.resume : toggle.dataset.pause;
  toggle.setAttribute("aria-pressed", String(paused));
  say(paused ? "paused" : "on");
}

if (bar && rows) {
  toggle.hidden = false;
  toggle.addEventListener("click", () => setPaused(!isPaused));
  setPaused(false);
  follow();
}
