// The example beside the table: the systems' answers, and where the passages contain them.

const detail = byId("detail");
const blocks = document.getElementsByClassName("passages");
const unpacked = new Map();

function passage(number) {
  const block = Math.floor(number / facts.block);
  if (!unpacked.has(block)) unpacked.set(block, unpack(blocks[block]));
  return unpacked.get(block)[number % facts.block].map((text) => text.normalize("NFC"));
}

// A pattern that finds an answer in a passage: its words, with anything but words between them.
function finder(answer) {
  const text = answer.normalize("NFC").trim();
  if (!text || text.length > 400) return null;
  const words = text.split(/\s+/).map((word) => word.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  const before = /^[0-9a-z]/i.test(text) ? "(?<![0-9a-z])" : "";
  const after = /[0-9a-z]$/i.test(text) ? "(?![0-9a-z])" : "";
  return new RegExp(before + words.join("\\s+") + after, "gi");
}

// The sources of each answer: "gold" or the index of a system.
function findersOf(row) {
  const finders = golds(row).map((text) => ({ who: "gold", pattern: finder(text) }));
  row.answers.forEach((text, who) => finders.push({ who, pattern: text && finder(text) }));
  return finders.filter(({ pattern }) => pattern);
}

// The passage split where an answer begins or ends: references are shaded, answers underlined.
function highlighted(text, finders) {
  const hits = finders.flatMap(({ who, pattern }) => [...text.matchAll(pattern)].map((hit) =>
    ({ who, start: hit.index, end: hit.index + hit[0].length })));
  const cuts = new Set([0, text.length, ...hits.flatMap((hit) => [hit.start, hit.end])]);
  const ends = [...cuts].sort((a, b) => a - b);
  const pieces = [];
  let shade = null;
  for (let index = 1; index < ends.length; index += 1) {
    const [start, end] = [ends[index - 1], ends[index]];
    const within = hits.filter((hit) => hit.start <= start && hit.end >= end);
    const who = new Set(within.map((hit) => hit.who));
    const isGold = who.delete("gold");
    let piece = document.createTextNode(text.slice(start, end));
    [...who].forEach((system, depth) => {
      const kind = `said s${system % COLOURS} depth${Math.min(depth, 3)}`;
      piece = make("span", { class: kind }, piece);
    });
    if (isGold && shade) shade.append(piece);
    else pieces.push(isGold ? (shade = make("mark", {}, piece)) : piece);
    if (!isGold) shade = null;
  }
  return pieces;
}

function drawPassage(row, entry, finders) {
  const [title, text] = passage(entry.place);
  const within = new Set(finders.filter(({ pattern }) => text.search(pattern) >= 0)
    .map(({ who }) => who));
  const isGold = within.delete("gold");
  const readers = systems.filter((system) => row.evidence?.[system]?.ranks?.includes(entry.rank));
  const notes = [];
  if (entry.score !== undefined) notes.push(`score ${entry.score}`);
  if (entry.id && !(title && /^[0-9a-f-]{12,}$/i.test(entry.id))) notes.push(entry.id);
  if (readers.length && readers.length < systems.length)
    notes.push(`read by ${readers.map((system) => facts.systems[system]).join(", ")}`);
  const summary = make("summary", {},
    make("span", { class: "rank" }, entry.gold ? "gold" : String(entry.rank)),
    prose("span", title || text.slice(0, 90), title ? "title" : "title excerpt"),
    ...(isGold ? [make("mark", { title: "a gold answer is here" }, "gold")] : []),
    ...[...within].map((system) => make("span", {
      class: `said s${system % COLOURS}`,
      title: `the answer of ${facts.systems[system]} is here`,
    }, facts.systems[system])),
    make("span", { class: "facts" }, notes.join(" · ")));
  const content = make("p", { class: "text", dir: "auto", lang: HANGUL.test(text) ? "ko" : null });
  content.append(...highlighted(text, finders));
  return { element: make("details", {}, summary, content), within, label: entry.rank ?? "gold" };
}

function notesOf(row, system, passages) {
  const kind = facts.kinds[row.kinds[system]];
  const evidence = row.evidence?.[system] ?? {};
  const notes = [kind.meaning];
  if (passages.length && row.answers[system]?.trim()) {
    const labels = passages.filter(({ within }) => within.has(system)).map(({ label }) => label);
    notes.push(labels.length ? `found in passage ${labels.join(", ")}`
      : "found in no passage word for word");
  }
  if (evidence.read !== undefined) {
    const { read, characters } = evidence;
    const size = characters === undefined ? "" : `, ${counted(characters)} characters`;
    notes.push(`read ${read} passage${read === 1 ? "" : "s"}${size}`);
  }
  if (evidence.gold === false && golds(row).length && kind.name !== "wrong_without_evidence")
    notes.push("the gold answer was not in what it read");
  const confidence = row.confidence?.[system];
  if (typeof confidence === "number") notes.push(`confidence ${confidence.toFixed(2)}`);
  const cost = row.costs?.[system] ?? {};
  const parts = [];
  if (cost.read !== undefined) parts.push(`${counted(cost.read)} tokens read`);
  if (cost.written !== undefined) parts.push(`${counted(cost.written)} written`);
  if (cost.dollars !== undefined) parts.push(`$${cost.dollars.toPrecision(2)}`);
  if (cost.seconds !== undefined) parts.push(`${cost.seconds} s`);
  if (parts.length) notes.push(parts.join(", "));
  for (const { verdict, reason, error } of row.verdicts?.[system] ?? []) {
    const opinion = `${verdict?.replace("_", " ")}, says the judge: ${reason}`;
    notes.push(error === undefined ? opinion : `no verdict: ${error}`);
  }
  return notes;
}

function drawCard(row, system, passages) {
  const scores = facts.scores.map((name, index) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, figure(row.scores[system][index]))));
  const notes = notesOf(row, system, passages).map((note) => make("li", {}, note));
  return make("article", { class: `card s${system % COLOURS}` },
    make("h3", {}, swatch(system), facts.systems[system]),
    make("p", { class: "said-text" }, mark(row, system), answer(row, system)),
    make("dl", {}, ...scores),
    make("ul", { class: "notes" }, ...notes));
}

