"use strict";
(() => {
const $ = id => document.getElementById(id);
const el = (tag, props, ...kids) => {
  const e = Object.assign(document.createElement(tag), props || {});
  e.append(...kids.filter(k => k !== null && k !== undefined));
  return e;
};
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

let hooks = [], graphs = [], units = [], rows = new Map();
let shown = [];                        // the units in the timeline: those with matches
let matches = [], matched = null;      // indexes of hooks; a Uint8Array or null for all
let picked = -1;

// ---- data ------------------------------------------------------------------

async function load() {
  const text = $("data").textContent.trim();
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  $("data").remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

const application = unit => unit.split("/")[0];

function graphOf(hook) {
  const app = application(hook.unit);
  return graphs.find(g => hook.charm ? g.charm === hook.charm : (g.applications || []).includes(app)) ||
    graphs.find(g => g.charm === app) || (graphs.length === 1 && !hook.charm ? graphs[0] : undefined);
}

function title(h) {
  if (!h.relation) return h.hook;
  const other = h.remote_unit || h.remote_app;
  return h.hook + " (" + h.relation + (other ? " with " + other : "") + ")";
}

const outcome = h => h.outcome || (h.error ? "failed" : "");

function prepare(data) {
  hooks = data.hooks || [];
  graphs = data.graphs || [];
  const names = new Set();
  let end = -Infinity;
  hooks.forEach((h, i) => {
    h.i = i;
    h.at = Date.parse(h.time) || 0;
    h.ms = (h.duration || 0) / 1e6;
    h.steps = h.steps || [];
    names.add(h.unit);
  });
  units = [...names].sort((a, b) => a.localeCompare(b, "en", {numeric: true}));
  units.forEach((u, i) => rows.set(u, {name: u, y: i, hooks: []}));
  for (const h of hooks) rows.get(h.unit).hooks.push(h);
  for (const h of hooks) end = Math.max(end, h.at + h.ms);
  chart.first = hooks.length ? Math.min(...hooks.map(h => h.at).slice(0, 1)) : 0;
  for (const h of hooks) if (h.at < chart.first) chart.first = h.at;
  chart.last = end;
  // Few units leave the room to what is below.
  if (window.innerWidth > 760) $("timeline").style.gridTemplateRows = "min(42%, " + Math.max(120, units.length * chart.row + chart.head + 14) + "px) 1fr";
}

function haystack(h) {
  if (h.hay === undefined) {
    const parts = [h.unit, title(h), outcome(h), h.error, h.status];
    for (const s of h.steps) parts.push(s.handler, s.flag, s.error);
    for (const t of h.tools || []) parts.push(t.tool);
    h.hay = parts.filter(Boolean).join("\n").toLowerCase();
  }
  return h.hay;
}

// ---- filter ----------------------------------------------------------------

const tests = {
  unit: (h, v) => h.unit.includes(v),
  hook: (h, v) => title(h).toLowerCase().includes(v),
  handler: (h, v) => h.steps.some(s => (s.handler || "").toLowerCase().includes(v)),
  flag: (h, v) => h.steps.some(s => (s.flag || "").toLowerCase().includes(v)),
  tool: (h, v) => (h.tools || []).some(t => t.tool.includes(v)),
};

// Terms are joined by blanks; a value with blanks stands in quotes.
function terms(text) {
  const out = [];
  for (const m of text.toLowerCase().matchAll(/(?:(\w+):)?(?:"([^"]*)"|(\S+))/g)) {
    const value = m[2] !== undefined ? m[2] : m[3];
    const known = m[1] && tests[m[1]];
    out.push({test: known || null, value: known || !m[1] ? value : m[1] + ":" + value});
  }
  return out;
}

function applyFilter() {
  const list = terms($("filter").value);
  matches = [];
  if (!list.length) {
    matched = null;
    for (const h of hooks) matches.push(h.i);
  } else {
    matched = new Uint8Array(hooks.length);
    for (const h of hooks) {
      const ok = list.every(t => t.test ? t.test(h, t.value) :
        t.value === "failed" || t.value === "killed" ? outcome(h) === t.value || haystack(h).includes(t.value) :
        haystack(h).includes(t.value));
      if (ok) { matched[h.i] = 1; matches.push(h.i); }
    }
  }
  const found = matched && new Set(matches.map(i => hooks[i].unit));
  shown = found && found.size ? units.filter(u => found.has(u)) : units;
  shown.forEach((u, i) => { rows.get(u).y = i; });
  chart.limit();
  $("count").textContent = !hooks.length ? "" : list.length ? matches.length + " of " + hooks.length + " hooks" : hooks.length + " hooks";
  $("spacer").style.height = matches.length * 24 + "px";
  $("list").scrollTop = 0;
  drawList();
  chart.draw();
  drawGraph();
}

let filterTimer;
function setFilter(text) {
  $("filter").value = text;
  applyFilter();
}

const quoted = s => /\s/.test(s) ? '"' + s + '"' : s;

// ---- list ------------------------------------------------------------------

function drawList() {
  const list = $("list"), top = Math.max(0, Math.floor(list.scrollTop / 24) - 5);
  const n = Math.min(matches.length - top, Math.ceil(list.clientHeight / 24) + 12);
  const items = [];
  for (let k = top; k < top + n; k++) {
    const h = hooks[matches[k]];
    items.push(el("li", {
      className: outcome(h) + (h.i === picked ? " picked" : ""), onclick: () => pick(h.i, true),
    },
    el("span", {className: "n", textContent: h.i + 1}), el("span", {textContent: h.unit}),
    el("span", {textContent: title(h), title: title(h)}), el("span", {className: "ms", textContent: millis(h.ms)})));
  }
  $("rows").style.top = top * 24 + "px";
  $("rows").replaceChildren(...items);
}

function millis(ms) {
  if (ms >= 1000) return (ms / 1000).toFixed(1) + " s";
  return (ms >= 10 ? ms.toFixed(0) : ms.toFixed(ms >= 0.1 ? 1 : 2)) + " ms";
}

const size = n => n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : n >= 1e3 ? (n / 1e3).toFixed(1) + " kB" : n + " B";

// ---- timeline --------------------------------------------------------------

const chart = {
  gutter: 120, row: 26, head: 22,
  byTime: false, first: 0, last: 1, from: 0, to: 1, scroll: 0, width: 1000, height: 300,

  start(h) { return this.byTime ? h.at : h.i; },
  length(h) { return this.byTime ? Math.max(h.ms, 0) : 0.92; },
  range() {
    return this.byTime ? [this.first, Math.max(this.last, this.first + 1)] : [0, Math.max(hooks.length, 1)];
  },
  fit() { [this.from, this.to] = this.range(); this.draw(); },
  x(v) { return this.gutter + (v - this.from) / (this.to - this.from) * (this.width - this.gutter); },
  value(px) { return this.from + (px - this.gutter) / (this.width - this.gutter) * (this.to - this.from); },
  limit() {
    const [lo, hi] = this.range(), least = this.byTime ? 0.05 : 0.5;
    let span = Math.min(Math.max(this.to - this.from, least), (hi - lo) * 1.1);
    this.from = Math.min(Math.max(this.from, lo - span * 0.1), hi - span * 0.9);
    this.to = this.from + span;
    const most = Math.max(0, shown.length * this.row + this.head - this.height);
    this.scroll = Math.min(Math.max(this.scroll, 0), most);
  },
  zoom(factor, px) {
    const at = this.value(px === undefined ? (this.gutter + this.width) / 2 : Math.max(px, this.gutter));
    this.from = at - (at - this.from) * factor;
    this.to = at + (this.to - at) * factor;
    this.limit();
    this.draw();
  },
  pending: false,
  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.paint(); });
  },
  // firstVisible returns the first hook of a row that may reach past v.
  firstVisible(list, v) {
    let lo = 0, hi = list.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.start(list[mid]) + this.length(list[mid]) < v) lo = mid + 1; else hi = mid;
    }
    return lo;
  },
  paint() {
    const canvas = $("canvas"), box = canvas.getBoundingClientRect();
    if (!box.width || !box.height) return;
    const ratio = window.devicePixelRatio || 1;
    this.width = box.width; this.height = box.height;
    if (canvas.width !== Math.round(box.width * ratio) || canvas.height !== Math.round(box.height * ratio)) {
      canvas.width = Math.round(box.width * ratio);
      canvas.height = Math.round(box.height * ratio);
    }
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    const c = {};
    for (const k of ["bg", "panel", "line", "text", "soft", "ok", "failed", "killed", "handler", "set", "clear", "dim", "pick"]) c[k] = css("--" + k);
    g.fillStyle = c.bg;
    g.fillRect(0, 0, this.width, this.height);
    g.font = "12px system-ui, sans-serif";
    g.textBaseline = "middle";
    const firstRow = Math.max(0, Math.floor(this.scroll / this.row));
    const lastRow = Math.min(shown.length, Math.ceil((this.scroll + this.height - this.head) / this.row));
    for (let r = firstRow; r < lastRow; r++) this.paintRow(g, c, rows.get(shown[r]), this.head + r * this.row - this.scroll);
    this.paintAxis(g, c);
    g.fillStyle = c.panel;
    g.fillRect(0, 0, this.gutter, this.height);
    g.fillStyle = c.text;
    for (let r = firstRow; r < lastRow; r++) {
      const y = this.head + r * this.row - this.scroll;
      if (y > this.head - this.row) g.fillText(clip(g, shown[r], this.gutter - 14), 8, y + this.row / 2);
    }
    g.fillStyle = c.panel;
    g.fillRect(0, 0, this.gutter, this.head);
    g.strokeStyle = c.line;
    g.strokeRect(this.gutter - 0.5, -1, 0.5, this.height + 2);
  },
  paintAxis(g, c) {
    g.fillStyle = c.panel;
    g.fillRect(this.gutter, 0, this.width, this.head);
    g.fillStyle = c.soft;
    const raw = (this.to - this.from) / Math.max(2, (this.width - this.gutter) / 110);
    let step = Math.pow(10, Math.floor(Math.log10(raw)));
    if (raw / step > 5) step *= 10; else if (raw / step > 2) step *= 5; else if (raw / step > 1) step *= 2;
    if (!this.byTime) step = Math.max(1, step);
    const zero = this.byTime ? this.first : 0;
    for (let v = Math.ceil((this.from - zero) / step) * step; v + zero <= this.to; v += step) {
      const x = this.x(v + zero);
      if (x < this.gutter) continue;
      g.fillText(this.byTime ? clock(v, step) : String(v + 1), x + 3, this.head / 2);
      g.fillRect(x, this.head - 5, 1, 5);
    }
  },
  paintRow(g, c, row, y) {
    g.fillStyle = c.line;
    g.globalAlpha = 0.5;
    g.fillRect(this.gutter, y + this.row - 1, this.width, 0.5);
    g.globalAlpha = 1;
    const list = row.hooks;
    let lastX = -1, lastRank = -1;
    for (let k = this.firstVisible(list, this.from); k < list.length; k++) {
      const h = list[k], start = this.start(h);
      if (start > this.to) break;
      const x = this.x(start), w = Math.max(this.x(start + this.length(h)) - x, 1.5);
      const on = !matched || matched[h.i], out = outcome(h);
      // Where many hooks share a pixel, what went wrong shows.
      const rank = !on ? 0 : out === "failed" ? 3 : out === "killed" ? 2 : 1;
      if (w < 2 && Math.floor(x) === lastX && rank <= lastRank) continue;
      lastX = Math.floor(x); lastRank = rank;
      g.fillStyle = !on ? c.dim : c[out] || c.ok;
      g.fillRect(x, y + 3, w, this.row - 7);
      if (on && w > 24) this.paintHandlers(g, c, h, x, w, y);
      if (h.i === picked) {
        g.strokeStyle = c.pick;
        g.lineWidth = 2;
        g.strokeRect(x, y + 3, w, this.row - 7);
        g.lineWidth = 1;
      }
      if (w > 60) {
        g.fillStyle = on ? "#fff" : c.soft;
        const tall = h.steps.some(s => !s.flag) ? 9 : this.row / 2;
        g.fillText(clip(g, title(h), w - 8), Math.max(x, this.gutter) + 4, y + tall);
      }
    }
  },
  paintHandlers(g, c, h, x, w, y) {
    const whole = Math.max(h.duration || 0, 1), band = y + this.row - 11;
    for (const s of h.steps) {
      if (s.flag) continue;
      g.fillStyle = s.error ? c.failed : c.handler;
      g.fillRect(x + (s.start || 0) / whole * w, band, Math.max((s.duration || 0) / whole * w - 0.5, 1.5), 6);
    }
    let at = 0;
    for (const s of h.steps) {
      if (!s.flag) { at = (s.start || 0) + (s.duration || 0); continue; }
      g.fillStyle = s.set ? c.set : c.clear;
      g.fillRect(x + Math.min(at / whole, 1) * w - 1, band - 2, 2, 10);
    }
  },
  hit(px, py) {
    if (px < this.gutter || py < this.head) return null;
    const r = Math.floor((py - this.head + this.scroll) / this.row);
    if (r < 0 || r >= shown.length) return null;
    const list = rows.get(shown[r]).hooks, v = this.value(px), near = this.value(px + 3) - v;
    let best = null, distance = Infinity;
    for (let k = Math.max(0, this.firstVisible(list, v - near) - 1); k < list.length; k++) {
      const h = list[k], s = this.start(h), e = s + this.length(h);
      if (s > v + near) break;
      const d = v < s ? s - v : v > e ? v - e : 0;
      if (d <= near && d < distance && (!matched || matched[h.i] || best === null)) { best = h; distance = d; }
    }
    return best;
  },
  // show moves so that a hook can be seen.
  show(h) {
    const s = this.start(h), e = s + this.length(h), span = this.to - this.from;
    if (s < this.from || e > this.to) { this.from = (s + e) / 2 - span / 2; this.to = this.from + span; }
    if (!shown.includes(h.unit)) return;
    const y = rows.get(h.unit).y * this.row;
    if (y < this.scroll) this.scroll = y;
    if (y + this.row > this.scroll + this.height - this.head) this.scroll = y + this.row - this.height + this.head;
    this.limit();
  },
};

