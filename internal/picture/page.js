// The page as a whole: tabs, keys, theme.

function tab(name) {
  for (const t of ["timeline", "graph"]) {
    $(t).hidden = t !== name;
    $("tab-" + t).setAttribute("aria-selected", String(t === name));
  }
  if (name === "graph") drawGraph(); else { chart.draw(); drawList(); }
}

function step(by) {
  if (!matches.length) return;
  let at = matches.findIndex(i => i >= picked);
  if (picked < 0) at = by > 0 ? 0 : matches.length - 1;
  else if (at < 0) at = by > 0 ? 0 : matches.length - 1;
  else at = (by > 0 && matches[at] !== picked ? at : at + by + matches.length) % matches.length;
  pick(matches[at], true);
}

// sibling picks the hook before or after on the same unit.
function sibling(by) {
  if (picked < 0) return step(by);
  const list = rows.get(hooks[picked].unit).hooks, k = list.findIndex(h => h.i === picked) + by;
  if (k >= 0 && k < list.length) pick(list[k].i, true);
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  chart.draw();
}

function watch() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  theme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => theme(dark.matches ? "dark" : "light"));
  $("theme").onclick = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  $("tab-timeline").onclick = () => tab("timeline");
  $("tab-graph").onclick = () => { node = null; tab("graph"); };
  $("filter").addEventListener("input", () => { clearTimeout(filterTimer); filterTimer = setTimeout(applyFilter, 120); });
  $("search").addEventListener("submit", e => { e.preventDefault(); step(1); });
  $("next").onclick = () => step(1);
  $("prev").onclick = () => step(-1);
  $("list").addEventListener("scroll", drawList);
  $("svg").addEventListener("click", () => { if (node) { node = null; drawGraph(); } });
  $("net").addEventListener("click", e => { if (e.target === $("net") && node) { node = null; drawGraph(); } });
  new ResizeObserver(() => { chart.draw(); drawList(); }).observe($("timeline"));
  document.addEventListener("keydown", e => {
    if (["INPUT", "SELECT"].includes(e.target.tagName) || e.ctrlKey || e.metaKey || e.altKey) return;
    const inList = e.target.id === "list";
    if (e.target.tagName === "BUTTON" && e.key === " ") return;
    const keys = {...(inList ? {ArrowDown: () => step(1), ArrowUp: () => step(-1)} : {}), t: () => $("axis").click(), ArrowRight: () => sibling(1), ArrowLeft: () => sibling(-1), n: () => step(1), p: () => step(-1),
      "+": () => chart.zoom(0.6), "-": () => chart.zoom(1 / 0.6), 0: () => chart.fit(), "/": () => $("filter").focus(),
      Escape: () => { node = null; setFilter(""); showOverview(); drawList(); chart.draw(); }};
    if (keys[e.key]) { e.preventDefault(); keys[e.key](); }
  });
  watchChart();
}

load().then(data => {
  prepare(data);
  watch();
  chart.fit();
  if (!graphs.length) $("tab-graph").hidden = true;
  if (!hooks.length) $("tab-timeline").hidden = true;
  tab(data.open || (hooks.length ? "timeline" : "graph"));
  showOverview();
  applyFilter();
  document.body.dataset.ready = "true";
}).catch(err => {
  $("detail").replaceChildren(el("p", {className: "bad", textContent: "This page cannot be shown: " + err}));
  throw err;
});
