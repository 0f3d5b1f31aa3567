// The graph of handlers and flags.

let graph = null, node = null;

// The flags that handlers were seen to change, by handler.
function effects(g) {
  if (g.effects) return g.effects;
  const map = new Map();
  const add = (handler, flag, set) => {
    if (!map.has(handler)) map.set(handler, new Map());
    const flags = map.get(handler), was = flags.get(flag) || {sets: false, clears: false};
    if (set) was.sets = true; else was.clears = true;
    flags.set(flag, was);
  };
  for (const x of g.handlers) {
    (x.sets || []).forEach(f => add(x.name, f, true));
    (x.clears || []).forEach(f => add(x.name, f, false));
  }
  for (const h of hooks) {
    if (graphOf(h) !== g) continue;
    for (const s of h.steps) if (s.flag && s.handler) add(s.handler, s.flag, s.set);
  }
  return g.effects = map;
}

// polarity returns the flags of a condition and whether they help it when set.
function polarity(e, want, out) {
  if (e.op === "flag") out.push([e.flag, want]);
  else for (const p of e.parts || []) polarity(p, e.op === "not" ? !want : want, out);
  return out;
}

// What a handler can wait for besides flags stands among them, under these heads.
const heads = {hook: "hooks", restricted: "hooks", action: "actions"};

function links(g) {
  if (g.links) return g.links;
  const list = [];
  for (const x of g.handlers) {
    for (const c of x.on || []) {
      if (!c.expr) list.push({flag: c.text, handler: x.name, kind: "needs", rest: heads[c.kind] || "besides flags"});
      else for (const [f, want] of polarity(c.expr, true, [])) list.push({flag: f, handler: x.name, kind: want ? "needs" : "lacks"});
    }
  }
  for (const [handler, flags] of effects(g)) for (const [f, how] of flags) list.push({flag: f, handler, kind: "does", how});
  return g.links = list;
}

function showNode(id, g) {
  if (g) graph = g;
  node = id;
  tab("graph");
}

function svg(tag, attrs, ...kids) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attrs || {})) e.setAttribute(k, v);
  e.append(...kids);
  return e;
}