function clip(g, text, width) {
  if (width < 12) return "";
  if (g.measureText(text).width <= width) return text;
  let lo = 0, hi = text.length;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (g.measureText(text.slice(0, mid) + "…").width <= width) lo = mid; else hi = mid - 1;
  }
  return lo ? text.slice(0, lo) + "…" : "";
}

function clock(ms, step) {
  if (step < 1000) return (ms / 1000).toFixed(3) + " s";
  const s = Math.round(ms / 1000), pad = n => String(n).padStart(2, "0");
  return s < 3600 ? Math.floor(s / 60) + ":" + pad(s % 60) : Math.floor(s / 3600) + ":" + pad(Math.floor(s / 60) % 60) + ":" + pad(s % 60);
}

function watchChart() {
  const canvas = $("canvas");
  let down = null;
  canvas.addEventListener("wheel", e => {
    e.preventDefault();
    if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
      const shift = (e.deltaX || e.deltaY) / (chart.width - chart.gutter) * (chart.to - chart.from);
      chart.from += shift; chart.to += shift;
      chart.limit(); chart.draw();
    } else if (e.offsetX < chart.gutter) {
      chart.scroll += e.deltaY; chart.limit(); chart.draw();
    } else {
      chart.zoom(Math.pow(1.0015, e.deltaY), e.offsetX);
    }
  }, {passive: false});
  canvas.addEventListener("pointerdown", e => {
    down = {x: e.clientX, y: e.clientY, from: chart.from, to: chart.to, scroll: chart.scroll, moved: false};
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", e => {
    if (!down) return tip(e);
    const dx = e.clientX - down.x, dy = e.clientY - down.y;
    if (Math.abs(dx) + Math.abs(dy) > 4) down.moved = true;
    if (!down.moved) return;
    canvas.classList.add("drag");
    const shift = dx / (chart.width - chart.gutter) * (down.to - down.from);
    chart.from = down.from - shift; chart.to = down.to - shift; chart.scroll = down.scroll - dy;
    chart.limit(); chart.draw();
  });
  canvas.addEventListener("pointerup", e => {
    canvas.classList.remove("drag");
    if (down && !down.moved) {
      const h = chart.hit(e.offsetX, e.offsetY);
      if (h) pick(h.i, false);
    }
    down = null;
  });
  canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
  $("zoom-in").onclick = () => chart.zoom(0.6);
  $("zoom-out").onclick = () => chart.zoom(1 / 0.6);
  $("fit").onclick = () => chart.fit();
  $("axis").onclick = () => {
    chart.byTime = !chart.byTime;
    $("axis").textContent = chart.byTime ? "by time" : "by order";
    chart.fit();
  };
}

