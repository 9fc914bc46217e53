"use strict";
// The page of sidecar-init. All that comes from daemons is put in as text.
const $ = id => document.getElementById(id);
const fragment = new URLSearchParams(location.hash.slice(1));
const token = new URLSearchParams(location.search).get("token") || fragment.get("token") || "";
const headers = token ? { "X-Sidecar-Init-Token": token } : {};
const maxLines = 2000, maxEvents = 500;
let state = null, view = "daemons";

function el(name, text, cls) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (cls) e.className = cls;
  return e;
}
function cell(row, label, text, cls) {
  const td = el("td", text, cls);
  if (label) td.dataset.label = label;
  row.append(td);
  return td;
}
const span = s => {
  s = Math.floor(s);
  const m = Math.floor(s / 60), h = Math.floor(s / 3600), d = Math.floor(s / 86400);
  return d ? `${d}d${h % 24}h` : h ? `${h}h${m % 60}m` : m ? `${m}m${s % 60}s` : `${s}s`;
};
const ago = t => t ? span(Math.max(0, (Date.now() - new Date(t)) / 1000)) + " ago" : "";
const size = n => n >= 1 << 30 ? (n / (1 << 30)).toFixed(1) + " GiB" : n >= 1 << 20 ? (n / (1 << 20)).toFixed(1) + " MiB" : (n >> 10) + " KiB";
const colour = s => ({ running: "good", ready: "good", unhealthy: "bad", "gave-up": "bad", backoff: "bad", exited: "off", stopped: "off", scheduled: "off" })[s] || "mid";
const end = e => !e ? "" : (e.signal || "code " + e.code) + (e.time ? ", " + ago(e.time) : "");

function note(text) { $("note").textContent = text || ""; }

async function get(path, options) {
  const answer = await fetch(path, { headers, ...options });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error || answer.statusText);
  return body;
}

// Daemons and jobs.
function drawDaemons() {
  const filter = $("names").value, rows = [];
  for (const d of state.daemons) {
    if (!d.name.includes(filter)) continue;
    const tr = el("tr");
    const link = el("button", d.name, "link");
    link.title = "its log";
    link.onclick = () => { show("log"); choose(d.name); };
    cell(tr).append(link);
    cell(tr, "", d.state, colour(d.state));
    cell(tr, "PID", d.pid || "");
    cell(tr, "up", d.pid ? span(d.uptime) : "");
    cell(tr, "restarts", String(d.restarts));
    cell(tr, "last end", end(d.last_exit));
    cell(tr, "CPU", d.pid ? d.cpu.toFixed(2) + " s" : "");
    cell(tr, "memory", d.pid ? size(d.rss) : "");
    const td = cell(tr, "", undefined, "do");
    for (const action of d.pid ? ["restart", "stop"] : ["start"]) {
      const b = el("button", action);
      b.setAttribute("aria-label", action + " " + d.name);
      b.onclick = () => act(action, d.name);
      td.append(b);
    }
    rows.push(tr);
    if (d.reason) {
      tr.className = "first";
      const more = el("tr", undefined, "more");
      const td = cell(more, "", d.reason, "reason");
      td.colSpan = 9;
      rows.push(more);
    }
  }
  $("rows").replaceChildren(...rows);
}
function drawJobs() {
  const rows = (state.jobs || []).map(j => {
    const tr = el("tr");
    cell(tr, "", j.name);
    cell(tr, "", j.state);
    cell(tr, "schedule", (j.schedule || []).map(s => s.cron + " " + s.timezone).join(", ") || "by hand");
    cell(tr, "last run", j.last ? j.last.result + " " + ago(j.last.ended) : "", j.last && j.last.result === "failed" ? "bad" : "");
    cell(tr, "next run", j.next ? "in " + span(Math.max(0, (new Date(j.next) - Date.now()) / 1000)) : "");
    return tr;
  });
  if (!rows.length) { const tr = el("tr"); cell(tr, "", "there are no jobs", "off"); rows.push(tr); }
  $("jobrows").replaceChildren(...rows);
}
function drawNames() {
  const had = $("who").value, names = state.daemons.map(d => d.name).concat("sidecar-init");
  if (names.join("\n") === [...$("who").options].map(o => o.value).join("\n")) return;
  $("who").replaceChildren(...names.map(n => el("option", n)));
  $("who").value = names.includes(had) ? had : names[0];
}
async function refresh() {
  try {
    state = await get("/api/state");
    const h = state.health, name = state.bundle && state.bundle.name;
    $("title").textContent = name ? name + " · sidecar-init" : "sidecar-init";
    document.title = $("title").textContent;
    document.body.classList.toggle("actions", state.actions && token !== "");
    $("health").className = h.healthy ? "good" : "bad";
    $("health").textContent = h.healthy ? `all ${state.daemons.length} daemons are well` : "not well: " + h.problems.map(p => p.name + " (" + p.state + ")").join(", ");
    if (state.bundle && state.bundle.changed) $("health").textContent += "; the bundle file has changed";
    drawDaemons(); drawJobs(); drawNames();
  } catch (e) {
    $("health").className = "bad";
    $("health").textContent = "no answer: " + e.message + "; trying again";
  }
}
let due = null;
function soon() { due = due || setTimeout(() => { due = null; refresh(); }, 200); }