function drawBar(row, index, link) {
  const labelled = (label) => ({ "aria-label": label, title: label });
  const button = (label, text, action) =>
    make("button", { type: "button", ...labelled(label), onclick: action }, text);
  return make("div", { class: "bar" },
    make("span", { class: "overline" }, `Example ${counted(index + 1)} · ${row.id}`),
    button("Previous example (k)", "↑", () => goTo(state.active - 1)),
    button("Next example (j)", "↓", () => goTo(state.active + 1)),
    make("a", { href: link, ...labelled("Link to this example") }, "#"),
    button("Close (Esc)", "✕", close));
}

function drawEvidence(passages) {
  if (!passages.length) return [];
  const items = passages.map(({ element }) => element);
  const unfold = make("button", { type: "button", class: "unfold", onclick: () => {
    const isFolded = items.some((item) => !item.open);
    for (const item of items) item.open = isFolded;
    unfold.textContent = isFolded ? "Collapse all" : "Expand all";
  } }, "Expand all");
  const title = `Evidence, ${items.length} passage${items.length === 1 ? "" : "s"}`;
  return [make("div", { class: "evidence" }, make("h3", {}, title), unfold), ...items];
}

function open(index) {
  const row = rows[index];
  const link = `#id=${encodeURIComponent(row.id)}`;
  const finders = findersOf(row);
  const passages = (row.passages ?? []).map((entry) => drawPassage(row, entry, finders));
  const title = prose("h2", row.question || row.id);
  title.id = "detail-title";
  const texts = golds(row).map((text) => prose("mark", text));
  detail.replaceChildren(
    drawBar(row, index, link),
    title,
    make("p", { class: "golds" }, make("span", { class: "overline" }, "Gold"),
      ...(texts.length ? texts : [nothing("no answer: unanswerable")])),
    make("div", { class: "cards" }, ...systems.map((system) => drawCard(row, system, passages))),
    ...drawEvidence(passages));
  state.open = index;
  detail.hidden = false;
  detail.scrollTop = 0;
  history.replaceState(null, "", link);
  draw();
  detail.focus({ preventScroll: true });
}

function close() {
  state.open = null;
  detail.hidden = true;
  history.replaceState(null, "", location.pathname + location.search);
  goTo(state.active);
}