function tip(e) {
  const h = chart.hit(e.offsetX, e.offsetY), t = $("tip");
  if (!h) { t.hidden = true; return; }
  const ran = h.steps.filter(s => !s.flag), changes = h.steps.filter(s => s.flag);
  t.replaceChildren(el("b", {textContent: h.unit + " " + title(h)}), el("div", {
    textContent: millis(h.ms) + ", " + ran.length + " handlers, " + changes.length + " flag changes" + (h.calls ? ", " + h.calls + " hook tools" : "") + (outcome(h) ? ", " + outcome(h) : ""),
  }));
  t.hidden = false;
  const w = $("chart").clientWidth, hgt = $("chart").clientHeight;
  t.style.left = Math.min(e.offsetX + 14, w - t.offsetWidth - 4) + "px";
  t.style.top = (e.offsetY + 14 + t.offsetHeight > hgt ? Math.max(0, e.offsetY - t.offsetHeight - 10) : e.offsetY + 14) + "px";
}

// ---- one hook --------------------------------------------------------------

function pick(i, move) {
  picked = i;
  const h = hooks[i];
  if (move) chart.show(h);
  showDetail(h);
  const at = matches.indexOf(i), list = $("list");
  if (at >= 0 && (at * 24 < list.scrollTop || at * 24 + 24 > list.scrollTop + list.clientHeight)) list.scrollTop = at * 24 - list.clientHeight / 2;
  drawList();
  chart.draw();
}