// Streams of one JSON object a line. They begin anew when they end.
async function stream(path, take, signal) {
  const answer = await fetch(path, { headers, signal });
  if (!answer.ok) throw new Error((await answer.json()).error);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    take(lines.filter(l => l).map(l => JSON.parse(l)));
  }
}
const seen = new Set();
async function events() {
  for (; ;) {
    try {
      await stream("/api/events", all => {
        for (const e of all) {
          if (seen.has(e.id)) continue;
          seen.add(e.id);
          if (e.type.endsWith(".restarting") && e.data.next_delay) continue; // the end before it says so
          const li = el("li"), d = e.data;
          const t = el("time", new Date(e.time).toLocaleTimeString());
          t.dateTime = e.time;
          const kind = e.type.slice(e.type.lastIndexOf(".") + 1);
          let text = `${e.subject || "bundle"} ${kind}`;
          if (d.signal) text += (e.type.endsWith(".signalled") ? " with " : " by ") + d.signal; else if (d.code !== null && d.code !== undefined) text += " with code " + d.code;
          if (d.oom) text += ", killed by the OOM killer";
          if (d.next_delay !== null && d.next_delay !== undefined) text += `, restarting in ${d.next_delay.toFixed(1)} s`;
          if (d.reason) text += ": " + d.reason;
          li.append(t, el("span", text, d.cause === "unexpected" && (d.signal || d.code) ? "bad" : ""));
          if (d.log) li.append(el("pre", d.log.join("\n")));
          $("list").prepend(li);
          while ($("list").children.length > maxEvents) $("list").lastChild.remove();
        }
        soon();
      });
    } catch (e) { /* the next try says it */ }
    soon();
    await new Promise(r => setTimeout(r, 2000));
  }
}

// The log of one daemon.
let lines = [], following = null;
function drawLog() {
  const grep = $("grep").value, pre = $("lines");
  pre.textContent = lines.filter(l => l.includes(grep)).join("\n");
  if ($("follow").checked) pre.scrollTop = pre.scrollHeight;
}
let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; drawLog(); });
}
async function choose(name) {
  $("who").value = name;
  if (following) following.abort();
  const mine = following = new AbortController();
  while (!mine.signal.aborted) {
    lines = [];
    try {
      await stream("/api/logs/" + encodeURIComponent(name), all => {
        if (mine.signal.aborted) return;
        for (const l of all) lines.push(l.lost ? `… ${l.lost} lines are missing here` : l.line);
        if (lines.length > maxLines) lines = lines.slice(-maxLines);
        drawSoon();
      }, mine.signal);
    } catch (e) { if (!mine.signal.aborted) note(e.message); }
    await new Promise(r => setTimeout(r, 2000));
  }
}

// Actions are asked first.
async function act(action, name) {
  $("question").textContent = `${action} ${name}?`;
  $("ask").returnValue = "no";
  $("ask").showModal();
  await new Promise(r => $("ask").addEventListener("close", r, { once: true }));
  if ($("ask").returnValue !== "yes") return;
  try {
    await get(`/api/daemons/${encodeURIComponent(name)}/${action}`, { method: "POST" });
    note("");
  } catch (e) { note(e.message); }
  refresh();
}

async function plan() {
  const box = $("steps");
  try {
    const p = await get("/api/plan");
    const parts = (p.problems || []).map(x => el("p", x, "bad"));
    if (p.steps && p.steps.length) {
      const ul = el("ul");
      for (const s of p.steps) ul.append(el("li", `${s.action} ${s.name}: ${(s.causes || []).join(", ")}`));
      parts.push(ul);
    } else if (!parts.length) parts.push(el("p", "nothing: the files say what runs"));
    for (const n of p.notes || []) parts.push(el("p", n, "mid"));
    box.replaceChildren(...parts);
  } catch (e) { box.replaceChildren(el("p", e.message, "bad")); }
}
function picture() { $("picture").src = "/api/timeline.svg?" + new URLSearchParams({ at: Date.now() }); }

function show(name) {
  view = name;
  for (const b of document.querySelectorAll("nav button")) b.setAttribute("aria-pressed", String(b.dataset.view === name));
  for (const s of document.querySelectorAll("main > section")) s.hidden = s.id !== name;
  if (name === "timeline") picture();
  if (name === "reload") plan();
  if (name === "log" && !following && $("who").value) choose($("who").value);
}
for (const b of document.querySelectorAll("nav button")) b.onclick = () => show(b.dataset.view);
$("names").oninput = () => state && drawDaemons();
$("grep").oninput = drawLog;
$("who").onchange = () => choose($("who").value);
$("again").onclick = picture;
$("dry").onclick = plan;
if ($(fragment.get("view") || "") instanceof HTMLElement && document.querySelector(`nav [data-view="${CSS.escape(fragment.get("view"))}"]`)) show(fragment.get("view"));
refresh().then(() => view === "log" && !following && $("who").value && choose(fragment.get("daemon") || $("who").value));
setInterval(refresh, 3000);
events();
