// The settings beside the conversation: what the chosen model offers, and what is sent of it.

const STOPS_MAX = 4;
const models = JSON.parse(document.getElementById("pg-models").textContent);

function number(form, name) {
  const text = form.elements[name].value.trim();
  return text === "" ? undefined : Number(text);
}

/** The request's fields beside messages; `system` is its own. Raises on a schema that is not JSON. */
export function settingsOf(form) {
  const fields = form.elements;
  const facts = models[fields.model.value];
  const stops = fields.stop.value.split("\n").filter(Boolean).slice(0, STOPS_MAX);
  const all = {
    model: fields.model.value,
    system: fields.system.value.trim(),
    temperature: number(form, "temperature"),
    top_p: number(form, "top_p"),
    max_tokens: number(form, "max_tokens"),
    seed: number(form, "seed"),
    stop: stops.length ? stops : undefined,
    reasoning_effort: (facts?.may_think && fields.reasoning_effort.value) || undefined,
    response_format: facts?.json ? formatOf(fields) : undefined,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function formatOf(fields) {
  const type = fields.response_format.value;
  if (!type) return undefined;
  if (type === "json_object") return { type };
  const schema = JSON.parse(fields.schema.value);
  return { type, json_schema: { name: "answer", schema, strict: true } };
}

/** Show what the chosen model can do and costs, and only the settings that it has. */
export function enableSettings(root, form) {
  const find = (name) => root.querySelector(`[data-${name}]`);
  const panel = find("settings");
  const wide = matchMedia("(min-width: 1081px)");
  const fit = () => (panel.open = wide.matches);
  wide.addEventListener("change", fit);
  fit();
  const show = () => {
    const name = form.elements.model.value;
    const facts = models[name];
    find("model-name").textContent = name;
    if (!facts) return;
    find("badges").replaceChildren(
      ...facts.badges.map((text) => {
        const badge = document.createElement("span");
        badge.className = "badge badge-plain";
        badge.textContent = text;
        return badge;
      }),
    );
    for (const part of ["input", "output", "context"]) find(part).textContent = facts[part];
    const link = find("model-link");
    link.href = link.dataset.url.replace("NAME", encodeURIComponent(name));
    form.elements.max_tokens.max = facts.output_tokens_max;
    find("effort-field").hidden = !facts.may_think;
    find("none").hidden = find("none").disabled = facts.always_thinks;
    if (facts.always_thinks && form.elements.reasoning_effort.value === "none") {
      form.elements.reasoning_effort.value = "";
    }
    find("format-field").hidden = !facts.json;
    const format = facts.json ? form.elements.response_format.value : "";
    find("schema-field").hidden = format !== "json_schema";
    find("json-help").hidden = !format;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}