function flagLink(name) {
  return el("a", {className: "link", textContent: name, title: "Hooks in which it changed", onclick: () => setFilter("flag:" + quoted(name))});
}

function handlerLink(name, h) {
  const a = el("a", {className: "link handler", textContent: name, title: "Show it among the flags", onclick: () => showNode("h:" + name, graphOf(h))});
  return graphOf(h) && graphOf(h).handlers.some(x => x.name === name) ? a : el("span", {className: "handler", textContent: name});
}

function showDetail(h) {
  const parts = [];
  const graph = graphOf(h), ran = h.steps.filter(s => !s.flag);
  parts.push(el("h2", {textContent: title(h)}));
  const when = h.at ? new Date(h.at).toISOString().replace("T", " ").replace(/\.?0*Z$/, "") : "";
  parts.push(el("div", {className: "meta"},
    el("a", {className: "link", textContent: h.unit, onclick: () => setFilter("unit:" + h.unit)}),
    " · " + [when, millis(h.ms), h.leader === true ? "leader" : h.leader === false ? "not the leader" : null,
      h.calls ? h.calls + " hook tools, " + size(h.bytes || 0) : null].filter(Boolean).join(" · ")));
  if (outcome(h) === "failed") parts.push(el("p", {className: "bad", textContent: "Failed; nothing of it was kept" + (h.error ? ": " + h.error : ".")}));
  if (outcome(h) === "killed") parts.push(el("p", {className: "warn", textContent: "Killed; nothing of it was kept, and it runs again."}));
  if (h.status) parts.push(el("p", {textContent: "Ended with status " + h.status}));

  if (h.steps.length) {
    parts.push(el("h3", {textContent: "What happened"}));
    const list = el("ul", {className: "steps"});
    let phase = null;
    for (const s of h.steps) {
      const now = s.phase === "flags" ? "round " + ((s.round || 0) + 1) + " of flag handlers" : s.phase === "hooks" ? "handlers of the hook" : s.phase === "start" ? "before any handler" : s.phase;
      if (now !== phase) { list.append(el("li", {className: "round", textContent: now})); phase = now; }
      if (s.flag) {
        list.append(el("li", {className: "change"}, el("span", {className: s.set ? "set" : "clear", textContent: s.set ? "set " : "cleared "}), flagLink(s.flag),
          s.trigger ? el("span", {className: "meta", textContent: " by the trigger of " + s.trigger}) : null));
      } else {
        list.append(el("li", {}, "▸ ", handlerLink(s.handler || "", h), el("span", {className: "meta", textContent: "  " + millis((s.duration || 0) / 1e6)}),
          s.error ? el("div", {className: "bad", textContent: s.error}) : null));
      }
    }
    parts.push(list);
  } else if (h.flags) {
    parts.push(el("p", {className: "hint", textContent: "No handler ran and no flag changed."}));
  }

  if (graph && h.flags) {
    const idle = graph.handlers.filter(x => !ran.some(s => s.handler === x.name));
    if (idle.length) {
      parts.push(el("h3", {textContent: "What did not run, and why"}));
      const table = el("table", {className: "why"});
      for (const x of idle) table.append(el("tr", {}, el("td", {}, handlerLink(x.name, h)), el("td", {textContent: whyNot(x, h)})));
      parts.push(table);
    }
  }
  if ((h.changed || []).length) {
    parts.push(el("h3", {textContent: "What Juju committed"}), el("ul", {className: "plain"}, ...h.changed.map(c => el("li", {textContent: c}))));
  }
  if ((h.tools || []).length) parts.push(...showTools(h.tools));
  if ((h.flags || []).length) {
    const list = el("ul", {className: "plain"});
    for (const f of h.flags) list.append(el("li", {}, flagLink(f)));
    parts.push(el("h3", {textContent: "Flags at the beginning"}), el("details", {open: h.flags.length <= 12}, el("summary", {textContent: h.flags.length + " set"}), list));
  }
  $("detail").replaceChildren(...parts);
  $("detail").scrollTop = 0;
}

