// The table of examples: filters, sorts, and draws only the visible rows.

const [body, search, show, count] = ["body", "search", "show", "count"].map(byId);
const state = {
  query: "",
  show: "all",
  kinds: systems.map(() => ""),
  slice: null, // [index of a key, index of a group]
  sort: isSeveral ? "disagreement" : "0", // a system's index sorts by its score
  isFalling: isSeveral,
  active: 0, // a position in `view`
  open: null, // an index of `rows`
  isPrinting: false,
};
let view = []; // indexes of `rows`, as filtered and sorted
let drawn = new Map(); // position in `view` -> its element

const SHOWN = {
  all: ["all examples", () => true],
  disagree: ["some exact, some not", (index) => exact[index] > 0 && exact[index] < systems.length],
  right: ["all exact", (index) => exact[index] === systems.length],
  wrong: ["none exact", (index) => exact[index] === 0],
};
if (systems.length <= MOST_PAIRED)
  for (const worse of systems)
    for (const better of systems.filter((system) => system !== worse))
      SHOWN[`${worse}<${better}`] = [
        `${facts.systems[worse]} worse than ${facts.systems[better]}`,
        (index) => primary(rows[index], worse) < primary(rows[index], better),
      ];

// The height of a row in pixels, also used by page.css. All rows have the same height, so that only
// the visible ones need to exist.
const rowHeight = () => (narrow.matches ? 64 + 26 * (systems.length + 1) : 64);
const collator = new Intl.Collator();
const SORTS = {
  number: (a, b) => a - b,
  disagreement: (a, b) => spread[a] - spread[b],
  question: (a, b) => collator.compare(rows[a].question, rows[b].question),
  gold: (a, b) => collator.compare(rows[a].references[0] ?? "", rows[b].references[0] ?? ""),
};

// Filter and sort

const folded = (text) => text.normalize("NFC").toLowerCase();
let haystack = null;

function holds(index, words) {
  if (!words.length) return true;
  haystack ??= rows.map((row) =>
    folded([row.id, row.question, ...row.references, ...row.answers].join("\n")));
  return words.every((word) => haystack[index].includes(word));
}

function choose() {
  const words = folded(state.query).split(/\s+/).filter(Boolean);
  const kinds = state.kinds.map((name) => facts.kinds.findIndex((kind) => kind.name === name));
  const isOfKind = (row) => kinds.every((kind, system) => kind < 0 || row.kinds[system] === kind);
  const isShown = SHOWN[state.show][1];
  const [key, group] = state.slice ?? [];
  const isOfSlice = (row) => key === undefined || row.slices[key].includes(group);
  const sign = state.isFalling ? -1 : 1;
  const byScore = (a, b) => primary(rows[a], +state.sort) - primary(rows[b], +state.sort);
  const compare = SORTS[state.sort] ?? byScore;
  return rows.map((_, index) => index)
    .filter((index) => isShown(index) && isOfKind(rows[index]) && isOfSlice(rows[index])
      && holds(index, words))
    .sort((a, b) => sign * compare(a, b) || a - b);
}

function update() {
  view = choose();
  state.active = Math.max(0, view.indexOf(state.open));
  byId("table").style.setProperty("--row", `${rowHeight()}px`);
  body.style.setProperty("height", `${view.length * rowHeight()}px`);
  byId("table").setAttribute("aria-rowcount", view.length + 1);
  for (const head of byId("head").children) {
    const way = state.isFalling ? "descending" : "ascending";
    head.setAttribute("aria-sort", head.dataset.sort === state.sort ? way : "none");
  }
  for (const filter of byId("head").querySelectorAll("select")) {
    filter.value = state.kinds[filter.dataset.system];
    filter.classList.toggle("set", filter.value !== "");
  }
  show.value = state.show;
  search.value = state.query;
  const isWhole = view.length === rows.length;
  const part = isWhole ? "" : `${counted(view.length)} of `;
  const [key, groups] = Object.entries(facts.slices)[state.slice?.[0]] ?? [];
  const within = key ? `, ${key.replaceAll("_", " ")} ${groups[state.slice[1]]}` : "";
  count.textContent = `${part}${counted(rows.length)} examples${within}`;
  byId("clear").hidden = isWhole;
  byId("printed").textContent = view.length <= PRINTED ? ""
    : `Printed: the first ${PRINTED} of ${counted(view.length)} examples in this order.`;
  for (const element of drawn.values()) element.remove();
  drawn = new Map();
  draw();
}

