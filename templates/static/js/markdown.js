// What a model writes, as elements: paragraphs, headings, lists, code. Everything is put in as text,
// so nothing a model says can become markup.

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^#{1,6}\s+(.*)$/;
const BULLET = /^\s*[-*+]\s+(.*)$/;
const NUMBER = /^\s*(?<first>\d{1,9})[.)]\s+(?<text>.*)$/;
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*/g;

/** The text's blocks: {kind, lines, language, start}; `start` is where the block begins. */
function blocksOf(text) {
  const blocks = [];
  let open = null;
  let fence = "";
  let at = 0;
  for (const line of text.split("\n")) {
    const start = at;
    at += line.length + 1;
    if (fence) {
      if (line.trim().startsWith(fence)) {
        fence = "";
        open = null;
      } else open.lines.push(line);
      continue;
    }
    const opening = FENCE.exec(line);
    if (opening) {
      fence = opening[1];
      open = { kind: "code", lines: [], language: opening[2], start };
      blocks.push(open);
      continue;
    }
    const [kind, content, first] = kindOf(line);
    if (kind === "none") open = null;
    else if (open?.kind === kind && kind !== "heading") open.lines.push(content);
    else blocks.push((open = { kind, lines: [content], start, first }));
  }
  return blocks;
}

function kindOf(line) {
  if (!line.trim()) return ["none", ""];
  for (const [kind, pattern] of [["heading", HEADING], ["bullets", BULLET], ["numbers", NUMBER]]) {
    const found = pattern.exec(line);
    if (found) return [kind, found.groups?.text ?? found[1], Number(found.groups?.first ?? 1)];
  }
  return ["text", line];
}

function inline(parent, text) {
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    parent.append(text.slice(end, found.index));
    const part = document.createElement(found[1] === undefined ? "strong" : "code");
    if (found[1] !== undefined) part.className = "inline-code";
    part.textContent = found[1] ?? found[2];
    parent.append(part);
    end = found.index + found[0].length;
  }
  parent.append(text.slice(end));
  return parent;
}

function codeBlock(block) {
  const figure = document.createElement("figure");
  figure.className = "code";
  const caption = document.createElement("figcaption");
  caption.textContent = block.language;
  const pre = document.createElement("pre");
  pre.tabIndex = 0;
  const code = document.createElement("code");
  code.textContent = block.lines.join("\n");
  pre.append(code);
  figure.append(caption, pre);
  return figure;
}

function elementOf(block) {
  if (block.kind === "code") return codeBlock(block);
  if (block.kind === "heading") return inline(document.createElement("h4"), block.lines[0]);
  if (block.kind === "text") return inline(document.createElement("p"), block.lines.join("\n"));
  const list = document.createElement(block.kind === "numbers" ? "ol" : "ul");
  if (block.kind === "numbers") list.start = block.first;
  for (const line of block.lines) list.append(inline(document.createElement("li"), line));
  return list;
}

/** Writes a growing text into `parent`. Only the last block is drawn again as it grows. */
export function writer(parent) {
  let settled = 0; // of the text, drawn for good
  let last = null;
  return (text) => {
    const blocks = blocksOf(text.slice(settled));
    const from = settled;
    last?.remove();
    last = null;
    for (const [n, block] of blocks.entries()) {
      const element = elementOf(block);
      parent.append(element);
      if (n === blocks.length - 1) {
        last = element;
        settled = from + block.start;
      }
    }
  };
}
