// What pages do beyond being read. Without it everything can still be read and followed.

const typing = (event) => event.target.closest("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event)) { event.target.blur(); return; }
  if (typing(event) || document.querySelector("dialog[open]")) return;
  const follow = (relation) => document.querySelector(`link[rel=${relation}]`)?.href;
  const action = {
    "/": () => document.querySelector("#q")?.focus(),
    "ArrowLeft": () => { const to = follow("prev"); if (to) location = to; },
    "ArrowRight": () => { const to = follow("next"); if (to) location = to; },
    "?": help,
  }[event.key];
  if (action) { event.preventDefault(); action(); }
});

function dialog(build) {
  const box = document.createElement("dialog");
  build(box);
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => box.close());
  box.append(close);
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

function help() {
  dialog((box) => {
    box.setAttribute("aria-label", "Keys");
    const keys = { "/": "search", "← →": "previous, next", "Esc": "leave a field, close a window", "?": "this help" };
    if (document.getElementById("answer")) Object.assign(keys, { "1 2 3": "accept a label", "o": "another word", "n": "not interpretable", "u": "unsure", "s": "show hidden labels", "b": "back", "z": "take back the last answer" });
    const list = document.createElement("dl");
    list.className = "trust";
    for (const [key, what] of Object.entries(keys)) {
      const row = document.createElement("div"), name = document.createElement("dt"), said = document.createElement("dd");
      name.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      said.textContent = what;
      row.append(name, said);
      list.append(row);
    }
    box.append(list);
  });
}

// Pictures open large.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.enlarge");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  dialog((box) => {
    const image = link.querySelector("img");
    box.setAttribute("aria-label", image.alt);
    box.append(Object.assign(document.createElement("img"), { src: link.href, alt: image.alt }));
    box.append(Object.assign(document.createElement("p"), { textContent: image.alt, className: "pale" }));
  });
});

// Texts to copy.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  });
}

// Tables: sort by a click on a heading, show only some rows.
const value = (row, column) => {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replaceAll(",", ""));
  return text === "" ? null : Number.isNaN(number) ? text.toLowerCase() : number;
};
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      // Words from A on, numbers from the highest down; the second click turns it round.
      const keyed = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
      const now = head.getAttribute("aria-sort"), first = keyed.find(([key]) => key !== null)?.[0];
      const down = now ? now === "ascending" : typeof first === "number";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      keyed.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === typeof b ? (a < b ? -1 : a > b) : typeof a === "number" ? -1 : 1;
        return down ? -order : order;
      });
      table.tBodies[0].append(...keyed.map(([, row]) => row));
    });
  });
}
for (const field of document.querySelectorAll("input.filter")) {
  const rows = [...document.getElementById(field.dataset.filter).tBodies[0].rows];
  const count = document.querySelector(`[data-count=${field.dataset.filter}]`);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  field.closest("[hidden]")?.removeAttribute("hidden");
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row, place) => { row.hidden = !texts[place].includes(wanted); shown += !row.hidden; });
    count.textContent = wanted ? `${shown} of ${rows.length}` : "";
  });
}

// What was visited: kept in this browser, newest first, at most 300 per atlas.
const atlas = document.body.dataset.atlas;
const storageKey = `neuronym:${atlas}`;
const MOST = 300;
function visited() {
  try {
    const found = JSON.parse(localStorage.getItem(storageKey) ?? "[]");
    return Array.isArray(found) ? found.filter((v) => typeof v?.to === "string" && typeof v?.name === "string") : [];
  } catch { return []; }
}
function keep(list) {
  try { localStorage.setItem(storageKey, JSON.stringify(list.slice(0, MOST))); } catch { /* private windows have none */ }
}
const page = document.body.dataset.page;
const own = document.querySelector("main h1")?.textContent.trim().replace(/\s+/g, " ");
if (atlas && (page === "unit" || page === "concept") && own) {
  // Addresses are kept relative to the atlas, so that they hold wherever the site lies.
  const home = new URL(document.body.dataset.home, location.href).href.replace(/(\.html)?$/, "/");
  const to = location.href.replace(/[?#].*$/, "").slice(home.length);
  keep([{ to, name: own, kind: page, at: Date.now() }, ...visited().filter((v) => v.to !== to)]);
}
const list = document.getElementById("history");
if (list) {
  const home = new URL(document.body.dataset.home, location.href).href.replace(/(\.html)?$/, "/");
  const shared = location.hash.startsWith("#v=");
  let entries = visited();
  if (shared) {
    try { entries = JSON.parse(decodeURIComponent(location.hash.slice(3))).map((v) => ({ to: v?.[0], name: v?.[1] })); } catch { entries = []; }
    document.getElementById("history-intro").textContent = "Somebody shared these neurons and concepts with you.";
  }
  for (const entry of entries) {
    // Only addresses below this atlas: a shared link must not lead elsewhere.
    let url;
    try { url = new URL(entry.to, home); } catch { continue; }
    if (!url.href.startsWith(home) || typeof entry.to !== "string" || typeof entry.name !== "string") continue;
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = url.href;
    link.textContent = entry.name;
    item.append(link);
    if (typeof entry.at === "number") item.append(Object.assign(document.createElement("span"), { className: "pale", textContent: ` ${new Date(entry.at).toLocaleString()}` }));
    list.append(item);
  }
  if (!list.children.length) document.getElementById("history-intro").textContent += " Nothing so far.";
  const tools = document.getElementById("history-tools");
  tools.hidden = !entries.length || shared;
  document.getElementById("history-clear").addEventListener("click", () => { localStorage.removeItem(storageKey); history.replaceState(null, "", location.pathname); location.reload(); });
  document.getElementById("history-share").addEventListener("click", async (event) => {
    const link = `${location.href.replace(/#.*$/, "")}#v=${encodeURIComponent(JSON.stringify(entries.slice(0, 60).map((v) => [v.to, v.name])))}`;
    history.replaceState(null, "", link);
    try { await navigator.clipboard.writeText(link); event.target.textContent = "Copied"; } catch { event.target.textContent = "The link is in the address bar"; }
  });
}

// The search of an exported site: the same words and scores, looked up here.
if (document.documentElement.dataset.site === "files" && page === "search") import("./search.js").then((search) => search.run());
