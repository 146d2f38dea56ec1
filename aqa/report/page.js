// The table of examples: filter, sort, search, open. All text is set as text, never as markup.
"use strict";
{
  const ROW = 64; // height of a row in pixels, as in page.css
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
  const [body, detail, search, show, count] = ["body", "detail", "search", "show", "count"].map(byId);
  const blocks = document.getElementsByClassName("passages");
  const unpacked = new Map();

  const several = facts.systems.length > 1;
  const isExact = (row, system) => facts.kinds[row.kinds[system]].name === "exact";
  // Where no score has values for each example, being exact is all there is.
  const primary = (row, system) => row.scores[system][facts.primary] ?? (isExact(row, system) ? 100 : 0);
  const isPartial = (row, system) => primary(row, system) > 0 && primary(row, system) < 100;
  const spread = rows.map((row) => {
    const values = facts.systems.map((_, system) => primary(row, system));
    return Math.max(...values) - Math.min(...values);
  });
  const exact = rows.map((row) => facts.systems.filter((_, system) => isExact(row, system)).length);

  const state = {
    query: "",
    show: "all",
    kinds: facts.systems.map(() => ""),
    sort: several ? "disagreement" : "0", // a system's number sorts by its score
    falling: several,
    active: 0, // a position in `view`
    open: null, // an index of `rows`
    printing: false,
  };
  let view = []; // indexes of `rows`, as filtered and sorted
  let drawn = new Map(); // position in `view` -> its element

  // Elements

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
    return make(name, { class: kind, dir: "auto", lang: HANGUL.test(text) ? "ko" : null }, text);
  }

  const key = (system) => make("i", { class: `key s${system % COLOURS}` });
  const figure = (value) => (Math.round(value * 10) / 10).toFixed(Number.isInteger(value) ? 0 : 1);

  function mark(row, system) {
    const kind = facts.kinds[row.kinds[system]];
    const told = { class: `mark k-${kind.name}`, role: "img", "aria-label": kind.label };
    return make("span", { ...told, title: kind.meaning }, MARKS[kind.name]);
  }

  function answer(row, system) {
    const text = row.answers[system];
    if (text === null) return make("span", { class: "nothing" }, "no prediction");
    return text.trim() ? prose("span", text, "answer") : make("span", { class: "nothing" }, "no answer");
  }

  function gold(row) {
    const texts = [...new Set(row.references)].filter((text) => text.trim());
    return texts.length ? texts : null;
  }

  // The table

  function drawHead() {
    const head = byId("head");
    const column = (name, label, ...more) => {
      const button = make("button", { type: "button", onclick: () => sortBy(name) }, label);
      head.append(make("div", { role: "columnheader", class: "cell", "data-sort": name }, button, ...more));
    };
    column("number", "#");
    if (several) column("disagreement", "Apart");
    column("question", "Question");
    column("gold", "Gold answer");
    facts.systems.forEach((name, system) => {
      const counts = facts.kinds.map((_, kind) => rows.filter((row) => row.kinds[system] === kind).length);
      const filter = make("select", {
        "aria-label": `Kind of answer of ${name}`,
        "data-system": system,
        onchange: (event) => { state.kinds[system] = event.target.value; update(); },
      }, make("option", { value: "" }, "any kind"));
      facts.kinds.forEach((kind, place) => {
        if (counts[place]) filter.append(make("option", { value: kind.name }, `${kind.label} (${counts[place]})`));
      });
      column(String(system), make("span", {}, key(system), name), filter);
    });
    byId("table").style.setProperty("--systems", facts.systems.length);
    byId("table").classList.toggle("single", !several);
  }

  function drawRow(position) {
    const index = view[position];
    const row = rows[index];
    const cell = (kind, ...children) => make("div", { role: "gridcell", class: `cell ${kind}` }, ...children);
    const cells = [cell("number", String(index + 1))];
    if (several) {
      const bar = make("span", { class: "apart" });
      bar.style.setProperty("--share", spread[index] / 100);
      cells.push(cell("spread", spread[index] ? figure(spread[index]) : "", bar));
    }
    cells.push(cell("question", row.question ? prose("span", row.question, "clamp") : make("span", { class: "nothing clamp" }, row.id)));
    const texts = gold(row);
    cells.push(cell("gold", texts ? prose("span", texts.join(" · "), "clamp") : make("span", { class: "nothing" }, "unanswerable")));
    facts.systems.forEach((_, system) => {
      const told = make("span", { class: "clamp" }, answer(row, system));
      cells.push(cell("system", mark(row, system), told, make("span", { class: "score" }, isPartial(row, system) ? figure(primary(row, system)) : "")));
    });
    const element = make("div", {
      role: "row", class: "row", "aria-rowindex": position + 2, tabindex: -1,
      "aria-selected": String(index === state.open), "data-id": row.id,
      onclick: () => { state.active = position; open(index); },
      onfocus: () => { state.active = position; },
    }, ...cells);
    element.style.setProperty("transform", `translateY(${position * ROW}px)`);
    return element;
  }

  function draw() {
    const top = Math.max(0, -body.getBoundingClientRect().top);
    let first = Math.max(0, Math.floor(top / ROW) - SPARE);
    let last = Math.min(view.length, Math.ceil((top + innerHeight) / ROW) + SPARE);
    if (state.printing) [first, last] = [0, Math.min(view.length, PRINTED)];
    const kept = new Map();
    for (let position = first; position < last; position += 1) kept.set(position, drawn.get(position) ?? drawRow(position));
    // The active row stays, in sight or not, so that the focus does not get lost.
    if (!state.printing && state.active < view.length) kept.set(state.active, kept.get(state.active) ?? drawn.get(state.active) ?? drawRow(state.active));
    for (const [position, element] of drawn) if (!kept.has(position)) element.remove();
    // In order, for paper and screen readers; what is there stays where it is and keeps the focus.
    let next = null;
    for (const position of [...kept.keys()].sort((a, b) => b - a)) {
      const element = kept.get(position);
      element.tabIndex = position === state.active ? 0 : -1;
      element.setAttribute("aria-selected", String(view[position] === state.open));
      if (!element.isConnected) body.insertBefore(element, next);
      next = element;
    }
    drawn = kept;
  }

  let asked = false;
  function drawSoon() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  }

  // Filter and sort

  const folded = (text) => text.normalize("NFC").toLowerCase();
  let haystack = null;
  function holds(index, words) {
    haystack ??= rows.map((row) => folded([row.id, row.question, ...row.references, ...row.answers].join("\n")));
    return words.every((word) => haystack[index].includes(word));
  }

  const SHOWN = {
    all: ["all examples", () => true],
    disagree: ["systems disagree", (index) => exact[index] > 0 && exact[index] < facts.systems.length],
    right: ["all exact", (index) => exact[index] === facts.systems.length],
    wrong: ["none exact", (index) => exact[index] === 0],
  };

  const collator = new Intl.Collator();
  const SORTS = {
    number: (a, b) => a - b,
    disagreement: (a, b) => spread[a] - spread[b],
    question: (a, b) => collator.compare(rows[a].question, rows[b].question),
    gold: (a, b) => collator.compare(rows[a].references[0] ?? "", rows[b].references[0] ?? ""),
  };

  function sortBy(name) {
    const first = name === "disagreement"; // the largest are what one looks for
    state.falling = state.sort === name ? !state.falling : first;
    state.sort = name;
    update();
  }

  function update() {
    const words = folded(state.query).split(/\s+/).filter(Boolean);
    const kinds = state.kinds.map((name) => facts.kinds.findIndex((kind) => kind.name === name));
    const isShown = SHOWN[state.show][1];
    view = [];
    rows.forEach((row, index) => {
      if (isShown(index) && kinds.every((kind, system) => kind < 0 || row.kinds[system] === kind) && holds(index, words)) view.push(index);
    });
    const compare = SORTS[state.sort] ?? ((a, b) => primary(rows[a], +state.sort) - primary(rows[b], +state.sort));
    const sign = state.falling ? -1 : 1;
    view.sort((a, b) => sign * compare(a, b) || a - b);
    state.active = Math.max(0, view.indexOf(state.open));
    body.style.setProperty("height", `${view.length * ROW}px`);
    byId("table").setAttribute("aria-rowcount", view.length + 1);
    for (const head of byId("head").children) {
      const way = state.falling ? "descending" : "ascending";
      head.setAttribute("aria-sort", head.dataset.sort === state.sort ? way : "none");
    }
    for (const filter of byId("head").querySelectorAll("select")) {
      filter.value = state.kinds[filter.dataset.system];
      filter.classList.toggle("set", filter.value !== "");
    }
    show.value = state.show;
    search.value = state.query;
    const isWhole = view.length === rows.length;
    count.textContent = `${isWhole ? "" : `${view.length.toLocaleString("en")} of `}${rows.length.toLocaleString("en")} examples`;
    byId("clear").hidden = isWhole;
    byId("printed").textContent = view.length > PRINTED ? `Printed: the first ${PRINTED} of ${view.length.toLocaleString("en")} examples in this order.` : "";
    for (const element of drawn.values()) element.remove();
    drawn = new Map();
    draw();
  }

  function showAll() {
    Object.assign(state, { query: "", show: "all", kinds: facts.systems.map(() => "") });
    update();
  }

  // Moving about

  function goTo(position) {
    if (!view.length) return;
    state.active = Math.min(Math.max(position, 0), view.length - 1);
    draw();
    const row = drawn.get(state.active);
    row.scrollIntoView({ block: "nearest" });
    if (state.open === null) row.focus({ preventScroll: true });
    else open(view[state.active]);
  }

  function close() {
    state.open = null;
    detail.hidden = true;
    document.body.classList.remove("reading");
    history.replaceState(null, "", location.pathname + location.search);
    goTo(state.active);
  }

  function followLink() {
    const found = /^#id=(.*)$/s.exec(location.hash);
    if (!found) return;
    const id = found[1].replace(/(%[0-9a-f]{2})+/gi, (code) => {
      try { return decodeURIComponent(code); } catch { return code; }
    });
    const index = rows.findIndex((row) => row.id === id);
    if (index < 0) {
      count.textContent = `No example has the id ${id}`;
      byId("examples").scrollIntoView();
      return;
    }
    if (!view.includes(index)) showAll();
    state.active = view.indexOf(index);
    draw();
    drawn.get(state.active).scrollIntoView({ block: "center" });
    open(index);
  }

  // One example

  function passage(place) {
    const block = Math.floor(place / facts.block);
    if (!unpacked.has(block)) unpacked.set(block, unpack(blocks[block]));
    return unpacked.get(block)[place % facts.block];
  }

  // A way to find an answer in a passage: by its words, whatever lies between them.
  function finder(text) {
    const words = text.normalize("NFC").trim().split(/\s+/).map((word) => word.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
    if (!words[0] || text.length > 400) return null;
    const [before, after] = [/^[0-9a-z]/i.test(text.trim()) ? "(?<![0-9a-z])" : "", /[0-9a-z]$/i.test(text.trim()) ? "(?![0-9a-z])" : ""];
    return new RegExp(before + words.join("\\s+") + after, "gi");
  }

  // The passage as pieces that lie within the same answers: gold ones shaded, systems' underlined.
  function highlighted(text, answers) {
    const hits = answers.flatMap(({ who, pattern }) => [...text.matchAll(pattern)].map((hit) => ({ who, start: hit.index, end: hit.index + hit[0].length })));
    const ends = [...new Set([0, text.length, ...hits.flatMap((hit) => [hit.start, hit.end])])].sort((a, b) => a - b);
    const pieces = [];
    let shade = null;
    ends.slice(1).forEach((end, place) => {
      const who = new Set(hits.filter((hit) => hit.start <= ends[place] && hit.end >= end).map((hit) => hit.who));
      let piece = document.createTextNode(text.slice(ends[place], end));
      [...who].filter((name) => name !== "gold").forEach((system, depth) => {
        piece = make("span", { class: `said s${system % COLOURS} depth${Math.min(depth, 3)}` }, piece);
      });
      if (!who.has("gold")) shade = null;
      else if (shade) return shade.append(piece);
      else piece = shade = make("mark", {}, piece);
      return pieces.push(piece);
    });
    return pieces;
  }

  function answersOf(row) {
    const found = (gold(row) ?? []).map((text) => ({ who: "gold", pattern: finder(text) }));
    row.answers.forEach((text, system) => found.push({ who: system, pattern: text && finder(text) }));
    return found.filter(({ pattern }) => pattern);
  }

  function drawPassages(row) {
    const answers = answersOf(row);
    const holders = facts.systems.map(() => []);
    const items = row.passages.map((told, number) => {
      const [title, text] = passage(told.place).map((part) => part.normalize("NFC"));
      const within = [...new Set(answers.filter(({ pattern }) => text.search(pattern) >= 0).map(({ who }) => who))];
      within.forEach((who) => who !== "gold" && holders[who].push(told.rank ?? "gold"));
      const readers = facts.systems.map((_, system) => system).filter((system) => row.evidence?.[system]?.ranks?.includes(told.rank));
      const summary = make("summary", {},
        make("span", { class: "rank" }, told.gold ? "gold" : String(told.rank)),
        prose("span", title || text.slice(0, 90), title ? "title" : "title excerpt"),
        ...(within.includes("gold") ? [make("mark", { title: "a gold answer stands here" }, "gold")] : []),
        ...within.filter((who) => who !== "gold").map((system) => make("span", { class: `said s${system % COLOURS}`, title: `the answer of ${facts.systems[system]} stands here` }, facts.systems[system])),
        make("span", { class: "facts" }, [
          told.score === undefined ? "" : `score ${told.score}`, told.id ?? "",
          several && readers.length && readers.length < facts.systems.length ? `read by ${readers.map((system) => facts.systems[system]).join(", ")}` : "",
        ].filter(Boolean).join(" · ")));
      const shown = prose("p", "", "text");
      if (HANGUL.test(text)) shown.lang = "ko";
      shown.append(...highlighted(text, answers));
      return make("details", { "data-number": number }, summary, shown);
    });
    return [items, holders];
  }

  function card(row, system, holders) {
    const kind = facts.kinds[row.kinds[system]];
    const told = row.evidence?.[system] ?? {};
    const notes = [kind.meaning];
    if (row.passages && row.answers[system]?.trim()) notes.push(holders[system].length ? `stands in passage ${holders[system].join(", ")}` : "stands in no passage word for word");
    if (told.read !== undefined) notes.push(`read ${told.read} passage${told.read === 1 ? "" : "s"}${told.characters === undefined ? "" : `, ${told.characters.toLocaleString("en")} characters`}`);
    if (told.gold === false && gold(row) && kind.name !== "wrong_without_evidence") notes.push("the gold answer was not in what it read");
    if (typeof row.confidence?.[system] === "number") notes.push(`confidence ${row.confidence[system].toFixed(2)}`);
    return make("article", { class: `card s${system % COLOURS}` },
      make("h3", {}, key(system), facts.systems[system]),
      make("p", { class: "said-text" }, mark(row, system), answer(row, system)),
      make("dl", {}, ...facts.scores.map((name, place) => make("div", {}, make("dt", {}, name), make("dd", {}, figure(row.scores[system][place]))))),
      make("ul", { class: "notes" }, ...notes.map((note) => make("li", {}, note))));
  }

  function open(index) {
    const row = rows[index];
    state.open = index;
    const [passages, holders] = row.passages ? drawPassages(row) : [[], facts.systems.map(() => [])];
    const link = `#id=${encodeURIComponent(row.id)}`;
    const button = (label, text, action) => make("button", { type: "button", "aria-label": label, title: label, onclick: action }, text);
    const texts = gold(row);
    const unfold = make("button", { type: "button", class: "unfold", onclick: () => {
      const isFolded = passages.some((item) => !item.open);
      for (const item of passages) item.open = isFolded;
      unfold.textContent = isFolded ? "Fold all" : "Unfold all";
    } }, "Unfold all");
    detail.replaceChildren(
      make("div", { class: "bar" },
        make("span", { class: "overline" }, `Example ${(index + 1).toLocaleString("en")} · ${row.id}`),
        button("Previous example (k)", "↑", () => goTo(state.active - 1)),
        button("Next example (j)", "↓", () => goTo(state.active + 1)),
        make("a", { href: link, title: "Link to this example", "aria-label": "Link to this example" }, "#"),
        button("Close (Esc)", "✕", close)),
      Object.assign(prose("h2", row.question || row.id), { id: "detail-title" }),
      make("p", { class: "golds" }, make("span", { class: "overline" }, "Gold"), ...(texts ?? []).map((text) => prose("mark", text)),
        ...(texts ? [] : [make("span", { class: "nothing" }, "no answer: unanswerable")])),
      make("div", { class: "cards" }, ...facts.systems.map((_, system) => card(row, system, holders))),
      ...(passages.length ? [make("div", { class: "evidence" }, make("h3", {}, `Evidence, ${passages.length} passage${passages.length === 1 ? "" : "s"}`), unfold), ...passages] : []));
    detail.hidden = false;
    detail.scrollTop = 0;
    document.body.classList.add("reading");
    history.replaceState(null, "", link);
    draw();
    detail.focus({ preventScroll: true });
  }

  // Keys

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const inRows = body.contains(target) || detail.contains(target);
    const isTyping = target.matches("input, select, textarea");
    const actions = isTyping ? {} : {
      j: () => goTo(state.active + (inRows ? 1 : 0)),
      k: () => goTo(state.active - (inRows ? 1 : 0)),
      "/": () => { search.focus(); search.select(); },
    };
    if (body.contains(target)) Object.assign(actions, {
      ArrowDown: actions.j, ArrowUp: actions.k, Home: () => goTo(0), End: () => goTo(view.length - 1),
      PageDown: () => goTo(state.active + 8), PageUp: () => goTo(state.active - 8),
      Enter: () => open(view[state.active]), " ": () => open(view[state.active]),
    });
    if (target === search) Object.assign(actions, { Enter: () => goTo(0), ArrowDown: () => goTo(0) });
    if (!detail.hidden) actions.Escape = close;
    else if (target === search) actions.Escape = () => { if (state.query) { state.query = ""; update(); } else goTo(state.active); };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  // Beginning

  drawHead();
  for (const [name, [label]] of Object.entries(SHOWN)) show.append(make("option", { value: name }, label));
  show.hidden = !several;
  search.addEventListener("input", () => { state.query = search.value; update(); });
  show.addEventListener("change", () => { state.show = show.value; update(); });
  byId("clear").addEventListener("click", showAll);
  for (const button of document.querySelectorAll("button.count")) {
    button.addEventListener("click", () => {
      Object.assign(state, { query: "", show: "all", kinds: facts.systems.map(() => "") });
      state.kinds[button.dataset.system] = button.dataset.kind;
      update();
      byId("examples").scrollIntoView();
      goTo(0);
    });
  }
  const print = (isOn) => { state.printing = isOn; draw(); };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  addEventListener("scroll", drawSoon, { passive: true });
  addEventListener("resize", drawSoon);
  addEventListener("hashchange", followLink);
  document.addEventListener("keydown", onKey);
  update();
  followLink();
}
