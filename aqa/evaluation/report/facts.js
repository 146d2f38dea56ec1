// The page's data, and helpers to show it. Text is always inserted as text, never as markup.

const narrow = matchMedia("(max-width: 40rem)"); // as in page.css: a row's cells wrap
const SPARE = 10; // rows drawn above and below the visible ones
const PRINTED = 100; // rows when printed
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
const MOST_PAIRED = 6; // with more systems, pairs get no filters

const isExact = (row, system) => facts.kinds[row.kinds[system]].name === "exact";

// Without per-example scores, an answer is either exact or not.
function primary(row, system) {
  return row.scores[system][facts.primary] ?? (isExact(row, system) ? 100 : 0);
}

const spread = rows.map((row) => {
  const values = systems.map((system) => primary(row, system));
  return Math.max(...values) - Math.min(...values);
});
const exact = rows.map((row) => systems.filter((system) => isExact(row, system)).length);

// The references that are not empty; none if the question has no answer.
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
// With more systems than colours, colours repeat: as rings here, as dashes in charts.
const swatch = (system) =>
  make("i", { class: `key s${system % COLOURS}${system < COLOURS ? "" : " again"}` });
const figure = (value) => value.toFixed(Number.isInteger(value) ? 0 : 1);
const counted = (number) => number.toLocaleString("en");

function mark(row, system) {
  const kind = facts.kinds[row.kinds[system]];
  const attributes = { role: "img", "aria-label": kind.label, title: kind.meaning };
  return make("span", { class: `mark k-${kind.name}`, ...attributes }, MARKS[kind.name]);
}

function answer(row, system) {
  const text = row.answers[system];
  if (text === null) return nothing("no prediction");
  return text.trim() ? prose("span", text, "answer") : nothing("no answer");
}
