// The search of an exported site. It knows the words of the concept set; new words need a server.

const fold = (text) => text.replaceAll("_", " ").trim().replace(/\s+/g, " ").toLowerCase();
const read = async (name) => (await fetch(new URL(name, folder()))).json();
const folder = () => new URL(document.body.dataset.home, location.href).href.replace(/(\.html)?$/, "/");
const SHOWN = 60;

export async function run() {
  const query = new URLSearchParams(location.search).get("q")?.trim() ?? "";
  const found = document.getElementById("found"), heading = document.querySelector("main h1");
  const field = document.getElementById("q");
  field.value = query;
  if (!query) return;
  heading.textContent = query;
  document.title = `${query} · ${document.title}`;
  found.replaceChildren(say("p", "Searching …", "pale"));
  let index;
  try { index = await read("search.json"); } catch { found.replaceChildren(say("p", "The search needs a file server: pages that are opened from the disk cannot read its index.", "note")); return; }
  const named = /^(.+?)[: ](\d{1,8})$/.exec(query), place = named && index.layers.findIndex(([layer, units]) => layer === named[1].trim() && Number(named[2]) < units);
  const starts = [];
  index.layers.reduce((sum, [, units], place) => { starts[place] = sum; return sum + units; }, 0);
  if (named && place >= 0 && (!index.paged || index.paged.includes(starts[place] + Number(named[2])))) { location.replace(new URL(`unit/${encodeURIComponent(index.layers[place][2])}/${Number(named[2])}.html`, folder())); return; }
  const wanted = fold(query), best = new Map();
  const words = Object.keys(index.words).filter((word) => word.includes(wanted));
  for (const word of words) {
    const hits = index.words[word];
    for (let i = 0; i < hits.length; i += 3) {
      const [unit, rank, score] = [hits[i], hits[i + 1], hits[i + 2]], old = best.get(unit);
      if (!old || rank < old.rank) best.set(unit, { unit, rank, score, word });
    }
  }
  const sorted = [...best.values()].sort((a, b) => b.score - a.score || a.unit - b.unit);
  found.replaceChildren();
  if (!sorted.length) {
    const known = index.unused.includes(wanted), hidden = index.hidden[wanted] ?? 0;
    found.append(say("p", hidden ? `${hidden === 1 ? "One neuron has" : `${hidden} neurons have`} this word among the first ten labels, but no better than chance.` : known ? "No neuron has this word among its first ten labels." : "This word is not in the concept set. A site that is served by neuronym can score new words.", "note"));
    const near = known ? [] : nearest(wanted, [...Object.keys(index.words), ...index.unused]);
    if (near.length) {
      const line = say("p", "Did you mean ", "note");
      near.forEach((word, place) => line.append(place ? ", " : "", Object.assign(document.createElement("a"), { href: `?q=${encodeURIComponent(word)}`, textContent: word })));
      line.append("?");
      found.before(line);
    }
    return;
  }
  const counts = index.layers.map(([layer, units], place) => [layer, sorted.filter((hit) => hit.unit >= starts[place] && hit.unit < starts[place] + units).length]);
  found.before(say("p", "Among the first ten labels of " + counts.filter(([, count]) => count).map(([layer, count]) => `${layer} ${count}`).join(", "), "intro"));
  const cards = {};
  for (const hit of sorted.slice(0, SHOWN)) {
    const place = index.layers.findLastIndex((_, i) => starts[i] <= hit.unit);
    cards[place] ??= await read(`cards-${place}.json`);
    const [layer, , part] = index.layers[place], unit = hit.unit - starts[place];
    found.append(tile(layer, part, unit, cards[place][unit], hit));
  }
  if (sorted.length > SHOWN) found.after(say("p", `The ${SHOWN} best of ${sorted.length}.`, "pale"));
}

function say(tag, text, kind) { return Object.assign(document.createElement(tag), { textContent: text, className: kind }); }

function tile(layer, part, unit, [concept, score, abstained, thumbs], hit) {
  const link = say("a", "", "tile");
  link.href = new URL(`unit/${encodeURIComponent(part)}/${unit}.html`, folder());
  const strip = say("span", "", "strip");
  strip.setAttribute("aria-hidden", "true");
  for (const name of thumbs) strip.append(Object.assign(document.createElement("img"), { src: new URL(`thumbs/${encodeURIComponent(name)}`, folder()), alt: "", width: 64, height: 64, loading: "lazy" }));
  const first = say("span", "", "line");
  first.append(abstained ? say("span", concept ? `(${concept})` : "no label", "abstained") : say("b", concept, "label"));
  if (score !== null) first.append(" ", say("span", score.toFixed(2), "score"));
  const second = say("span", "", "line pale");
  second.append(say("span", `${layer}:${unit}`, "name"), ` · label ${hit.rank}: ${hit.word}${hit.rank > 1 ? ` ${hit.score.toFixed(2)}` : ""}`);
  link.append(strip, first, second);
  return link;
}

// Words that are spelled alike: by Levenshtein's distance, an exchange of neighbours counted once.
function nearest(wanted, words, most = 5) {
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  return words.filter((word) => Math.abs(word.length - wanted.length) <= limit)
    .map((word) => [distance(wanted, word, limit), word]).filter(([far]) => far <= limit)
    .sort(([a, one], [b, two]) => a - b || (one < two ? -1 : 1)).slice(0, most).map(([, word]) => word);
}
function distance(a, b, limit) {
  let before = [], row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    if (Math.min(...next, ...row) > limit) return limit + 1;
    [before, row] = [row, next];
  }
  return row[b.length];
}
