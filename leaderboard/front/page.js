"use strict";
(async () => {
const read = id => JSON.parse(document.getElementById(id).textContent);
/* what leaderboard/front/data.py packs: JSON, deflated, in base64 */
const unpack = async id => {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
};
if (!("DecompressionStream" in window)) { document.documentElement.className = ""; return; }
const $ = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const data = await unpack("data"), glossary = read("glossary");
const NOTHING = "–", MINUS = "−";

/* --- rows: lists in the order of leaderboard/front/data.py -------------------------------------- */

const FLAGS = ["tied", "violated", "erases", "useful", "ranked"];
const PARTS = ["problem", "method", "rank", "verdict", "void", "flags", "claim", "epsilon", "gap", "speed", "once", "pays", "slack", "forgotten", "told", "seeds",
  "gaps", "speeds", "seed"];
const CLAIM = ["definition", "mode", "needs", "theorem", "sigma", "delta", "constants"];
const said = i => data.words[i];
const claims = data.claims.map(parts => {
  const claim = Object.fromEntries(CLAIM.map((name, i) => [name, parts[i]]));
  return { ...claim, mode: said(claim.mode), needs: claim.needs.map(said), theorem: said(claim.theorem) };
});
const rows = data.rows.map(parts => {
  const row = Object.fromEntries(PARTS.map((name, i) => [name, parts[i]]));
  FLAGS.forEach((name, i) => { row[name] = row.flags >> i & 1; });
  row.problem = data.problems[row.problem];
  row.track = data.tracks[row.problem.track];
  row.method = data.methods[row.method];
  row.claim = row.claim < 0 ? null : claims[row.claim];
  [row.forgotten, row.told] = [row.forgotten, row.told].map(said);
  row.definition = row.claim && data.definitions[row.claim.definition];
  row.verdict = data.verdicts[row.verdict];
  row.seeds = data.seeds[row.seeds];
  row.lead = row.track.slug + "/" + row.method.label;
  row.id = row.problem.slug + "/" + row.method.label;
  row.text = [row.method.title, row.problem.name, row.problem.request, data.badges[row.verdict],
    row.claim ? row.claim.theorem : "", row.method.paper === null ? "" : data.papers[row.method.paper][0],
  ].join(" ").toLowerCase();
  return row;
});

/* --- numbers as people read them: leaderboard/model/numbers.py ---------------------------------- */

const power = (value, digits) => Number(value.toExponential(digits - 1).split("e")[1]);
function fixed(value, decimals) {
  const text = value.toFixed(Math.max(0, decimals));
  return (Number(text) ? text : text.replace("-", "")).replace("-", MINUS);
}
function scaled(value, at, decimals) {
  const raised = [...String(at)].map(c => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
  return fixed(value / 10 ** at, decimals) + "×10" + raised;
}
const plain = at => at >= -3 && at < 5;
function number(value, digits = 3) {
  if (value === 0) return "0";
  const at = power(value, digits);
  return plain(at) ? fixed(value, digits - 1 - at) : scaled(value, at, digits - 1);
}
function measured(mean, half) {
  const plus = mean > 0 ? "+" : "";
  if (!half) return [plus + number(mean), half === null ? "" : "0"];
  let decimals = 1 - power(half, 2);
  if (Math.abs(mean) > half) decimals = Math.min(decimals, 3 - power(mean, 4));
  const at = power(Math.max(Math.abs(mean), half), 4);
  if (!plain(at)) return [plus + scaled(mean, at, decimals + at), scaled(half, at, decimals + at)];
  const spread = fixed(half, decimals);
  return [plus + fixed(mean, decimals), /[1-9]/.test(spread) ? spread : number(half, 2)];
}
function span(values, digits = 3) {
  const ends = [Math.min(...values), Math.max(...values)].map(value => number(value, digits));
  return ends[0] === ends[1] ? ends[0] : ends.join(" to ");
}
const tidy = value => number(value, 2).replace(/\.0$/, "");
function points(value) {
  const words = value.toFixed(Math.abs(value) < 10 ? 2 : 1);
  return Number(words) ? (value > 0 ? "+" : "") + words.replace("-", MINUS) : "0";
}
function whole(values) {
  const ends = [Math.min(...values), Math.max(...values)].map(value => Math.round(value).toLocaleString("en"));
  return ends[0] === ends[1] ? ends[0] : ends.join(" to ");
}
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;

/* --- cells: leaderboard/overview/cells.py ------------------------------------------------------- */

const known = (line, part) => line.rows.map(row => row[part]).filter(value => value !== null);
const means = (line, part) => line.rows.map(row => row[part]).filter(Boolean).map(pair => pair[0]);
const weakest = found => found.filter(row => !row.void)
  .reduce((worst, row) => Math.max(worst, data.verdicts.indexOf(row.verdict)), -1);
const first = line => line.rows.find(row => row.claim) || line.rows[0];
const timed = line => line.rows.filter(row => row.speed);
const forgotten = line => Object.keys(data.forgotten).find(kind => line.rows.some(row => row.forgotten === kind));
const speed = line => {
  const found = means(line, "speed");
  return found.length ? Math.exp(mean(found.map(Math.log))) : null;
};
const largest = values => values.length ? Math.max(...values) : null;
const least = values => values.length ? Math.min(...values) : null;
const average = values => values.length ? mean(values) : null;

const CELLS = {
  rank: [line => [line.rank ? line.rank + (line.tied ? "=" : "") : NOTHING], line => line.rank || null],
  method: [line => [first(line).method.title], line => first(line).method.title],
  problem: [line => line.rows.length > 1 ? [line.track.title] : [line.rows[0].problem.name, line.rows[0].problem.request],
    line => line.rows[0].problem.name],
  verdict: [line => {
    if (line.rows.every(row => row.void)) return [line.rows.map(row => row.void).sort()[0]];
    const text = data.badges[data.verdicts[weakest(line.rows)] || "none"] + (line.rows.some(row => row.violated) ? ", violated" : "");
    return [text, line.rows.some(row => row.erases) ? "erases the model" : ""];
  }, line => weakest(line.rows)],
  guarantee: [line => first(line).claim ? [first(line).definition[0], first(line).claim.mode] : [NOTHING],
    line => first(line).claim ? first(line).definition[0] : null],
  epsilon: [line => { const found = largest(known(line, "epsilon")); return [found === null ? NOTHING : tidy(found)]; },
    line => largest(known(line, "epsilon"))],
  gap: [line => {
    const gaps = means(line, "gap");
    if (!gaps.length) return [NOTHING];
    if (line.rows.length === 1) {
      const [value, spread] = measured(...line.rows[0].gap);
      return [value, spread ? "± " + spread : ""];
    }
    const [low, high] = [least(gaps), largest(gaps)].map(points);
    return [low, low === high ? "" : "to " + high];
  }, line => least(means(line, "gap"))],
  speedup: [line => {
    const found = speed(line), ratios = means(line, "speed");
    if (found === null) return [NOTHING];
    if (line.rows.length === 1) return [number(found), line.rows[0].speed[1] ? "×÷ " + number(line.rows[0].speed[1]) : ""];
    return [number(found), ratios.length > 1 ? span(ratios) : ""];
  }, speed],
  once: [line => { const found = known(line, "once"); return [found.length ? span(found, 2) : NOTHING]; },
    line => average(known(line, "once"))],
  pays: [line => {
    const found = known(line, "pays"), count = timed(line).length;
    if (!count) return [NOTHING];
    if (!found.length) return ["never"];
    const text = largest(found) === 0 ? "at once" : whole(found);
    return [text, count > found.length ? "never on " + (count - found.length) : ""];
  }, line => largest(known(line, "pays"))],
  slack: [line => { const found = known(line, "slack"); return [found.length ? span(found, 2) : NOTHING]; },
    line => average(known(line, "slack"))],
  forgotten: [line => {
    const kind = forgotten(line), tested = line.rows.filter(row => row.forgotten).length;
    return [kind ? data.forgotten[kind] : NOTHING, tested && tested < line.rows.length ? `${tested} of ${line.rows.length} tested` : ""];
  }, line => forgotten(line) || null],
  problems: [line => [`${line.rows.length} of ${line.problems}`], line => line.rows.length],
};
const text = (key, line) => CELLS[key][0](line);
const value = (key, line) => CELLS[key][1](line);
const oneLine = (key, line) => {
  const [main, aside] = text(key, line);
  return !aside ? main : /^(±|×÷|to )/.test(aside) ? `${main} ${aside}` : `${main} (${aside})`;
};

/* --- state, and how the address keeps it -------------------------------------------------------- */

const FILTERS = {
  model: row => row.problem.model,
  data: row => row.problem.data,
  request: row => row.track.request,
  verdict: row => row.verdict,
};
const fresh = () => ({q: "", view: "methods", useful: true, sort: "", open: [], pick: [],
  model: [], data: [], request: [], verdict: [...data.atFirst]});
let state = fresh();

function address() {
  const parts = new URLSearchParams(), base = fresh();
  for (const [key, found] of Object.entries(state)) {
    if (String(found) !== String(base[key])) parts.set(key, Array.isArray(found) ? found.join(",") : String(found));
  }
  return parts.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
}
function fromAddress(hash) {
  const found = fresh();
  for (const [key, words] of new URLSearchParams(hash)) {
    if (!(key in found)) continue;
    if (Array.isArray(found[key])) found[key] = words ? words.split(",") : [];
    else found[key] = key === "useful" ? words === "true" : words;
  }
  return found;
}
function keep() {
  const hash = address();
  history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
}

/* --- the table: TanStack filters, groups and sorts; what it gives is drawn here ------------------ */

const passes = row => (!state.useful || row.useful)
  && Object.entries(FILTERS).every(([key, part]) => !state[key].length || state[key].includes(part(row)))
  && state.q.toLowerCase().split(/\s+/).every(word => row.text.includes(word));
const ofProblem = row => ["model", "data", "request"].every(key => !state[key].length || state[key].includes(FILTERS[key](row)));

const keys = data.columns.map(column => column.key);
let problems = {};
function lineOf(found) {
  const {rank, tied, track, lead, id} = found[0];
  return {rows: found, rank, tied, track, problems: problems[track.slug]?.size || 0, id: state.view === "rows" ? id : lead};
}
const table = TableCore.createTable({
  data: rows,
  columns: [
    {id: "methods", accessorFn: row => row.lead},
    {id: "rows", accessorFn: row => row.id},
    ...keys.map(key => ({
      id: key,
      accessorFn: row => value(key, lineOf([row])) ?? undefined,
      aggregationFn: (_, leaves) => value(key, lineOf(leaves.map(leaf => leaf.original))) ?? undefined,
      sortingFn: (a, b) => compareValues(a.getValue(key), b.getValue(key)),
      sortUndefined: "last",
    })),
  ],
  state: {},
  onStateChange: () => {},
  renderFallbackValue: null,
  getCoreRowModel: TableCore.getCoreRowModel(),
  getFilteredRowModel: TableCore.getFilteredRowModel(),
  getGroupedRowModel: TableCore.getGroupedRowModel(),
  getSortedRowModel: TableCore.getSortedRowModel(),
  globalFilterFn: leaf => passes(leaf.original),
  getColumnCanGlobalFilter: column => column.id === "rows",
});
const compareValues = (a, b) => typeof a === "string" ? a.localeCompare(b, "en") : a - b;

/** Lines of the table in order, by track. */
function sections() {
  problems = {};
  for (const row of rows.filter(ofProblem)) (problems[row.track.slug] ||= new Set()).add(row.problem.slug);
  const [id, way] = state.sort.split(".");
  table.setOptions(old => ({...old, state: {...table.initialState, grouping: [state.view],
    sorting: keys.includes(id) ? [{id, desc: way === "desc"}] : [], globalFilter: JSON.stringify(state)}}));
  const lines = table.getSortedRowModel().rows.map(group => lineOf(group.getLeafRows().map(leaf => leaf.original)));
  return data.tracks.map(track => [track, lines.filter(line => line.track === track)])
    .filter(([, members]) => members.length);
}

/* --- drawing ------------------------------------------------------------------------------------ */

const esc = words => String(words).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const tip = words => words in glossary ? ` data-tip="${esc(glossary[words])}"` : "";
const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const board = document.getElementById("board"), heads = [...board.tHead.rows[0].cells];
const page = row => `site/${encodeURIComponent(row.problem.slug)}.html#row-${encodeURIComponent(row.method.label)}`;
const command = row => row.seed < 0 ? "" : `lethe reproduce ${data.results}/${row.problem.experiment || row.problem.slug}/${row.method.label}/seed-${row.seed}.json`;
const heading = key => data.columns.find(column => column.key === key).heading;
let shown = [];

function cell(key, line) {
  const [main, aside] = text(key, line);
  const views = key === "problem" ? " js-rows" : key === "problems" ? " js-methods" : "";
  if (key === "method") {
    const open = state.open.includes(line.id), picked = state.pick.includes(line.id);
    return `<th scope="row" class="c-method"><span class="pick"><input type="checkbox" ${picked ? "checked " : ""}data-pick="${esc(line.id)}" aria-label="Compare ${esc(label(line))}">`
      + `<button type="button" class="open" data-open="${esc(line.id)}" aria-expanded="${open}">${esc(main)}</button></span>`
      + (state.view === "rows" ? `<small class="phone">${esc(oneLine("problem", line))}</small>` : "") + "</th>";
  }
  if (key === "verdict") {
    const name = line.rows.every(row => row.void) ? main : line.rows.some(row => row.violated) ? "refuted" : data.verdicts[weakest(line.rows)];
    return `<td class="c-verdict"><span class="badge ${name}"${tip(main)}>${esc(main)}</span>`
      + (aside ? ` <span class="badge erases"${tip(aside)}>${esc(aside)}</span>` : "") + "</td>";
  }
  const help = key === "guarantee" ? tip(main) : "";
  return `<td class="c-${key}${views}"><span${help}>${esc(main)}</span>${aside ? ` <small>${esc(aside)}</small>` : ""}</td>`;
}
const label = line => first(line).method.title + (state.view === "rows" ? `, ${line.rows[0].problem.name}, ${line.rows[0].problem.request}` : "");

function drawLine(line) {
  const worst = value("gap", line);
  const kinds = ["line", line.rank === 1 ? "best" : "", worst !== null && worst < -data.loss ? "lossy" : "",
    line.rows.some(row => row.violated) ? "refuted" : ""].filter(Boolean).join(" ");
  const open = state.open.includes(line.id);
  return `<tr class="${kinds}" data-line="${esc(line.id)}">${keys.map(key => cell(key, line)).join("")}</tr>` + (open ? fold(line) : "");
}

function fold(line) {
  const row = first(line), claim = row.claim, paper = row.method.paper === null ? null : data.papers[row.method.paper];
  const facts = [];
  if (claim) {
    facts.push(["Guarantee", `${esc(row.definition[0])}, ${esc(claim.mode)}, at (ε, δ) = (${tidy(row.epsilon)}, ${number(claim.delta, 1).replace(/^1×/, "")}). <span class="quiet">${esc(row.definition[1])}</span>`]);
    facts.push(["Theorem", esc(claim.theorem)]);
    facts.push(["Needs", claim.needs.length ? esc(claim.needs.join("; ")) : "nothing beyond the data"]);
    if (claim.sigma) facts.push(["Noise σ", number(claim.sigma)]);
  }
  if (row.told) facts.push(["Told apart by", esc(row.told)]);
  if (paper) facts.push(["Paper", (paper[1] ? `<a href="${esc(paper[1])}" rel="noopener">${esc(paper[0])}</a>` : esc(paper[0]))]);
  const rest = keys.filter(key => !["method", "verdict", "guarantee", "problem"].includes(key))
    .map(key => `<div class="r-${key}"><dt>${esc(heading(key))}</dt><dd>${esc(oneLine(key, line))}</dd></div>`).join("");
  const constants = claim && claim.constants.length ? `<h3>Constants of the certificate</h3><table><thead><tr><th scope="col">name</th><th scope="col" class="n">value</th><th scope="col">from</th><th scope="col" class="wide-only">meaning</th></tr></thead><tbody>`
    + claim.constants.map(i => data.constants[i]).map(([name, number_, from, meaning]) =>
      `<tr><th scope="row">${esc(name)}</th><td class="n">${number(number_)}</td><td>${esc(from)}</td><td class="wide-only">${esc(data.meanings[meaning])}</td></tr>`).join("") + "</tbody></table>" : "";
  const each = `<h3>${line.rows.length > 1 ? "Problem by problem" : "The problem"}</h3><table><thead><tr><th scope="col">problem</th><th scope="col" class="n">test gap</th><th scope="col" class="n">speed-up</th><th scope="col" class="n wide-only">break-even</th></tr></thead><tbody>`
    + line.rows.map(one => lineOf([one])).map(one => `<tr><th scope="row"><a href="${page(one.rows[0])}">${esc(one.rows[0].problem.name)}</a>, ${esc(one.rows[0].problem.request)}</th><td class="n">${esc(oneLine("gap", one))}</td><td class="n">${esc(oneLine("speedup", one))}</td><td class="n wide-only">${esc(oneLine("pays", one))}</td></tr>`).join("") + "</tbody></table>";
  const run = command(line.rows[0]);
  return `<tr class="fold"><td colspan="${keys.length}"><div class="in"><div><dl>${facts.map(([name, words]) => `<div><dt>${name}</dt><dd>${words}</dd></div>`).join("")}</dl><dl class="rest">${rest}</dl>`
    + `<div class="command"><code>${esc(run)}</code>${run ? `<button type="button" data-copy="${esc(run)}" aria-label="Copy the command">Copy</button>` : ""}</div>${constants}</div><div>${each}</div></div></td></tr>`;
}

function draw() {
  const found = sections();
  shown = found.flatMap(([, lines]) => lines);
  document.documentElement.className = `js ${state.view}`;
  const columns = heads.filter(head => getComputedStyle(head).display !== "none").length;
  for (const body of all("tbody", board)) body.remove();
  board.insertAdjacentHTML("beforeend", found.map(([track, lines]) =>
    `<tbody id="${esc(track.slug)}"><tr class="track"><th scope="rowgroup" colspan="${columns}">${esc(track.title)} <span>${count(problems[track.slug].size, "problem")}</span></th></tr>${lines.map(drawLine).join("")}</tbody>`).join("")
    || `<tbody><tr><td colspan="${columns}">No row fits. <button type="button" class="plain" data-do="all">Show every verdict, useful or not</button></td></tr></tbody>`);
  for (const body of all(".fold > td", board)) body.colSpan = columns;
  for (const head of heads) {
    const [key, way] = state.sort.split(".");
    if (key === head.dataset.key) head.setAttribute("aria-sort", way === "desc" ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  for (const chip of all("[data-filter-key]")) chip.setAttribute("aria-pressed", state[chip.dataset.filterKey].includes(chip.value));
  for (const button of all("[data-view]")) button.setAttribute("aria-pressed", button.dataset.view === state.view);
  $("#useful").setAttribute("aria-pressed", state.useful);
  if ($("#search").value !== state.q) $("#search").value = state.q;
  const leaves = shown.flatMap(line => line.rows);
  $("#status").textContent = `${count(shown.length, "line")}, ${leaves.length} of ${rows.length} results, ${count(new Set(leaves.map(row => row.problem)).size, "problem")}.`;
  drawBar();
  drawPlot(leaves);
}
function update(changes) {
  Object.assign(state, changes);
  keep();
  const focused = document.activeElement?.dataset ?? {}, [key, id] = Object.entries(focused)[0] ?? [];
  draw();
  if (key && document.activeElement === document.body) {
    all(`[data-${key.replace(/[A-Z]/g, c => "-" + c.toLowerCase())}]`).find(one => one.dataset[key] === id)?.focus();
  }
}
const toggled = (list, item) => list.includes(item) ? list.filter(one => one !== item) : [...list, item];

/* --- comparison: differences seed by seed, on the problems that two lines share ------------------ */

const T975 = [12.706, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.306, 2.2622, 2.2281, 2.201, 2.1788, 2.1604,
  2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.093, 2.086, 2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423];
function interval(values) {
  const n = values.length, middle = mean(values);
  if (n < 2) return [middle, null];
  const spread = Math.sqrt(values.reduce((sum, one) => sum + (one - middle) ** 2, 0) / (n - 1));
  return [middle, (T975[n - 2] ?? 1.96 + 2.4 / (n - 1)) * spread / Math.sqrt(n)];
}
function paired(line, base, part, difference) {
  const found = [], shared = new Set();
  for (const row of line.rows) {
    const other = base.rows.find(one => one.problem === row.problem);
    if (!other) continue;
    row.seeds.forEach((seed, i) => {
      const [a, b] = [row[part][i], other[part][other.seeds.indexOf(seed)]];
      if (a != null && b != null) { found.push(difference(a, b)); shared.add(row.problem.slug); }
    });
  }
  return [found, shared.size];
}
function compared(lines) {
  const base = lines[0];
  const both = (text_, words) => `<td>${text_}${words ? ` <small>${words}</small>` : ""}</td>`;
  const against = (part, difference, show) => lines.map((line, i) => {
    if (!i) return both("–", "compared with");
    const [found, shared] = paired(line, base, part, difference);
    return found.length ? both(...show(interval(found), `${count(found.length, "seed pair")}, ${count(shared, "problem")}`)) : both(NOTHING, "no problem in common");
  }).join("");
  const gap = ([middle, half], words) => { const [a, b] = measured(middle, half); return [a + (b ? " ± " + b : ""), words]; };
  const ratio = ([middle, half], words) => [number(Math.exp(middle)) + (half === null ? "" : ` ×÷ ${number(Math.exp(half))}`), words];
  const facts = ["verdict", "guarantee", "epsilon", "gap", "speedup", "once", "pays", "slack", "forgotten", "problems"];
  return `<div class="wide" tabindex="0" role="region" aria-label="Comparison"><table><thead><tr><td></td>${lines.map(line => `<th scope="col">${esc(label(line))}${lines.some(one => one.track !== base.track) ? `<small>${esc(line.track.title)}</small>` : ""}</th>`).join("")}</tr></thead><tbody>`
    + `<tr><th scope="row">Test gap minus that of ${esc(first(base).method.title)} (points)</th>${against("gaps", (a, b) => a - b, gap)}</tr>`
    + `<tr><th scope="row">Speed over that of ${esc(first(base).method.title)} (×)</th>${against("speeds", (a, b) => Math.log(a / b), ratio)}</tr>`
    + facts.map(key => `<tr><th scope="row">${esc(heading(key))}</th>${lines.map(line => both(...text(key, line).map(esc))).join("")}</tr>`).join("")
    + "</tbody></table></div><p class=\"quiet\">Differences are taken seed by seed on shared problems, with the 95 % t interval of their mean. An interval that holds 0, or for a ratio 1, tells nothing apart.</p>";
}
function drawBar() {
  const found = shown.filter(line => state.pick.includes(line.id));
  $("#bar").hidden = !found.length;
  if (!found.length) return;
  $("#picked").textContent = found.length < 2 ? `${first(found[0]).method.title}: pick another` : `${found.length} picked`;
  $("#compare").disabled = found.length < 2;
}

/* --- exports ------------------------------------------------------------------------------------ */

const columnsShown = () => keys.filter(key => key !== (state.view === "rows" ? "problems" : "problem"));
const latexKeys = () => columnsShown().filter(key => !["guarantee", "slack", "forgotten"].includes(key));
const TEX = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "−": "$-$", "×": "$\\times$",
  "÷": "$\\div$", "±": "$\\pm$", "≤": "$\\le$", "ε": "$\\varepsilon$", "δ": "$\\delta$", "σ": "$\\sigma$", "–": "--", "\u00a0": "~"};
for (const c of "&%$#_{}") TEX[c] = "\\" + c;
function tex(words) {
  return words.split(/10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/).map((part, i) => i % 2
    ? `$10^{${[...part].map(c => "-0123456789"["⁻⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(c)]).join("")}}$`
    : [...part].map(c => TEX[c] ?? c).join("")).join("").replaceAll("$$", "");
}
function latex() {
  const used = latexKeys(), row = texts => texts.map(tex).join(" & ") + " \\\\";
  const out = ["% needs \\usepackage{booktabs}", `\\begin{tabular}{${"l".repeat(used.length)}}`, "\\toprule",
    row(used.map(key => heading(key)))];
  let track = null;
  for (const line of shown) {
    if (line.track !== track) out.push("\\midrule", `\\multicolumn{${used.length}}{l}{\\emph{${tex(line.track.title)}}} \\\\`);
    track = line.track;
    out.push(row(used.map(key => oneLine(key, line))));
  }
  return [...out, "\\bottomrule", "\\end{tabular}", ""].join("\n");
}
function csv() {
  const used = columnsShown(), quote = one => /[",\n]/.test(one) ? `"${one.replaceAll('"', '""')}"` : one;
  const field = (key, line) => key === "verdict" ? oneLine(key, line) : key === "problem" ? oneLine(key, line) : value(key, line) ?? "";
  return [["track", ...used], ...shown.map(line => [line.track.slug, ...used.map(key => field(key, line))])]
    .map(fields => fields.map(one => quote(String(one))).join(",")).join("\n") + "\n";
}
function bibtex() {
  const found = new Set(shown.flatMap(line => line.rows.map(row => row.method.paper)).filter(paper => paper !== null));
  return [...found].map(paper => data.papers[paper][3]).join("\n\n") + "\n";
}
const EXPORTS = {csv: ["The table as CSV", csv], latex: ["The table as LaTeX", latex], bibtex: ["The rows' papers as BibTeX", bibtex]};
function dialog(title, body) {
  $("#dialog-title").textContent = title;
  $("#dialog-body").innerHTML = body;
  $("#dialog").showModal();
}
function offer(kind) {
  const [title, make] = EXPORTS[kind], words = make();
  const link = kind === "csv" ? ` <a download="lethe.csv" href="data:text/csv;charset=utf-8,${encodeURIComponent(words)}">Save as a file</a> · <a href="board.csv">every row and column: board.csv</a>` : "";
  dialog(title, `<textarea readonly aria-label="${title}">${esc(words)}</textarea><button type="button" data-copy-area autofocus>Copy</button>${link}`);
  $("[data-copy-area]").focus();
}
async function copy(words, button) {
  try {
    await navigator.clipboard.writeText(words);
  } catch {
    const area = document.createElement("textarea");
    area.value = words;
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  button.focus();
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

/* --- the plot ----------------------------------------------------------------------------------- */

const dot = (row, x, y) => row.track.family === "net" ? `<rect class="dot" x="${x - 5}" y="${y - 5}" width="10" height="10" rx="1.5"/>` : `<circle cx="${x}" cy="${y}" r="5.5"/>`;
const LEFT = 56, RIGHT = 20, TOP = 18, BOTTOM = 48;
function drawPlot(leaves) {
  const WIDTH = Math.max(300, $("#plot").clientWidth), HEIGHT = WIDTH < 600 ? 320 : 400;
  const points = leaves.filter(row => row.speed && row.gap).map(row => ({row, time: 1 / row.speed[0], lost: -row.gap[0]}));
  if (!points.length) { $("#plot").innerHTML = "<p class=\"quiet\" style=\"padding:0 1rem\">No row to show.</p>"; return; }
  const bend = lost => Math.sign(lost) * Math.log10(1 + Math.abs(lost) / .1);  // linear near 0, then logarithmic
  const decades = points.map(point => Math.log10(point.time));
  const [low, high] = [Math.floor(Math.min(-1, ...decades)), Math.ceil(Math.max(1, ...decades))];
  const bottom = bend(Math.min(-.1, ...points.map(point => point.lost))) - .1, top = bend(Math.max(1, ...points.map(point => point.lost))) + .15;
  const x = time => LEFT + (Math.log10(time) - low) / (high - low) * (WIDTH - LEFT - RIGHT);
  const y = lost => HEIGHT - BOTTOM - (bend(lost) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
  let out = `<rect class="zone" x="${LEFT}" y="${y(data.loss)}" width="${x(1) - LEFT}" height="${HEIGHT - BOTTOM - y(data.loss)}"/>`;
  for (let at = low; at <= high; at++) {
    if (WIDTH < 600 && at % 2) continue;
    const words = at === 0 ? "1" : at < 0 ? `1/${(10 ** -at).toLocaleString("en")}` : (10 ** at).toLocaleString("en");
    out += `<line class="tick" x1="${x(10 ** at)}" x2="${x(10 ** at)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/><text x="${x(10 ** at)}" y="${HEIGHT - BOTTOM + 17}" text-anchor="middle">${words}</text>`;
  }
  for (const at of [-10, -1, 0, 1, 10, 100].filter(at => bend(at) >= bottom && bend(at) <= top)) {
    out += `<line class="${at ? "tick" : "axis"}" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(at)}" y2="${y(at)}"/><text x="${LEFT - 8}" y="${y(at) + 4}" text-anchor="end">${String(at).replace("-", MINUS)}</text>`;
  }
  out += `<text x="${(LEFT + WIDTH) / 2}" y="${HEIGHT - 10}" text-anchor="middle">time per request over time to retrain</text><text transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">points lost</text>`;
  for (const {row, time, lost} of points) {
    const words = `${row.method.title}, ${row.problem.name}, ${row.problem.request}: ${number(row.speed[0])} times as fast, test gap ${measured(...row.gap).filter(Boolean).join(" ± ")} points`;
    out += `<g class="${row.verdict}" data-point="${esc(row.id)}" data-tip="${esc(words)}">${dot(row, x(time).toFixed(1), y(lost).toFixed(1))}</g>`;
  }
  const kinds = data.verdicts.filter(name => points.some(point => point.row.verdict === name));
  $("#plot").innerHTML = `<ul class="legend">${kinds.map(name => `<li class="${name}"><i></i>${esc(data.badges[name])}</li>`).join("")}<li>● linear model</li><li>■ net</li></ul>`
    + `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${count(points.length, "row")}: time over that of retraining, and points of test accuracy lost">${out}</svg>`;
}

/* --- what people do ----------------------------------------------------------------------------- */

const descending = new Set(["speedup", "problems"]);
for (const head of heads) {
  const words = $(".head", head), button = document.createElement("button");
  button.type = "button";
  button.dataset.sort = head.dataset.key;
  button.dataset.tip = words.dataset.tip;
  button.textContent = words.textContent;
  words.replaceWith(button);
}
function reveal(id) {
  const line = all("[data-line]").find(one => one.dataset.line === id);
  line?.scrollIntoView({block: "center"});
  $(".open", line ?? document.createElement("div"))?.focus({preventScroll: true});
}
document.addEventListener("click", event => {
  const button = event.target.closest("button, a, input, [data-point]");
  if (!button) return;
  const of = button.dataset;
  if (of.filter !== undefined) {
    event.preventDefault();
    state = fromAddress(of.filter);
    update(of.open ? {open: [of.open]} : {});
    document.getElementById("table").scrollIntoView();
    if (of.open) $(`[data-open="${CSS.escape(of.open)}"]`, board)?.focus({preventScroll: true});
  } else if (of.point !== undefined) {
    const row = rows.find(one => one.id === of.point);
    const id = state.view === "rows" ? row.id : row.lead;
    update({open: [...new Set([...state.open, id])]});
    reveal(id);
  } else if (of.filterKey) update({[of.filterKey]: toggled(state[of.filterKey], button.value)});
  else if (of.view) update({view: of.view, open: [], pick: []});
  else if (button.id === "useful") update({useful: !state.useful});
  else if (button.id === "reset") { state = fresh(); update({}); }
  else if (of.do === "all") update({useful: false, verdict: []});
  else if (of.sort) {
    const [key, way] = state.sort.split("."), start = descending.has(of.sort) ? "desc" : "asc", other = start === "asc" ? "desc" : "asc";
    update({sort: key !== of.sort ? `${of.sort}.${start}` : way === start ? `${of.sort}.${other}` : ""});
  } else if (of.open) update({open: toggled(state.open, of.open)});
  else if (of.pick) {
    const found = toggled(state.pick, of.pick);
    update({pick: found.slice(-4)});
  } else if (button.id === "unpick") update({pick: []});
  else if (button.id === "compare") dialog("Comparison", compared(state.pick.map(id => shown.find(line => line.id === id)).filter(Boolean)));
  else if (of.export) offer(of.export);
  else if (of.copy !== undefined) copy(of.copy, button);
  else if (of.copyArea !== undefined) copy($("textarea", button.parentElement).value, button);
  else if (button.id === "theme") {
    const dark = (document.documentElement.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    document.documentElement.style.colorScheme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", dark ? "light" : "dark"); } catch { /* no storage: for this visit */ }
  }
});
$("#search").addEventListener("input", event => update({q: event.target.value}));
$(".controls").addEventListener("submit", event => event.preventDefault());
$("#dialog").addEventListener("click", event => { if (event.target === event.currentTarget) event.currentTarget.close(); });
addEventListener("hashchange", () => { if (location.hash.includes("=")) { state = fromAddress(location.hash.slice(1)); draw(); } });
let wide = innerWidth;
addEventListener("resize", () => { if (innerWidth !== wide) { wide = innerWidth; draw(); } });

const bubble = document.getElementById("tip");
function point(event) {
  const owner = event.target.closest?.("[data-tip]");
  if (!owner) { bubble.hidden = true; return; }
  bubble.textContent = owner.dataset.tip;
  bubble.hidden = false;
  const box = owner.getBoundingClientRect(), own = bubble.getBoundingClientRect();
  bubble.style.left = `${Math.max(8, Math.min(box.left, innerWidth - own.width - 8))}px`;
  bubble.style.top = `${box.bottom + own.height + 8 > innerHeight ? Math.max(8, box.top - own.height - 6) : box.bottom + 6}px`;
}
for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, point);
for (const kind of ["scroll", "focusout"]) document.addEventListener(kind, () => { bubble.hidden = true; }, {capture: true});
document.addEventListener("keydown", event => { if (event.key === "Escape") bubble.hidden = true; });

if (location.hash.includes("=")) state = fromAddress(location.hash.slice(1));
draw();
if (state.open.length) reveal(state.open[0]);
document.documentElement.classList.add("ready");
})();
