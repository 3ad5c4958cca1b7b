// One tooltip for the page: for exact times, and for what a chart's bar holds.
let tip;

/** Show `content` (nodes or text) above the point; kept inside the window. */
export function showTip(x, y, ...content) {
  if (!tip) {
    tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("aria-hidden", "true");
    document.body.append(tip);
  }
  tip.replaceChildren(...content);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, x - width / 2), innerWidth - width - 8);
  const top = y - height - 8 < 8 ? y + 20 : y - height - 8;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

export function hideTip() {
  if (tip) tip.hidden = true;
}

export function enableTips() {
  for (const one of document.querySelectorAll("[data-tip]")) one.removeAttribute("title");
  const show = (event) => {
    const target = event.target.closest?.("[data-tip]") ?? event.target.querySelector?.("[data-tip]");
    const isMine = event.type === "focusin" || event.target.closest?.("[data-tip]");
    if (!target || !isMine) return;
    const box = target.getBoundingClientRect();
    showTip(box.left + box.width / 2, box.top, target.dataset.tip);
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("pointerout", (event) => event.target.closest?.("[data-tip]") && hideTip());
  document.addEventListener("focusout", hideTip);
  addEventListener("scroll", hideTip, { passive: true, capture: true });
}
