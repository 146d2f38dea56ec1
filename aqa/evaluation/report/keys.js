// Navigation by keys and links, and the page's start-up.

function goTo(position) {
  if (!view.length) return;
  state.active = Math.min(Math.max(position, 0), view.length - 1);
  draw();
  const row = drawn.get(state.active);
  row.scrollIntoView({ block: "nearest" });
  if (state.open === null) row.focus({ preventScroll: true });
  else open(view[state.active]);
}

function followLink() {
  const match = /^#id=(.*)$/s.exec(location.hash);
  if (!match) return;
  const id = match[1].replace(/(%[0-9a-f]{2})+/gi, (code) => {
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

// In Hangul mode the j key of a Korean keyboard sends ㅓ or "Process".
function nameOf(event) {
  const isHangul = event.key === "Process" || HANGUL.test(event.key);
  return (isHangul && { KeyJ: "j", KeyK: "k" }[event.code]) || event.key;
}

function actionsAt(target) {
  const isRow = body.contains(target);
  const step = isRow || detail.contains(target) ? 1 : 0; // from anywhere else, go to the active row
  const down = () => goTo(state.active + step);
  const up = () => goTo(state.active - step);
  const leave = () => {
    if (!state.query) return goTo(state.active);
    state.query = "";
    return update();
  };
  const atOpen = detail.hidden ? {} : { Escape: close };
  if (target === search)
    return { Enter: () => goTo(0), ArrowDown: () => goTo(0), Escape: leave, ...atOpen };
  if (target.matches("input, select, textarea")) return atOpen;
  const atRow = {
    ArrowDown: down, ArrowUp: up, Home: () => goTo(0), End: () => goTo(view.length - 1),
    PageDown: () => goTo(state.active + 8), PageUp: () => goTo(state.active - 8),
    Enter: () => open(view[state.active]), " ": () => open(view[state.active]),
  };
  const toSearch = () => { search.focus(); search.select(); };
  return { j: down, k: up, "/": toSearch, ...(isRow ? atRow : {}), ...atOpen };
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const action = actionsAt(event.target)[nameOf(event)];
  if (!action) return;
  event.preventDefault();
  action();
}

function onPrint(isPrinting) {
  state.isPrinting = isPrinting;
  draw();
}

// Show the examples whose answers have these kinds, given by system.
function showKinds(kinds) {
  showOnly({ kinds: systems.map((system) => kinds[system] ?? "") });
}

function numbersOf({ slice, group }) {
  return [Object.keys(facts.slices).indexOf(slice), facts.slices[slice].indexOf(group)];
}

function showOnly(filter) {
  showAll();
  Object.assign(state, filter);
  update();
  byId("examples").scrollIntoView();
  goTo(0);
}

drawHead();
for (const [name, [label]] of Object.entries(SHOWN))
  show.append(make("option", { value: name }, label));
show.hidden = !isSeveral;
search.addEventListener("input", () => { state.query = search.value; update(); });
show.addEventListener("change", () => { state.show = show.value; update(); });
byId("clear").addEventListener("click", showAll);
for (const button of document.querySelectorAll("button[data-kind]"))
  button.addEventListener("click", () =>
    showKinds({ [button.dataset.system]: button.dataset.kind }));
for (const button of document.querySelectorAll("button[data-slice]"))
  button.addEventListener("click", () => showOnly({ slice: numbersOf(button.dataset) }));
addEventListener("beforeprint", () => onPrint(true));
addEventListener("afterprint", () => onPrint(false));
addEventListener("scroll", drawSoon, { passive: true });
addEventListener("resize", drawSoon);
narrow.addEventListener("change", update);
addEventListener("hashchange", followLink);
document.addEventListener("keydown", onKey);
update();
followLink();