function showTools(tools) {
  const sums = new Map();
  for (const t of tools) {
    const s = sums.get(t.tool) || {n: 0, bytes: 0, time: 0, bad: 0};
    s.n++; s.bytes += (t.in || 0) + (t.out || 0); s.time += t.duration || 0; s.bad += t.code ? 1 : 0;
    sums.set(t.tool, s);
  }
  const head = el("tr", {}, ...["hook tool", "calls", "bytes", "time", ""].map((x, i) => el("th", {className: i ? "num" : "", textContent: x})));
  const table = el("table", {}, head);
  for (const [tool, s] of sums) {
    table.append(el("tr", {}, el("td", {}, el("code", {textContent: tool})), el("td", {className: "num", textContent: s.n}),
      el("td", {className: "num", textContent: size(s.bytes)}), el("td", {className: "num", textContent: millis(s.time / 1e6)}),
      el("td", {className: "bad", textContent: s.bad ? s.bad + " failed" : ""})));
  }
  const each = el("table", {});
  for (const t of tools) {
    each.append(el("tr", {}, el("td", {}, el("code", {textContent: [t.tool, ...(t.args || [])].join(" ")})),
      el("td", {className: "num", textContent: size((t.in || 0) + (t.out || 0))}), el("td", {className: "num", textContent: millis((t.duration || 0) / 1e6)}),
      el("td", {className: "bad", textContent: t.code ? "exit " + t.code : ""})));
  }
  return [el("h3", {textContent: "Hook tools"}), table, el("details", {}, el("summary", {textContent: "one by one"}), each)];
}

