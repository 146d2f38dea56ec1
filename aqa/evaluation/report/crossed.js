// Cross-tabulates two systems' kinds of answers; clicking a count shows its examples.

const crossed = byId("crossed");

function chooseSystem(label, chosen) {
  const choice = make("select", { "aria-label": label, onchange: () => drawCrossed() },
    ...facts.systems.map((name, system) => make("option", { value: system }, name)));
  choice.value = chosen;
  return choice;
}

// Kinds that neither system has are left out: many empty lines are hard to read.
function kindsOf(system) {
  const present = new Set(rows.map((row) => row.kinds[system]));
  return facts.kinds.map((_, kind) => kind).filter((kind) => present.has(kind));
}

function drawCrossed() {
  const [down, across] = [...crossed.querySelectorAll("select")].map((choice) => +choice.value);
  const counts = new Map();
  for (const row of rows) {
    const pair = `${row.kinds[down]}|${row.kinds[across]}`;
    counts.set(pair, (counts.get(pair) ?? 0) + 1);
  }
  const columns = kindsOf(across);
  const name = (kind) => [make("i", { class: `key k-${facts.kinds[kind].name}` }),
    facts.kinds[kind].label];
  const head = make("tr", {}, make("td"),
    ...columns.map((kind) => make("th", { scope: "col", class: "n" }, ...name(kind))));
  const lines = kindsOf(down).map((kind) => make("tr", {},
    make("th", { scope: "row" }, ...name(kind)),
    ...columns.map((other) => {
      const count = counts.get(`${kind}|${other}`);
      if (!count) return make("td", { class: "n" }, make("span", { class: "share" }, "·"));
      const filter = { [down]: facts.kinds[kind].name, [across]: facts.kinds[other].name };
      return make("td", { class: "n" },
        make("button", { type: "button", class: "count", onclick: () => showKinds(filter) },
          counted(count)));
    })));
  crossed.querySelector("table").replaceChildren(
    make("thead", {}, head), make("tbody", {}, ...lines));
}

if (crossed) {
  const [down, across] = [chooseSystem("System in the rows", 0),
    chooseSystem("System in the columns", 1)];
  crossed.append(
    make("p", { class: "choices" }, down, " by ", across), make("table", { class: "crossed" }));
  drawCrossed();
}
