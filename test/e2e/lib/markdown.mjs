// SPDX-License-Identifier: Apache-2.0
// As much of Markdown as our docs use.

// Fenced blocks: {info, text, line}. Indented ones (in lists) lose their indent.
export function blocks(text) {
  const found = [];
  let open = null;
  text.split("\n").forEach((line, i) => {
    const fence = line.match(/^( *)```(.*)$/);
    if (fence && !open) {
      open = { info: fence[2].trim(), indent: fence[1].length, lines: [], line: i + 1 };
    } else if (fence && open) {
      found.push({ info: open.info, text: open.lines.map((l) => `${l}\n`).join(""), line: open.line });
      open = null;
    } else if (open) {
      open.lines.push(line.slice(Math.min(open.indent, line.match(/^ */)[0].length)));
    }
  });
  return found;
}

// What is left without fenced blocks.
export function prose(text) {
  return text.replace(/^( *)```[^]*?^ *```$/gm, "");
}

export function codeSpans(text) {
  return [...prose(text).matchAll(/`([^`]+)`/g)].map((m) => m[1].replace(/\s+/g, " "));
}

export function links(text) {
  return [...prose(text).replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)\)/g)].map((m) => m[1]);
}

// The anchors of its headings, as GitHub makes them.
export function anchors(text) {
  const all = new Set();
  for (const m of prose(text).matchAll(/^#+ +(.*)$/gm)) {
    const plain = m[1].replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/`/g, "");
    let name = plain.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replace(/ /g, "-");
    for (let i = 1; all.has(name); i++) {
      name = `${name.replace(/-\d+$/, "")}-${i}`;
    }
    all.add(name);
  }
  return all;
}