// ---- why -------------------------------------------------------------------

function holds(e, set) {
  switch (e.op) {
  case "flag": return set.has(e.flag);
  case "not": return !holds(e.parts[0], set);
  case "and": return (e.parts || []).every(p => holds(p, set));
  default: return (e.parts || []).some(p => holds(p, set));
  }
}

// blockers returns the flags that keep e from being want.
function blockers(e, set, want, out) {
  if (holds(e, set) === want) return out;
  if (e.op === "flag") { out.push({flag: e.flag, set: set.has(e.flag)}); return out; }
  if (e.op === "not") return blockers(e.parts[0], set, !want, out);
  for (const p of e.parts || []) blockers(p, set, want, out);
  return out;
}

function flagsAfter(h) {
  const set = new Set(h.flags);
  for (const s of h.steps) if (s.flag) { if (s.set) set.add(s.flag); else set.delete(s.flag); }
  return set;
}

function whyNot(x, h) {
  const event = h.hook.replace(/^actions?[ /]/, "");
  const set = flagsAfter(h);
  for (const c of x.on || []) {
    if (["hook", "action", "restricted"].includes(c.kind) && !(c.hooks || []).includes(event)) return "it waits for " + c.text + "; this was " + h.hook;
    if (c.kind === "leader" && h.leader === false) return "this unit was not the leader";
    if (c.kind === "flags" && c.expr && !holds(c.expr, set)) {
      const seen = new Map(blockers(c.expr, set, true, []).map(b => [b.flag, b.set]));
      const text = [...seen].map(([f, on]) => f + (on ? " was set" : " was not set"));
      return text.length ? text.join(c.expr.op === "or" ? " and " : ", ") : "it never holds";
    }
  }
  if (outcome(h)) return "the hook ended before its turn";
  if (h.status) return "a handler ended the hook before its turn";
  for (const c of x.on || []) {
    if (c.kind === "once") return "it had run before in the unit's life";
    if (c.kind === "files") return "no change of its files";
    if (c.kind === "leader") return "this unit was not the leader";
  }
  return "what it waits for came only after its turn";
}

