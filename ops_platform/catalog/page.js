"use strict";
const { nodes, edges } = JSON.parse(document.getElementById("data").textContent);
const above = new Map(), below = new Map();
for (const edge of edges) {
  const [source, target] = edge;
  below.set(source, [...(below.get(source) || []), edge]);
  above.set(target, [...(above.get(target) || []), edge]);
}

// Every edge on a way from `start`, up or down.
function reached(start, next, end) {
  const found = new Set(), seen = new Set([start]), waiting = [start];
  while (waiting.length) {
    for (const edge of next.get(waiting.pop()) || []) {
      found.add(edge);
      if (!seen.has(edge[end])) { seen.add(edge[end]); waiting.push(edge[end]); }
    }
  }
  return found;
}

// The longest way to each node decides its layer, so every line goes to the right; what leads on
// comes first.
function layered(shown, ways) {
  const depth = new Map();
  function of(id) {
    if (!depth.has(id)) {
      depth.set(id, 0);
      const before = ways.filter((edge) => edge[1] === id).map((edge) => of(edge[0]) + 1);
      depth.set(id, Math.max(0, ...before));
    }
    return depth.get(id);
  }
  const layers = [];
  for (const id of shown) (layers[of(id)] ||= []).push(id);
  const ends = (id) => !ways.some((edge) => edge[0] === id);
  return layers.map((layer) => layer.sort((a, b) => ends(a) - ends(b) || (a < b ? -1 : 1)));
}

const panel = document.getElementById("lineage");
const drawing = panel.querySelector(".drawing");

function node(id, current) {
  const [kind, about] = nodes[id];
  const link = document.createElement("a"), name = document.createElement("b"), of = document.createElement("span");
  const cut = kind === "column" || kind === "delivered column" ? id.lastIndexOf(".") : -1;
  name.textContent = id.slice(cut + 1);
  of.textContent = cut < 0 ? [kind, about.split(",")[0]].filter(Boolean).join(": ") : id.slice(0, cut);
  link.href = "#" + id;
  link.dataset.id = id;
  if (id === current) link.setAttribute("aria-current", "true");
  link.append(name, of);
  return link;
}

function line(edge, boxes, origin) {
  const [from, to] = [boxes.get(edge[0]), boxes.get(edge[1])];
  const [x1, y1] = [from.right - origin.left, (from.top + from.bottom) / 2 - origin.top];
  const [x2, y2] = [to.left - origin.left, (to.top + to.bottom) / 2 - origin.top];
  const bend = Math.max(20, (x2 - x1) / 2);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
  if (edge[2]) path.setAttribute("class", "rows");
  return path;
}

function draw(id) {
  const ways = [...reached(id, above, 0), ...reached(id, below, 1)];
  const shown = new Set([id, ...ways.flatMap((edge) => edge.slice(0, 2))]);
  document.getElementById("lineage-of").textContent = id;
  panel.hidden = false;
  const place = drawing.querySelector(".layers"), svg = drawing.querySelector("svg");
  place.replaceChildren(...layered(shown, ways).map((layer) => {
    const column = document.createElement("div");
    column.className = "layer";
    column.append(...layer.map((one) => node(one, id)));
    return column;
  }));
  const origin = place.getBoundingClientRect();
  const boxes = new Map([...place.querySelectorAll("a")].map((a) => [a.dataset.id, a.getBoundingClientRect()]));
  svg.setAttribute("width", place.offsetWidth);
  svg.setAttribute("height", place.offsetHeight);
  svg.replaceChildren(...ways.map((edge) => line(edge, boxes, origin)));
  const here = place.querySelector("[aria-current]");
  drawing.scrollTo(here.offsetLeft - drawing.clientWidth / 2, here.offsetTop - drawing.clientHeight / 2);
}

function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (Object.hasOwn(nodes, id)) draw(id);
  else panel.hidden = true;
}

// A section stays when its own words or those of one of its rows hold every word.
const search = document.getElementById("search");
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (element) => words.every((word) => element.dataset.text.toLowerCase().includes(word));
  let tables = 0, columns = 0;
  for (const section of document.querySelectorAll("main section")) {
    const rows = [...section.querySelectorAll("tr[data-text]")];
    const whole = holds(section), kept = rows.filter(holds);
    for (const row of rows) row.hidden = !(whole || kept.includes(row));
    section.hidden = !(whole || kept.length);
    tables += section.hidden ? 0 : 1;
    columns += kept.length;
  }
  document.getElementById("found").textContent = words.length ? `${columns} columns in ${tables} places` : "";
}

search.addEventListener("input", filter);
window.addEventListener("hashchange", follow);
document.getElementById("close").addEventListener("click", () => { panel.hidden = true; });
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  if (event.key === "Escape") {
    if (document.activeElement === search) { search.value = ""; filter(); }
    panel.hidden = true;
  }
});
follow();
