// The same call as code: curl, Python and Node, from the body the playground would send.

const KEYWORDS = {
  curl: /(?<![\w-])(?:curl)\b|(?<=\s)-[A-Za-z]\b/,
  python: /\b(?:import|from|for|in|if|print|True|False|None)\b/,
  node: /\b(?:import|from|const|await|for|of|new|process|true|false|null)\b/,
};
const COMMENTS = { curl: /(?!)/, python: /#[^\n]*/, node: /\/\/[^\n]*/ };
const STRING = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\])*'/;

/** A JSON value as Python writes it, indented below its first line. */
function python(value, indent) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}    `;
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((item) => python(item, inner))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item, inner)}`);
  const [open, close] = isList ? "[]" : "{}";
  if (!items.length) return open + close;
  const line = open + items.join(", ") + close;
  if (line.length < 72 && !line.includes("\n")) return line;
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${indent}${close}`;
}

function indented(value, spaces) {
  return JSON.stringify(value, null, 2).replaceAll("\n", `\n${" ".repeat(spaces)}`);
}

function curlOf(base, body) {
  const json = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return [
    `curl -N ${base}/chat/completions \\`,
    '  -H "Authorization: Bearer $TTONK_API_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d '${json.replaceAll("\n", "\n  ")}'`,
  ].join("\n");
}

function pythonOf(base, body) {
  const fields = Object.entries(body).map(([name, value]) => `    ${name}=${python(value, "    ")},`);
  return [
    "# pip install openai",
    "import os",
    "from openai import OpenAI",
    "",
    "client = OpenAI(",
    `    base_url=${JSON.stringify(base)},`,
    '    api_key=os.environ["TTONK_API_KEY"],',
    ")",
    "stream = client.chat.completions.create(",
    ...fields,
    ")",
    "for chunk in stream:",
    "    if chunk.choices:",
    '        print(chunk.choices[0].delta.content or "", end="", flush=True)',
  ].join("\n");
}

function nodeOf(base, body) {
  const fields = Object.entries(body).map(([name, value]) => `  ${name}: ${indented(value, 2)},`);
  return [
    "// npm install openai",
    'import OpenAI from "openai";',
    "",
    "const client = new OpenAI({",
    `  baseURL: ${JSON.stringify(base)},`,
    "  apiKey: process.env.TTONK_API_KEY,",
    "});",
    "const stream = await client.chat.completions.create({",
    ...fields,
    "});",
    "for await (const chunk of stream) {",
    '  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");',
    "}",
  ].join("\n");
}

export function samples(base, body) {
  return { curl: curlOf(base, body), python: pythonOf(base, body), node: nodeOf(base, body) };
}

/** Put `text` into a code element with its comments, strings and keywords marked. */
export function show(code, text, language) {
  const pattern = new RegExp(
    `(?<c>${COMMENTS[language].source})|(?<s>${STRING.source})|(?<k>${KEYWORDS[language].source})`,
    "g",
  );
  code.replaceChildren();
  let end = 0;
  for (const found of text.matchAll(pattern)) {
    const mark = document.createElement("span");
    const [kind] = Object.entries(found.groups).find(([, value]) => value !== undefined);
    mark.className = `hl-${kind}`;
    mark.textContent = found[0];
    code.append(text.slice(end, found.index), mark);
    end = found.index + found[0].length;
  }
  code.append(text.slice(end));
}
