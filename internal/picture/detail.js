// One hook: what ran in it, what did not, and why.

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
  return link(name, () => setFilter("flag:" + quoted(name)), {title: "Hooks in which it changed"});
}

function handlerLink(name, h) {
  const g = graphOf(h);
  return handlerOf(name, g) ? nodeLink(name, g) : el("span", {className: "handler", textContent: name});
}

const handlerOf = (name, g) => g && g.handlers.find(x => x.name === name);
const nodeLink = (name, g) => link(name, () => showNode("h:" + name, g), {className: "handler", title: "Show it among the flags"});
const hookLink = h => link(h.unit + " " + title(h), () => pick(h.i, true));

// showOverview says what stands out, as long as no hook is picked.
function showOverview() {
  picked = -1;
  const sum = f => hooks.reduce((n, h) => n + f(h), 0), calls = sum(h => h.calls || 0);
  const parts = [el("h2", {textContent: hooks.length + (hooks.length === 1 ? " hook" : " hooks") + " of " + units.length + (units.length === 1 ? " unit" : " units")})];
  parts.push(el("div", {className: "meta", textContent: [millis(sum(h => h.ms)) + " in hooks", calls ? calls + " hook tools, " + size(sum(h => h.bytes || 0)) : null].filter(Boolean).join(" · ")}));
  const section = (heading, items) => { if (items.length) parts.push(el("h3", {textContent: heading}), el("ul", {className: "plain"}, ...items.map(x => el("li", {}, ...x)))); };
  for (const kind of ["failed", "killed"]) {
    const list = hooks.filter(h => outcome(h) === kind);
    const items = list.slice(0, 5).map(h => [hookLink(h), h.error ? el("span", {className: "bad", textContent: "  " + h.error}) : ""]);
    if (list.length > 5) items.push([link("all " + list.length, () => { setFilter(kind); step(1); })]);
    section(kind === "failed" ? "Failed" : "Killed, and run again", items);
  }
  for (const g of graphs) {
    const ran = new Set();
    let any = false;
    for (const h of hooks) if (graphOf(h) === g) { any = true; for (const s of h.steps) if (!s.flag) ran.add(s.handler); }
    const idle = any ? g.handlers.filter(x => !ran.has(x.name)) : [];
    section("Never ran" + (graphs.length > 1 ? " in " + g.charm : ""), idle.map(x => [nodeLink(x.name, g), el("span", {className: "meta", textContent: "  waits for " + x.when})]));
  }
  section("Slowest", [...hooks].sort((a, b) => b.ms - a.ms).slice(0, 3).map(h => [hookLink(h), el("span", {className: "meta", textContent: "  " + millis(h.ms)})]));
  const keys = [["← →", "the hook before or after on its unit"], ["n p", "the next or previous match"], ["/", "filter"], ["+ - 0", "zoom"], ["t", "by time"], ["Esc", "back to this"]];
  parts.push(el("p", {className: "keys"}, "Click a hook to see what ran in it, what did not, and why. Scroll to zoom, drag to move. ", ...keys.flatMap(([k, what]) => [el("kbd", {textContent: k}), " " + what + "  "])));
  $("detail").replaceChildren(...parts);
}