// ---- graph -----------------------------------------------------------------

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

function links(g) {
  if (g.links) return g.links;
  const list = [];
  for (const x of g.handlers) {
    for (const c of x.on || []) if (c.expr) for (const [f, want] of polarity(c.expr, true, [])) list.push({flag: f, handler: x.name, kind: want ? "needs" : "lacks"});
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
  const flags = new Map((g.flags || []).map(f => [f.name, f.source || ""]));
  for (const l of all) if (!flags.has(l.flag)) flags.set(l.flag, "");
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
  for (const f of shownFlags) {
    const s = flags.get(f) || "the charm's own";
    if (!groups.has(s)) groups.set(s, []);
    groups.get(s).push(f);
  }
  const root = $("svg"), boxes = [], wires = [], places = new Map();
  const rowHeight = 28, top = 34, longest = list => Math.min(340, Math.max(120, ...list.map(s => s.length * 6.9 + 20)));
  const wf = longest(shownFlags), wh = longest(shownHandlers.map(x => x.name)), gap = 200;
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
    const x1 = a.x + a.w, y1 = a.y + 11 + (l.kind === "does" ? 5 : 0), x2 = b.x, y2 = b.y + 11 + (l.kind === "does" ? 5 : 0);
    const p = svg("path", {class: l.kind, d: `M${x1},${y1} C${x1 + gap / 2},${y1} ${x2 - gap / 2},${y2} ${x2},${y2}`});
    p.append(svg("title", {}, l.kind === "needs" ? l.handler + " waits for " + l.flag : l.kind === "lacks" ? l.handler + " waits until " + l.flag + " is not set" :
      l.handler + (l.how.sets && l.how.clears ? " sets and clears " : l.how.sets ? " sets " : " clears ") + l.flag));
    wires.push(p);
  }
  for (const [id, p] of places) {
    const name = id.slice(2), shown = name.length * 6.9 + 16 > p.w ? name.slice(0, Math.floor((p.w - 24) / 6.9)) + "…" : name;
    const b = svg("g", {class: "box " + (id[0] === "h" ? "hnd" : "flg") + (id === node ? " picked" : ""), tabindex: 0, "data-id": id},
      svg("rect", {x: p.x, y: p.y, width: p.w, height: 22, rx: id[0] === "h" ? 4 : 11}), svg("text", {x: p.x + 9, y: p.y + 15}, shown), svg("title", {}, name));
    b.addEventListener("click", e => { e.stopPropagation(); node = node === id ? null : id; drawGraph(); });
    b.addEventListener("keydown", e => { if (e.key === "Enter") { node = node === id ? null : id; drawGraph(); } });
    boxes.push(b);
  }
  const heads = [svg("text", {x: 16, y: 20, class: "group"}, "FLAGS"), svg("text", {x: 16 + wf + gap, y: 20, class: "group"}, "HANDLERS")];
  root.replaceChildren(...wires, ...heads, ...boxes);
  showNodeDetail(g, all, flags);
}

