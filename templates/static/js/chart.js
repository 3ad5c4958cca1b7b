// Reads a chart out: by pointer, and by the arrow keys once it has the focus.
import { hideTip, showTip } from "./tip.js";

function row(className, label, value) {
  const line = document.createElement("div");
  line.className = className;
  const number = document.createElement("b");
  number.textContent = value;
  line.append(...label, number);
  return line;
}

function content(slot, beforeWord) {
  const parts = [...slot.querySelectorAll("desc")].map((part) => {
    const dot = document.createElement("span");
    dot.className = `dot c${part.dataset.place}`;
    return row("tip-row", [dot, part.dataset.name], part.textContent);
  });
  const head = row("tip-row tip-head", [slot.dataset.label], slot.dataset.total);
  const before = slot.dataset.before;
  return [head, ...parts, ...(before ? [row("tip-row tip-before", [beforeWord], before)] : [])];
}

function sentence(slot, beforeWord) {
  const parts = [...slot.querySelectorAll("desc")].map((p) => `${p.dataset.name} ${p.textContent}`);
  if (slot.dataset.before) parts.push(`${beforeWord} ${slot.dataset.before}`);
  const { label, total } = slot.dataset;
  return [total ? `${label}: ${total}` : label, ...parts].join(", ");
}

function enable(chart) {
  const plot = chart.querySelector(".chart-plot");
  const readout = chart.querySelector("[data-readout]");
  const slots = [...chart.querySelectorAll(".slot")];
  const beforeWord = readout.dataset.beforeWord;
  let at = -1;
  const point = (slot) => {
    const box = slot.querySelector(".chart-hit").getBoundingClientRect();
    const tops = [...slot.querySelectorAll(".bar, .point")].map((one) => one.getBoundingClientRect().top);
    const top = tops.length ? Math.min(...tops) : box.bottom - 8;
    showTip(box.left + box.width / 2, top, ...content(slot, beforeWord));
  };
  const go = (n) => {
    slots[at]?.classList.remove("is-on");
    at = Math.min(slots.length - 1, Math.max(0, n));
    slots[at].classList.add("is-on");
    point(slots[at]);
    readout.textContent = sentence(slots[at], beforeWord);
  };
  for (const slot of slots) {
    slot.addEventListener("pointerenter", () => point(slot));
    slot.addEventListener("pointerleave", hideTip);
  }
  plot.addEventListener("keydown", (event) => {
    const to = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      Home: 0,
      End: slots.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    go(at < 0 && event.key === "ArrowLeft" ? slots.length - 1 : to);
  });
  plot.addEventListener("blur", () => {
    slots[at]?.classList.remove("is-on");
    at = -1;
    hideTip();
  });
}

export function enableCharts() {
  for (const chart of document.querySelectorAll("[data-chart]")) enable(chart);
}