function drawGraph() {
  if ($("graph").hidden || !graphs.length) return;
  graph = graph || graphs[0];
  const g = graph, all = links(g), text = $("filter").value.trim().toLowerCase();
  const names = new Set(g.handlers.map(x => x.name));
  const flags = new Map((g.flags || []).map(f => [f.name, f.source || ""])), rest = new Set();
  for (const l of all) if (l.rest) rest.add(l.flag);
  for (const l of all) if (!flags.has(l.flag)) flags.set(l.flag, l.rest || l.flag.replace(/^endpoint\.([^.]+)\..*$|^.*$/, (_, name) => name ? "endpoint " + name : ""));
  const plain = terms(text).map(t => t.value);
  const hitsText = s => plain.every(t => s.toLowerCase().includes(t));
  const near = id => all.filter(l => "h:" + l.handler === id || "f:" + l.flag === id);
  // What is lit: the picked node and what it is tied to, or what the filter finds and that.
  let lit = null;
  if (node) lit = new Set([node, ...near(node).flatMap(l => ["h:" + l.handler, "f:" + l.flag])]);
  else if (plain.length) {
    const found = [...names].filter(hitsText).map(n => "h:" + n).concat([...flags.keys()].filter(hitsText).map(f => "f:" + f));
    if (found.length) lit = new Set(found.concat(found.flatMap(id => near(id).flatMap(l => ["h:" + l.handler, "f:" + l.flag]))));
  }
  const on = id => !lit || lit.has(id);
  // Picked or filtered, only what is lit is drawn, so that it fits on the screen.
  const shownFlags = [...flags.keys()].filter(f => on("f:" + f)), shownHandlers = g.handlers.filter(x => on("h:" + x.name));
  const groups = new Map();
  for (const f of [...shownFlags.filter(f => rest.has(f)), ...shownFlags.filter(f => !rest.has(f))]) {
    const s = flags.get(f) || "the charm's own";
    if (!groups.has(s)) groups.set(s, []);
    groups.get(s).push(f);
  }
  const root = $("svg"), boxes = [], wires = [], places = new Map();
  const rowHeight = 28, top = 34, longest = list => Math.min(340, Math.max(120, ...list.map(s => s.length * 6.9 + 20)));
  const wf = longest(shownFlags), wh = longest(shownHandlers.map(x => x.name));
  const gap = Math.min(Math.max($("net").clientWidth - wf - wh - 60, 90), 340);
  let y = top;
  for (const [source, list] of groups) {
    boxes.push(svg("text", {x: 16, y: y + 12, class: "group"}, source));
    y += 22;
    for (const f of list) { places.set("f:" + f, {x: 16, y, w: wf}); y += rowHeight; }
    y += 8;
  }
  const heightFlags = y, space = Math.max(rowHeight + 4, Math.min(60, (heightFlags - top) / Math.max(1, shownHandlers.length)));
  y = top + 22;
  for (const x of shownHandlers) { places.set("h:" + x.name, {x: 16 + wf + gap, y, w: wh}); y += space; }
  root.setAttribute("width", 16 + wf + gap + wh + 24);
  root.setAttribute("height", Math.max(heightFlags, y) + 20);
  for (const l of all) {
    const a = places.get("f:" + l.flag), b = places.get("h:" + l.handler);
    if (!a || !b || (node && node !== "f:" + l.flag && node !== "h:" + l.handler)) continue;
    const x1 = a.x + a.w + (l.kind === "does" ? 5 : 0), y1 = a.y + 11 + (l.kind === "does" ? 5 : 0), x2 = b.x - (l.kind === "does" ? 0 : 5), y2 = b.y + 11 + (l.kind === "does" ? 5 : 0);
    const p = svg("path", {class: l.kind, d: `M${x1},${y1} C${x1 + gap / 2},${y1} ${x2 - gap / 2},${y2} ${x2},${y2}`});
    p.setAttribute(l.kind === "does" ? "marker-start" : "marker-end", "url(#tip-" + l.kind + ")");
    p.append(svg("title", {}, l.kind === "needs" ? l.handler + " waits for " + l.flag : l.kind === "lacks" ? l.handler + " waits until " + l.flag + " is not set" :
      l.handler + (l.how.sets && l.how.clears ? " sets and clears " : l.how.sets ? " sets " : " clears ") + l.flag));
    wires.push(p);
  }
  for (const [id, p] of places) {
    const name = id.slice(2), shown = name.length * 6.9 + 16 > p.w ? name.slice(0, Math.floor((p.w - 24) / 6.9)) + "…" : name;
    const b = svg("g", {class: "box " + (id[0] === "h" ? "hnd" : rest.has(name) ? "rest" : "flg") + (id === node ? " picked" : ""), tabindex: 0, role: "button", "aria-label": name, "aria-pressed": id === node, "data-id": id},
      svg("rect", {x: p.x, y: p.y, width: p.w, height: 22, rx: id[0] === "h" ? 4 : 11}), svg("text", {x: p.x + 9, y: p.y + 15}, shown), svg("title", {}, name));
    b.addEventListener("click", e => { e.stopPropagation(); node = node === id ? null : id; drawGraph(); });
    b.addEventListener("keydown", e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); node = node === id ? null : id; drawGraph(); } });
    boxes.push(b);
  }
  const titles = [svg("text", {x: 16, y: 20, class: "group"}, rest.size ? "FLAGS, AND WHAT ELSE HANDLERS WAIT FOR" : "FLAGS"), svg("text", {x: 16 + wf + gap, y: 20, class: "group"}, "HANDLERS")];
  const tips = svg("defs", {}, ...["needs", "lacks", "does"].map(kind => svg("marker", {id: "tip-" + kind, viewBox: "0 0 8 8", refX: kind === "does" ? 6 : 3, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse"}, svg("path", {d: "M0,0 L8,4 L0,8 z"}))));
  const focused = document.activeElement && document.activeElement.dataset.id;
  root.replaceChildren(tips, ...wires, ...titles, ...boxes);
  // Drawn anew, the box that had the focus keeps it.
  if (focused && places.has(focused)) root.querySelector('[data-id="' + CSS.escape(focused) + '"]').focus();
  showNodeDetail(g, all, flags, rest);
}

function showNodeDetail(g, all, flags, rest) {
  const out = [];
  if (graphs.length > 1) {
    const choose = el("select", {onchange: e => { graph = graphs[e.target.value]; node = null; drawGraph(); }},
      ...graphs.map((x, i) => el("option", {value: i, textContent: x.charm, selected: x === g})));
    out.push(el("p", {}, "charm ", choose));
  }
  const go = (id, text) => link(text, () => { node = id; drawGraph(); }, {className: id[0] === "h" ? "handler" : ""});
  const listOf = (heading, list) => list.length ? [el("h3", {textContent: heading}), el("ul", {className: "plain"}, ...list.map(x => el("li", {}, x)))] : [];
  const name = node && node.slice(2);
  if (!node) {
    out.push(el("h2", {textContent: g.charm}), el("p", {className: "meta", textContent: g.handlers.length + " handlers, " + (flags.size - rest.size) + " flags"}),
      el("p", {className: "hint", textContent: "Click a handler or a flag to see only what it is tied to; click it again, or beside it, to see all."}),
      el("ul", {className: "plain"}, ...[["needs", "the handler waits for it"], ["lacks", "the handler waits until it is not set"], ["does", "the handler sets or clears it" + (hooks.length ? ", as seen in the hooks shown" : "")]]
        .map(([kind, what]) => el("li", {}, el("i", {className: "wire " + kind}), what))));
  } else if (node[0] === "h") {
    const x = g.handlers.find(x => x.name === name);
    out.push(el("h2", {textContent: name}));
    if (x) out.push(el("p", {textContent: "waits for " + x.when}), x.place ? el("p", {className: "meta"}, el("code", {textContent: x.place})) : null);
    const did = [...(effects(g).get(name) || [])];
    out.push(...listOf("Changes", did.map(([f, how]) => el("span", {}, el("span", {className: how.sets ? "set" : "clear", textContent: how.sets && how.clears ? "sets, clears " : how.sets ? "sets " : "clears "}), go("f:" + f, f)))));
    out.push(...runsOf(g, name));
  } else {
    out.push(el("h2", {textContent: name}), el("p", {className: "meta", textContent: rest.has(name) ? "not a flag" : flags.get(name) ? "set by " + flags.get(name) : "the charm's own flag"}));
    const waits = kind => all.filter(l => l.flag === name && l.kind === kind).map(l => go("h:" + l.handler, l.handler));
    out.push(...listOf("Waited for by", waits("needs")), ...listOf("Must not be set for", waits("lacks")));
    out.push(...listOf("Changed by", all.filter(l => l.flag === name && l.kind === "does").map(l => go("h:" + l.handler, l.handler))));
    const triggers = (g.triggers || []).filter(t => [t.when, t.when_not, ...(t.set || []), ...(t.clear || [])].includes(name));
    out.push(...listOf("Triggers", triggers.map(t => el("span", {}, t.when ? "when set: " : "when cleared: ", go("f:" + (t.when || t.when_not), t.when || t.when_not),
      ...(t.set || []).flatMap(f => [" sets ", go("f:" + f, f)]), ...(t.clear || []).flatMap(f => [" clears ", go("f:" + f, f)])))));
    if (hooks.length && !rest.has(name)) out.push(el("p", {}, link("hooks in which it changed", () => { setFilter("flag:" + quoted(name)); tab("timeline"); })));
  }
  $("node").replaceChildren(...out.filter(Boolean));
}

function runsOf(g, name) {
  let n = 0, time = 0, failed = 0, last = null;
  for (const h of hooks) {
    if (graphOf(h) !== g) continue;
    for (const s of h.steps) if (!s.flag && s.handler === name) { n++; time += s.duration || 0; failed += s.error ? 1 : 0; last = h; }
  }
  if (!hooks.length) return [];
  if (!n) return [el("p", {className: "hint", textContent: "It ran in none of the hooks shown."})];
  return [el("h3", {textContent: "Runs"}), el("p", {textContent: n + " runs, " + millis(time / n / 1e6) + " on average" + (failed ? ", " + failed + " failed" : "")}),
    el("p", {}, link("show them", () => { setFilter("handler:" + quoted(name)); tab("timeline"); pick(last.i, true); }))];
}
