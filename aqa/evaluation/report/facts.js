// What the page holds, and the elements that show it. Text is set as text, never as markup.

const narrow = matchMedia("(max-width: 40rem)"); // as in page.css: the cells of a row lie in lines
const SPARE = 10; // rows kept above and below those in sight
const PRINTED = 100; // rows on paper
const COLOURS = 8;
const MARKS = {
  exact: "✓", extra_words: "+", partial: "◐", wrong_with_evidence: "✕",
  wrong_without_evidence: "✕", wrong: "✕", answered_unanswerable: "✕",
  abstained_wrongly: "∅", empty: "∅", missing: "–",
};
const HANGUL = /[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]/;

const byId = (id) => document.getElementById(id);
const unpack = (element) => JSON.parse(element.textContent);
const facts = unpack(byId("facts"));
const rows = unpack(byId("rows"));
const systems = facts.systems.map((_, system) => system);
const isSeveral = systems.length > 1;
const MOST_PAIRED = 6; // systems of which each pair has a filter of its own

const isExact = (row, system) => facts.kinds[row.kinds[system]].name === "exact";

// Where no score has values for each example, being exact is all there is.
function primary(row, system) {
  return row.scores[system][facts.primary] ?? (isExact(row, system) ? 100 : 0);
}

const spread = rows.map((row) => {
  const values = systems.map((system) => primary(row, system));
  return Math.max(...values) - Math.min(...values);
});
const exact = rows.map((row) => systems.filter((system) => isExact(row, system)).length);

// The references that say something; none where the question has no answer.
const golds = (row) => [...new Set(row.references)].filter((text) => text.trim());

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function prose(name, text, kind = "") {
  const lang = HANGUL.test(text) ? "ko" : null;
  return make(name, { class: kind, dir: "auto", lang }, text);
}

const nothing = (text, kind = "") => make("span", { class: `nothing ${kind}` }, text);
// Beyond the colours there are, they come again as rings, and in charts as dashes.
const swatch = (system) =>
  make("i", { class: `key s${system % COLOURS}${system < COLOURS ? "" : " again"}` });
const figure = (value) => value.toFixed(Number.isInteger(value) ? 0 : 1);
const counted = (number) => number.toLocaleString("en");

function mark(row, system) {
  const kind = facts.kinds[row.kinds[system]];
  const told = { role: "img", "aria-label": kind.label, title: kind.meaning };
  return make("span", { class: `mark k-${kind.name}`, ...told }, MARKS[kind.name]);
}

function answer(row, system) {
  const text = row.answers[system];
  if (text === null) return nothing("no prediction");
  return text.trim() ? prose("span", text, "answer") : nothing("no answer");
}
