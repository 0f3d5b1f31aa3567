// The data of the page, and the filter over it.

const $ = id => document.getElementById(id);
const el = (tag, props, ...kids) => {
  const e = Object.assign(document.createElement(tag), props || {});
  e.append(...kids.filter(k => k !== null && k !== undefined));
  return e;
};
// link is a button that looks like one: a keyboard reaches it.
const link = (text, onclick, props) => el("button", {type: "button", textContent: text, onclick, ...props, className: "link " + (props && props.className || "")});
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

let hooks = [], graphs = [], units = [], rows = new Map();
let shown = [];                        // the units in the timeline: those with matches
let matches = [], matched = null;      // indexes of hooks; a Uint8Array or null for all
let picked = -1;

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
  if (window.innerWidth > 760) $("timeline").style.gridTemplateRows = "min(42%, " + Math.max(120, units.length * chart.row + chart.head + 44) + "px) 1fr";
  const longest = Math.max(4, ...units.map(u => u.length));
  $("list").style.setProperty("--unit", Math.min(longest, 22) + "ch");
  chart.gutter = Math.min(Math.max(70, longest * 7 + 24), Math.max(90, window.innerWidth / 5));
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

const tests = {
  // Of a whole name web/1 only that unit is meant, not web/10.
  unit: (h, v) => /\/\d+$/.test(v) ? h.unit === v : h.unit.includes(v),
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