function showNodeDetail(g, all, flags) {
  const out = [];
  if (graphs.length > 1) {
    const choose = el("select", {onchange: e => { graph = graphs[e.target.value]; node = null; drawGraph(); }},
      ...graphs.map((x, i) => el("option", {value: i, textContent: x.charm, selected: x === g})));
    out.push(el("p", {}, "charm ", choose));
  }
  const go = (id, text) => el("a", {className: "link" + (id[0] === "h" ? " handler" : ""), textContent: text, onclick: () => { node = id; drawGraph(); }});
  const listOf = (heading, list) => list.length ? [el("h3", {textContent: heading}), el("ul", {className: "plain"}, ...list.map(x => el("li", {}, x)))] : [];
  const name = node && node.slice(2);
  if (!node) {
    out.push(el("h2", {textContent: g.charm}), el("p", {className: "meta", textContent: g.handlers.length + " handlers, " + flags.size + " flags"}),
      el("p", {className: "hint", textContent: "Click a handler or a flag to see only what it is tied to; click it again, or beside it, to see all."}),
      el("ul", {className: "plain"}, el("li", {className: "set", textContent: "─── waits for the flag"}), el("li", {className: "clear", textContent: "╌╌╌ waits until it is not set"}),
        el("li", {className: "handler", textContent: "··· sets or clears it"})));
  } else if (node[0] === "h") {
    const x = g.handlers.find(x => x.name === name);
    out.push(el("h2", {textContent: name}));
    if (x) out.push(el("p", {textContent: "waits for " + x.when}), x.place ? el("p", {className: "meta"}, el("code", {textContent: x.place})) : null);
    const did = [...(effects(g).get(name) || [])];
    out.push(...listOf("Changes", did.map(([f, how]) => el("span", {}, el("span", {className: how.sets ? "set" : "clear", textContent: how.sets && how.clears ? "sets, clears " : how.sets ? "sets " : "clears "}), go("f:" + f, f)))));
    out.push(...runsOf(g, name));
  } else {
    out.push(el("h2", {textContent: name}), el("p", {className: "meta", textContent: flags.get(name) ? "set by " + flags.get(name) : "the charm's own flag"}));
    const waits = kind => all.filter(l => l.flag === name && l.kind === kind).map(l => go("h:" + l.handler, l.handler));
    out.push(...listOf("Waited for by", waits("needs")), ...listOf("Must not be set for", waits("lacks")));
    out.push(...listOf("Changed by", all.filter(l => l.flag === name && l.kind === "does").map(l => go("h:" + l.handler, l.handler))));
    const triggers = (g.triggers || []).filter(t => [t.when, t.when_not, ...(t.set || []), ...(t.clear || [])].includes(name));
    out.push(...listOf("Triggers", triggers.map(t => el("span", {}, t.when ? "when set: " : "when cleared: ", go("f:" + (t.when || t.when_not), t.when || t.when_not),
      ...(t.set || []).flatMap(f => [" sets ", go("f:" + f, f)]), ...(t.clear || []).flatMap(f => [" clears ", go("f:" + f, f)])))));
    if (hooks.length) out.push(el("p", {}, el("a", {className: "link", textContent: "hooks in which it changed", onclick: () => { setFilter("flag:" + quoted(name)); tab("timeline"); }})));
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
    el("p", {}, el("a", {className: "link", textContent: "show them", onclick: () => { setFilter("handler:" + quoted(name)); tab("timeline"); pick(last.i, true); }}))];
}

// ---- page ------------------------------------------------------------------

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
    if (e.target.tagName === "INPUT" || e.ctrlKey || e.metaKey || e.altKey) return;
    const keys = {ArrowRight: () => sibling(1), ArrowLeft: () => sibling(-1), n: () => step(1), p: () => step(-1),
      "+": () => chart.zoom(0.6), "-": () => chart.zoom(1 / 0.6), 0: () => chart.fit(), "/": () => $("filter").focus(),
      Escape: () => { node = null; setFilter(""); }};
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
  applyFilter();
  document.body.dataset.ready = "true";
}).catch(err => {
  $("detail").replaceChildren(el("p", {className: "bad", textContent: "This page cannot be shown: " + err}));
  throw err;
});
})();