function sortBy(name) {
  const isFirst = name === "disagreement"; // largest first
  state.isFalling = state.sort === name ? !state.isFalling : isFirst;
  state.sort = name;
  update();
}

function showAll() {
  Object.assign(state, { query: "", show: "all", kinds: systems.map(() => ""), slice: null });
  update();
}

// Draw

function drawHead() {
  const column = (name, label, ...more) => {
    const button = make("button", { type: "button", onclick: () => sortBy(name) }, label);
    const attributes = { role: "columnheader", class: "cell", "data-sort": name };
    byId("head").append(make("div", attributes, button, ...more));
  };
  column("number", "#");
  if (isSeveral) column("disagreement", "Spread");
  column("question", "Question");
  column("gold", "Gold answer");
  for (const system of systems) {
    const label = make("span", {}, swatch(system), facts.systems[system]);
    column(String(system), label, kindFilter(system));
  }
  byId("table").style.setProperty("--systems", systems.length);
  byId("table").style.setProperty("--abreast", Math.min(systems.length, 4)); // when printed
  byId("table").classList.toggle("single", !isSeveral);
}

function kindFilter(system) {
  const filter = make("select", {
    "aria-label": `Kind of answer of ${facts.systems[system]}`,
    "data-system": system,
    onchange: () => { state.kinds[system] = filter.value; update(); },
  }, make("option", { value: "" }, "any kind"));
  facts.kinds.forEach((kind, index) => {
    const number = rows.filter((row) => row.kinds[system] === index).length;
    const label = `${kind.label} (${counted(number)})`;
    if (number) filter.append(make("option", { value: kind.name }, label));
  });
  return filter;
}

function drawRow(position) {
  const index = view[position];
  const row = rows[index];
  const texts = golds(row);
  const cell = (kind, ...children) =>
    make("div", { role: "gridcell", class: `cell ${kind}` }, ...children);
  const bar = make("span", { class: "apart" });
  bar.style.setProperty("--share", spread[index] / 100);
  const element = make("div", {
    role: "row", class: "row", "aria-rowindex": position + 2, "data-id": row.id,
    onclick: () => { state.active = position; open(index); },
    onfocus: () => { state.active = position; },
  },
  cell("number", String(index + 1)),
  ...(isSeveral ? [cell("spread", spread[index] ? figure(spread[index]) : "", bar)] : []),
  cell("question", row.question ? prose("span", row.question, "clamp") : nothing(row.id, "clamp")),
  cell("gold", texts.length ? prose("span", texts.join(" · "), "clamp") : nothing("unanswerable")),
  ...systems.map((system) => {
    const score = primary(row, system);
    const text = score > 0 && score < 100 ? figure(score) : ""; // else the mark says it
    return cell("system", mark(row, system), make("span", { class: "clamp" }, answer(row, system)),
      make("span", { class: "score" }, text), make("span", { class: "who" }, swatch(system)));
  }));
  element.style.setProperty("transform", `translateY(${position * rowHeight()}px)`);
  return element;
}

function draw() {
  const top = Math.max(0, -body.getBoundingClientRect().top);
  let first = Math.max(0, Math.floor(top / rowHeight()) - SPARE);
  let last = Math.min(view.length, Math.ceil((top + innerHeight) / rowHeight()) + SPARE);
  if (state.isPrinting) [first, last] = [0, Math.min(view.length, PRINTED)];
  const wanted = Array.from({ length: Math.max(0, last - first) }, (_, step) => first + step);
  // The active row stays even when out of sight, so that it keeps the focus.
  const isApart = state.active < first || state.active >= last;
  if (isApart && !state.isPrinting && state.active < view.length) wanted.push(state.active);
  wanted.sort((a, b) => b - a);
  const visible = new Map();
  for (const position of wanted) visible.set(position, drawn.get(position) ?? drawRow(position));
  for (const [position, element] of drawn) if (!visible.has(position)) element.remove();
  // In order, for print and screen readers; existing rows are not moved and keep the focus.
  let next = null;
  for (const [position, element] of visible) {
    element.tabIndex = position === state.active ? 0 : -1;
    element.setAttribute("aria-selected", String(view[position] === state.open));
    if (!element.isConnected) body.insertBefore(element, next);
    next = element;
  }
  drawn = visible;
}

let isAsked = false;
function drawSoon() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => { isAsked = false; draw(); });
}
