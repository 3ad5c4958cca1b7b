// The conversation as it is drawn. Texts are put in as text, never as markup.
import { writer } from "./markdown.js";

const DRAW_MS = 60;

function make(tag, className = "", ...content) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...content);
  return element;
}

/** A button that copies what `text` returns when it is pressed. */
export function copyButton(text) {
  const button = document.querySelector("[data-copy-answer]").content.firstElementChild.cloneNode(true);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), 1600);
  });
  return button;
}

function arrow() {
  const icon = document.querySelector("[data-arrow]").content.firstElementChild;
  return icon.cloneNode(true);
}

export function shownMs(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** What the person said. */
export function drawQuestion(words, text) {
  return make("article", "turn turn-you", make("p", "turn-who", words.you), make("div", "turn-text", text));
}

/** One answer, from waiting for it to its receipt. */
export class Answer {
  constructor(words, model, scroll) {
    this.words = words;
    this.scroll = scroll;
    this.text = "";
    this.thought = "";
    this.pieces = 0;
    this.startedAt = performance.now();
    this.firstAt = 0;
    this.body = make("div", "turn-text");
    this.foot = make("div", "turn-foot", words.waiting);
    this.element = make("article", "turn is-live", make("p", "turn-who mono", model), this.body, this.foot);
    this.element.setAttribute("aria-busy", "true");
    this.write = writer(this.body);
    this.timer = setInterval(() => this.draw(), DRAW_MS);
  }

  /** More of the model's reasoning, or of its answer. */
  take(thought, text) {
    if (!thought && !text) return;
    this.firstAt ||= performance.now();
    this.pieces += 1;
    this.thought += thought;
    this.text += text;
    this.isStale = true;
  }

  get firstTokenMs() {
    return this.firstAt ? this.firstAt - this.startedAt : null;
  }

  draw() {
    if (this.firstAt) this.foot.replaceChildren(this.#first(), this.#live());
    else this.foot.textContent = `${this.words.waiting} ${shownMs(performance.now() - this.startedAt)}`;
    if (!this.isStale) return;
    this.isStale = false;
    if (this.thought) this.#drawThought();
    if (this.text) this.write(this.text);
    this.scroll();
  }

  /** Nothing more comes. */
  end() {
    clearInterval(this.timer);
    this.draw();
    for (const figure of this.body.querySelectorAll("figure")) {
      figure.append(copyButton(() => figure.querySelector("code").textContent));
    }
    this.element.classList.remove("is-live");
    this.element.removeAttribute("aria-busy");
    if (this.details) this.details.open = !this.text;
    this.foot.replaceChildren(...(this.firstAt ? [this.#first()] : []));
    this.foot.hidden = !this.firstAt;
  }

  #first() {
    return make("span", "", `${this.words.first_token} ${shownMs(this.firstTokenMs)}`);
  }

  #live() {
    const seconds = (performance.now() - this.firstAt) / 1000;
    const speed = seconds > 0.2 ? ((this.pieces - 1) / seconds).toFixed(0) : "…";
    return make("span", "", `≈ ${speed} ${this.words.speed}`);
  }

  #drawThought() {
    if (!this.details) {
      this.details = make("details", "turn-thought");
      this.details.open = true;
      this.summary = make("span");
      this.details.append(make("summary", "", arrow(), this.summary), (this.thoughtText = make("p")));
      this.body.before(this.details);
    }
    if (this.text && this.summary.textContent !== this.words.thought) this.details.open = false;
    this.summary.textContent = this.text ? this.words.thought : this.words.thinking;
    this.thoughtText.textContent = this.thought;
    this.thoughtText.scrollTop = this.thoughtText.scrollHeight;
  }

  /** Where the charge will stand, until it is known. */
  await() {
    this.foot.hidden = false;
    this.settling = make("span", "", this.words.settling);
    this.foot.append(this.settling);
  }

  /** Tokens by class and the exact charge, with the way to the receipt. */
  showReceipt(receipt) {
    this.settling.remove();
    if (!receipt) {
      this.foot.append(make("span", "", this.words.unsettled));
      return;
    }
    if (receipt.speed) this.foot.append(make("span", "", `${receipt.speed} ${this.words.speed}`));
    for (const one of receipt.classes) {
      const part = make("span", "", `${one.tokens.toLocaleString("en")} ${one.label.toLowerCase()}`);
      part.dataset.tip = `${one.label}: ${one.amount}`;
      this.foot.append(part);
    }
    const charge = make("b", "", receipt.charge);
    charge.dataset.charge = receipt.charge_nanos;
    charge.dataset.tip = receipt.is_estimated ? this.words.estimated : receipt.reason;
    const link = make("a", "", this.words.receipt);
    link.href = receipt.url;
    this.foot.append(charge, link);
    if (this.text) this.foot.append(copyButton(() => this.text));
  }

  /** A remark below the answer: what happened, and what to do. */
  remark(kind, text, detail, actions) {
    const box = make("div", "", make("p", "", text));
    if (detail) box.append(make("p", "small", detail));
    if (actions.length) box.append(make("div", "buttons", ...actions));
    const note = make("div", `note ${kind}`, box);
    note.setAttribute("role", "status");
    this.element.append(note);
    this.scroll();
  }
}
