// The playground: settings and messages in, a streamed answer out, with what it took and cost.
import { samples, show } from "./playground-code.js";
import { enableSettings, settingsOf } from "./playground-settings.js";
import { Answer, drawQuestion } from "./playground-turns.js";
import { Trouble, Wire, payloads, troubleOf } from "./playground-wire.js";

const NEAR_PX = 120;

const root = document.querySelector("[data-playground]");
const words = JSON.parse(document.getElementById("pg-words").textContent);
const form = root.querySelector("[data-settings-form]");
const composer = root.querySelector("[data-composer]");
const prompt = composer.elements.prompt;
const turns = root.querySelector("[data-turns]");
const empty = root.querySelector("[data-empty]");
const said = root.querySelector("[data-said]");
const buttons = Object.fromEntries(
  ["send", "stop", "clear", "show-code"].map((name) => [name, root.querySelector(`[data-${name}]`)]),
);
const wire = new Wire(root.dataset, form.elements.csrfmiddlewaretoken.value);

/** Oldest first: {question, answer, elements}; `answer` is empty where none came. */
let exchanges = [];
let running = null;

function scroll() {
  const box = getComputedStyle(turns).overflowY === "auto" ? turns : document.scrollingElement;
  const below = box.scrollHeight - box.scrollTop - box.clientHeight;
  if (below < NEAR_PX + 400 * Number(box !== turns)) box.scrollTop = box.scrollHeight;
}

/** What would be sent now: the settings, and the conversation ending with `question`. */
function bodyFor(question) {
  const { system, ...settings } = settingsOf(form);
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const one of exchanges) {
    if (!one.answer) continue;
    messages.push({ role: "user", content: one.question }, { role: "assistant", content: one.answer });
  }
  messages.push({ role: "user", content: question });
  return { ...settings, messages, stream: true };
}

function setRunning(controller) {
  running = controller;
  // A button that goes away takes the focus with it: it goes back to where one writes.
  if ([buttons.send, buttons.stop, buttons.clear].includes(document.activeElement)) prompt.focus();
  buttons.send.hidden = Boolean(controller);
  buttons.stop.hidden = !controller;
  buttons.clear.disabled = Boolean(controller) || !exchanges.length;
}

async function ask(question) {
  if (running) return;
  if (!form.checkValidity()) {
    root.querySelector("[data-settings]").open = true;
    form.reportValidity();
    return;
  }
  let body;
  try {
    body = bodyFor(question);
  } catch (error) {
    showSettingsError(error.message);
    return;
  }
  showSettingsError("");
  empty.hidden = true;
  const element = drawQuestion(words, question);
  const answer = new Answer(words, body.model, scroll);
  turns.append(element, answer.element);
  const exchange = { question, answer: "", elements: [element, answer.element] };
  exchanges.push(exchange);
  answer.element.scrollIntoView({ block: "nearest" });
  await run(body, exchange, answer);
}

function showSettingsError(text) {
  const box = root.querySelector("[data-settings-error]");
  box.textContent = text;
  box.hidden = !text;
  if (text) root.querySelector("[data-settings]").open = true;
}

async function run(body, exchange, answer) {
  const controller = new AbortController();
  setRunning(controller);
  said.textContent = words.waiting;
  let requestId = "";
  let trouble = null;
  let finish = "";
  try {
    const response = await wire.open(body, form.elements.project.value, controller.signal);
    requestId = response.headers.get("x-request-id") ?? "";
    for await (const event of payloads(response)) {
      if (event.error) throw midway(event.error);
      const choice = event.choices?.[0];
      const delta = choice?.delta ?? {};
      answer.take(delta.reasoning_content ?? delta.reasoning ?? "", delta.content ?? "");
      finish = choice?.finish_reason ?? finish;
    }
  } catch (error) {
    trouble = controller.signal.aborted ? new Trouble("stopped") : asTrouble(error);
  }
  answer.end();
  exchange.answer = answer.text;
  setRunning(null);
  if (trouble) remarkTrouble(answer, exchange, trouble);
  else if (finish === "length") answer.remark("", words.length, "", []);
  said.textContent = trouble ? words[trouble.word] : answer.text.slice(0, 2000);
  if (!requestId) return;
  answer.await();
  answer.showReceipt(await wire.receipt(requestId));
  scroll();
}

/** An error event inside a stream: what had arrived before it is charged. */
function midway(error) {
  const trouble = troubleOf(error.type === "authentication_error" ? 401 : 502, error, null);
  return trouble.word === "provider" ? new Trouble("broke_off", { detail: error.message }) : trouble;
}

function asTrouble(error) {
  return error instanceof Trouble ? error : new Trouble("broke_off");
}

function remarkTrouble(answer, exchange, trouble) {
  if (trouble.word === "stopped") {
    answer.remark("", answer.firstAt ? words.stopped : words.stopped_early, "", [againButton(exchange)]);
    return;
  }
  const actions = [againButton(exchange)];
  const places = { billing: "billingUrl", plans: "billingUrl", models: "modelsUrl", status: "statusUrl" };
  if (trouble.link) {
    const link = document.createElement("a");
    link.className = "button";
    link.href = root.dataset[places[trouble.link]];
    link.textContent = words[`to_${trouble.link}`];
    actions.push(link);
  }
  // Before the first token a break costs nothing; the words for the middle would be wrong.
  const isEarly = trouble.word === "broke_off" && !answer.firstAt;
  const text = words[isEarly ? "provider" : trouble.word].replace("%s", trouble.seconds);
  answer.remark("note-bad", text, trouble.detail, actions);
}

/** The last question again, in place of what came of it. */
function againButton(exchange) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.textContent = words.again;
  button.addEventListener("click", () => {
    if (running) return;
    const from = exchanges.indexOf(exchange);
    for (const later of exchanges.slice(from)) for (const one of later.elements) one.remove();
    exchanges = exchanges.slice(0, from);
    ask(exchange.question);
  });
  return button;
}

function send() {
  const text = prompt.value.trim();
  if (!text || running) return;
  prompt.value = "";
  grow();
  ask(text);
}

function grow() {
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
}

function clear() {
  exchanges = [];
  for (const turn of turns.querySelectorAll(".turn")) turn.remove();
  empty.hidden = false;
  setRunning(null);
  prompt.focus();
}

function showCode() {
  const dialog = document.querySelector("[data-code]");
  let body;
  try {
    body = bodyFor(prompt.value.trim() || exchanges.at(-1)?.question || "Say hello.");
  } catch (error) {
    showSettingsError(error.message);
    return;
  }
  const texts = samples(root.dataset.baseUrl, body);
  const codes = dialog.querySelectorAll(".code code");
  for (const [n, [language, text]] of Object.entries(texts).entries()) show(codes[n], text, language);
  dialog.showModal();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
prompt.addEventListener("input", grow);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && root.contains(event.target)) {
    event.preventDefault();
    send();
  }
  if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) running.abort();
});
buttons.stop.addEventListener("click", () => running?.abort());
buttons.clear.addEventListener("click", clear);
buttons["show-code"].addEventListener("click", showCode);
for (const starter of root.querySelectorAll("[data-starter]")) {
  starter.addEventListener("click", () => {
    prompt.value = starter.textContent;
    grow();
    prompt.focus();
  });
}
if (/Mac|iPhone|iPad/.test(navigator.platform)) root.querySelector("[data-modifier]").textContent = "⌘";
enableSettings(root, form);
root.hidden = false;
document.querySelector("[data-without]").hidden = true;
if (matchMedia("(min-width: 1081px)").matches) prompt.focus();