function showDetail(h) {
  const parts = [];
  const graph = graphOf(h), ran = h.steps.filter(s => !s.flag);
  parts.push(el("h2", {textContent: title(h)}));
  const when = h.at ? new Date(h.at).toISOString().replace("T", " ").replace(/\.?0*Z$/, "") : "";
  parts.push(el("div", {className: "meta"},
    link(h.unit, () => setFilter("unit:" + h.unit), {title: "Hooks of this unit"}),
    " · " + [when, millis(h.ms), h.leader === true ? "leader" : h.leader === false ? "not the leader" : null,
      h.calls ? h.calls + " hook tools, " + size(h.bytes || 0) : null].filter(Boolean).join(" · ")));
  if (outcome(h) === "failed") parts.push(el("p", {className: "bad", textContent: "Failed; nothing of it was kept" + (h.error ? ": " + h.error : ".")}));
  if (outcome(h) === "killed") parts.push(el("p", {className: "warn", textContent: "Killed; nothing of it was kept, and it runs again."}));
  if (h.status) parts.push(el("p", {textContent: "Ended with status " + h.status}));

  if (h.steps.length) {
    parts.push(el("h3", {textContent: "What happened"}));
    const list = el("ul", {className: "steps"});
    let phase = null;
    const set = new Set(h.flags), atRound = new Set(h.flags);
    for (const s of h.steps) {
      const now = s.phase === "flags" ? "round " + ((s.round || 0) + 1) + " of flag handlers" : s.phase === "hooks" ? "handlers of the hook" : s.phase === "start" ? "before any handler" : s.phase;
      if (now !== phase) {
        list.append(el("li", {className: "round", textContent: now}));
        phase = now;
        atRound.clear();
        set.forEach(f => atRound.add(f));
      }
      if (s.flag) {
        change(set, s);
        list.append(el("li", {className: "change"}, el("span", {className: s.set ? "set" : "clear", textContent: s.set ? "set " : "cleared "}), flagLink(s.flag),
          s.trigger ? el("span", {className: "meta", textContent: " by the trigger of " + s.trigger}) : null));
      } else {
        list.append(el("li", {}, "▸ ", handlerLink(s.handler || "", h), el("span", {className: "meta", textContent: "  " + millis((s.duration || 0) / 1e6)}),
          because(handlerOf(s.handler, graph), set, atRound), s.error ? el("div", {className: "bad", textContent: s.error}) : null));
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

// reasons returns the flags because of which e is want.
function reasons(e, set, want, out) {
  if (holds(e, set) !== want) return out;
  if (e.op === "flag") out.push(e.flag + (want ? " is set" : " is not set"));
  else if (e.op === "not") reasons(e.parts[0], set, !want, out);
  else for (const p of e.parts || []) reasons(p, set, want, out);
  return out;
}

const kinds = {hook: "the hook is its own", restricted: "the hook is its own", action: "the action is its own", once: "it had not run before", every: "it runs in every hook", files: "its files changed"};

// because says why a handler ran: what it waits for, and which flags there
// were before it, or when its round began.
function because(x, set, atRound) {
  if (!x) return null;
  const parts = [];
  for (const c of x.on || []) {
    if (c.expr) parts.push(...new Set(reasons(c.expr, holds(c.expr, set) ? set : atRound, true, [])));
    else parts.push(kinds[c.kind] || c.text);
  }
  return parts.length ? el("div", {className: "because", textContent: "because " + parts.join(" and ")}) : null;
}

// roundsOf returns the rounds of flag handlers: the flags at the beginning of
// each, and what happened in it. In the last one nothing did.
function roundsOf(h) {
  const set = new Set(h.flags), rounds = [];
  const begin = () => rounds.push({set: new Set(set), steps: []});
  let last = -1;
  for (const s of h.steps) {
    if (s.phase === "end") break;
    if (s.phase === "flags") {
      const round = s.round || 0;
      if (round !== last) { begin(); last = round; }
      rounds.at(-1).steps.push(s);
    }
    change(set, s);
  }
  begin();
  return rounds;
}

function change(set, s) {
  if (s.flag) { if (s.set) set.add(s.flag); else set.delete(s.flag); }
}

const restricted = h => ["collect-metrics", "meter-status-changed"].includes(h.hook);

// whyNot says what kept a handler from running, as "explain" does.
function whyNot(x, h) {
  const event = h.hook.replace(/^actions?[ /]/, ""), on = x.on || [];
  if (restricted(h) && !on.some(c => c.kind === "restricted")) return "in this restricted hook only its own handlers run";
  for (const c of on) {
    if (["hook", "action", "restricted"].includes(c.kind) && !(c.hooks || []).includes(event)) return "it waits for " + c.text + "; this was " + h.hook;
    if (c.kind === "leader" && h.leader === false) return "this unit was not the leader";
    const blocked = c.kind === "flags" && c.expr && flagsBlock(c.expr, h);
    if (blocked) return blocked;
  }
  if (outcome(h)) return "the hook ended before its turn";
  if (h.status) return "a handler ended the hook before its turn";
  for (const c of on) {
    if (c.kind === "once") return "it had run before in the unit's life";
    if (c.kind === "files") return "no change of its files";
    if (c.kind === "leader") return "this unit was not the leader";
  }
  return "what it waits for came only after its turn";
}

// flagsBlock says why a condition over flags never held when the handler could
// have run, or nothing if it did.
function flagsBlock(e, h) {
  const rounds = roundsOf(h), round = rounds.find(r => holds(e, r.set));
  if (!round) {
    const seen = new Map(blockers(e, rounds.at(-1).set, true, []).map(b => [b.flag, b.set]));
    const text = [...seen].map(([f, on]) => f + (on ? " was set" : " was not set"));
    return text.length ? text.join(e.op === "or" ? " and " : ", ") : "it never holds";
  }
  // It was queued. A handler before it may have changed that.
  const set = new Set(round.set);
  for (const s of round.steps) {
    change(set, s);
    if (s.flag && !holds(e, set)) return s.handler + " " + (s.set ? "set " : "cleared ") + s.flag + " before its turn";
  }
  return "";
}
