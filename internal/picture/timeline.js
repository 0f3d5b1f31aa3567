// The list of hooks, and the timeline: units as rows, hooks as bars.

function drawList() {
  const list = $("list"), top = Math.max(0, Math.floor(list.scrollTop / 24) - 5);
  const n = Math.min(matches.length - top, Math.ceil(list.clientHeight / 24) + 12);
  const items = [];
  for (let k = top; k < top + n; k++) {
    const h = hooks[matches[k]];
    items.push(el("li", {
      className: outcome(h) + (h.i === picked ? " picked" : ""), ariaCurrent: h.i === picked ? "true" : null, onclick: () => pick(h.i, true),
    },
    el("span", {className: "n", textContent: h.i + 1}), el("span", {textContent: h.unit}),
    el("span", {textContent: title(h), title: title(h)}), el("span", {className: "ms", textContent: millis(h.ms)})));
  }
  $("rows").style.top = top * 24 + "px";
  $("rows").replaceChildren(...items);
}

function millis(ms) {
  if (ms >= 999.5) return (ms / 1000).toFixed(1) + " s";
  if (ms < 0.1) return (ms * 1000).toFixed(0) + " µs";
  return ms.toFixed(ms >= 9.95 ? 0 : 1) + " ms";
}

const size = n => n >= 1e6 ? (n / 1e6).toFixed(1) + " MB" : n >= 1e3 ? (n / 1e3).toFixed(1) + " kB" : n + " B";

const chart = {
  gutter: 120, row: 30, head: 22,
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
      if (y > this.head - this.row) g.fillText(clipFront(g, shown[r], this.gutter - 14), 8, y + this.row / 2);
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
      g.globalAlpha = on && !out && h.flags && !h.steps.some(s => !s.flag) ? 0.45 : 1;
      g.fillRect(x, y + 3, w, this.row - 7);
      g.globalAlpha = 1;
      if (on && w > 24) this.paintHandlers(g, c, h, x, w, y);
      if (h.i === picked) {
        g.strokeStyle = c.pick;
        g.lineWidth = 2;
        g.strokeRect(x, y + 3, w, this.row - 7);
        g.lineWidth = 1;
      }
      if (w > 60) {
        g.fillStyle = !on ? c.soft : h.flags && !h.steps.some(s => !s.flag) && !out ? c.text : "#fff";
        const tall = h.steps.length ? 11 : this.row / 2;
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

// clipFront keeps the end of a unit's name: its number.
function clipFront(g, text, width) {
  let from = 0;
  while (from < text.length && g.measureText((from ? "…" : "") + text.slice(from)).width > width) from++;
  return from ? "…" + text.slice(from) : text;
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
    $("axis").setAttribute("aria-pressed", String(chart.byTime));
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
  const w = $("plot").clientWidth, hgt = $("plot").clientHeight;
  t.style.left = Math.min(e.offsetX + 14, w - t.offsetWidth - 4) + "px";
  t.style.top = (e.offsetY + 14 + t.offsetHeight > hgt ? Math.max(0, e.offsetY - t.offsetHeight - 10) : e.offsetY + 14) + "px";
}
