"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("chart-specs").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function config(width) {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(name).trim();
    const font = getComputedStyle(document.body).fontFamily;
    const text = { labelColor: color("--text"), titleColor: color("--soft"), labelFont: font, titleFont: font,
                   labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
    return {
      background: null, font, view: { stroke: null },
      axis: { ...text, gridColor: color("--line"), domainColor: color("--line"), tickColor: color("--line") },
      axisY: { ticks: false, domain: false, grid: false, labelPadding: 8, labelLimit: 0, labelExpr: shortened(width) },
      axisX: { tickCount: Math.max(2, Math.round(width / 90)), labelOverlap: true, labelSeparation: 8, labelFlush: false },
      rule: { color: color("--text") },
    };
  }

  // Names of features are long and differ at both ends: they may take half of the chart, cut in the middle.
  function shortened(width) {
    const room = Math.max(14, Math.min(48, Math.floor(width * 0.5 / 6.6)));
    const head = Math.ceil(room * 0.55), tail = room - head - 1;
    return `length(datum.label) > ${room} ? slice(datum.label, 0, ${head}) + '…' + slice(datum.label, -${tail}) : datum.label`;
  }

  // The expression interpreter (ast) needs no eval, so the page's security policy can forbid it.
  async function draw(place) {
    const spec = specs[place.dataset.chart];
    if (!spec) return;
    const options = { renderer: "svg", actions: false, ast: true, tooltip: { theme: dark.matches ? "dark" : "light" } };
    if (place.drawn) place.drawn.finalize();
    place.drawn = await vegaEmbed(place, spec, { ...options, config: config(place.clientWidth) });
    place.dataset.state = "drawn";
  }

  const places = [...document.querySelectorAll("[data-chart]")];
  const drawAll = () => Promise.all(places.map(draw));
  let width = window.innerWidth;
  let waiting = 0;
  dark.addEventListener("change", drawAll);
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  });
  drawAll().then(() => { document.documentElement.dataset.charts = "drawn"; });

  function sortBy(table, header, button) {
    const column = header.cellIndex;
    const falling = header.getAttribute("aria-sort") !== "descending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === "" || y === "") return (x === "") - (y === "");   // unknown values stay at the end
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return falling ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    for (const header of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => { sortBy(table, header, button); table.dispatchEvent(new Event("sorted")); });
    }
  }

  const features = document.getElementById("features-table");
  if (features) {
    const limit = Number(features.dataset.limit);
    const search = document.getElementById("feature-search");
    const flagged = document.getElementById("feature-flagged");
    const more = document.getElementById("feature-more");
    const count = document.getElementById("feature-count");
    let all = false;
    const show = () => {
      const text = search.value.trim().toLowerCase();
      let found = 0, shown = 0;
      for (const row of features.tBodies[0].rows) {
        const fits = (!text || row.cells[0].textContent.toLowerCase().includes(text)) && (!flagged.checked || row.dataset.flags);
        if (fits) found += 1;
        row.hidden = !fits || (!all && found > limit);
        if (!row.hidden) shown += 1;
      }
      more.hidden = shown === found && !(all && found > limit);
      more.textContent = all ? `Show the first ${limit}` : `Show all ${found}`;
      count.textContent = shown === found ? `${found} features` : `${shown} of ${found} features`;
    };
    search.addEventListener("input", show);
    flagged.addEventListener("change", show);
    features.addEventListener("sorted", show);
    more.addEventListener("click", () => { all = !all; show(); });
    document.getElementById("feature-controls").hidden = false;
    show();
  }
})();
