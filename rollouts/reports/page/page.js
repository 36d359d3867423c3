/* What moves on the page: curves, costs, and the graph of who listened to whom. Plotly draws; what is set is set by
   ordinary controls, so that a keyboard reaches everything, and every figure has its numbers as a table. */
(() => {
  "use strict";
  const { runs } = JSON.parse(document.getElementById("data").textContent);

  // Okabe & Ito's colours, told apart by colour-blind readers, the light ones darkened; then again with other dashes.
  const COLOURS = ["#0072b2", "#d55e00", "#007a5a", "#aa3377", "#8a6d00", "#2f8fc4", "#222222", "#7a7a7a"];
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const MODES = { open: ["#0072b2", "solid"], mute: ["#d55e00", "dash"], shuffled: ["#007a5a", "dot"], isolated: ["#5b5b5b", "dashdot"] };
  const LIAR = "#a3140a";
  const TOLD = 25; // rows of a table of numbers at most
  const NAMED = 16; // agents at most that a legend lists

  // ---- small helpers ----------------------------------------------------------------------------------------

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key in element && typeof value !== "string") element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  function chooser(label, options, change) {
    const select = make("select", {}, ...options.map(([value, text]) => make("option", { value: String(value) }, text)));
    select.addEventListener("change", change);
    return [select, make("label", {}, label, select)];
  }

  const finite = (value) => value !== null && Number.isFinite(value);
  const mean = (values) => {
    const known = values.filter(finite);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };
  const extreme = (which, values) => (values.some(finite) ? which(...values.filter(finite)) : null);
  const scaled = (value, percent) => (finite(value) ? (percent ? 100 * value : value) : null);
  const told = (value) => (finite(value) ? String(+value.toPrecision(4)) : "–");
  const modeStyle = (mode) => MODES[mode] || ["#aa3377", "solid"];
  const agentStyle = (i) => [COLOURS[i % COLOURS.length], DASHES[Math.floor(i / COLOURS.length) % DASHES.length]];
  const seedName = (run, s) => `seed ${run.seeds[s]}`;

  function tableOf(columns, rows, title) {
    const head = make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name)));
    const body = rows.map(([first, ...rest]) =>
      make("tr", {}, make("th", { scope: "row" }, String(first)), ...rest.map((cell) => make("td", {}, cell))));
    const table = make("table", {}, make("caption", {}, title), make("thead", {}, head), make("tbody", {}, ...body));
    return make("div", { class: "rolls", tabindex: "0", role: "region", "aria-label": title }, table);
  }

  function legendOf(entries) {
    const dashes = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
    return make("ul", { class: "legend" }, ...entries.map(([name, colour, dash]) => {
      const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      for (const [key, value] of Object.entries({ width: 28, height: 10, "aria-hidden": "true" })) swatch.setAttribute(key, value);
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      const drawn = { x1: 0, x2: 28, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": dashes[dash] };
      for (const [key, value] of Object.entries(drawn)) line.setAttribute(key, value);
      swatch.append(line);
      return make("li", {}, swatch, name);
    }));
  }

  // A figure that draws itself anew: `content()` gives its caption, traces, layout, legend, and its numbers.
  function figure(parent, content, kind = "") {
    const caption = make("figcaption"), plot = make("div", { class: `plot ${kind}`, role: "img" });
    const legend = make("div"), numbers = make("div");
    const more = make("details", {}, make("summary", {}, "Numbers of this figure"), numbers);
    parent.append(make("figure", {}, caption, plot, legend, more));
    let shown = null;
    const tell = () => more.open && numbers.replaceChildren(tableOf(shown.columns, shown.rows, shown.caption));
    more.addEventListener("toggle", tell);
    return () => {
      shown = content();
      caption.textContent = shown.caption;
      plot.setAttribute("aria-label", `${shown.caption}. The numbers are in the table below the figure.`);
      legend.replaceChildren(...(shown.legend ? [legendOf(shown.legend)] : []));
      Plotly.react(plot, shown.traces, layoutOf(shown.layout), { responsive: true, displayModeBar: false });
      tell();
      return plot;
    };
  }

  function layoutOf(own = {}) {
    const axis = { gridcolor: "#e3e7eb", zeroline: false, linecolor: "#9aa2ab", automargin: false, fixedrange: true };
    return {
      font: { family: "system-ui, sans-serif", size: 13, color: "#1b1f24" },
      margin: { l: 58, r: 12, t: 10, b: 42 }, showlegend: false, hovermode: "closest", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hoverlabel: { namelength: -1 },
      ...own, xaxis: { ...axis, ...own.xaxis }, yaxis: { ...axis, ...own.yaxis },
    };
  }

  const stepAxis = (run, range) => {
    const [from, to] = range || [0, run.horizon];
    return { title: { text: "step" }, range: [from, to], ...(to - from <= 10 ? { dtick: 1 } : {}) };
  };

  function sparse(steps) {
    const every = Math.ceil(steps.length / TOLD);
    return steps.map((_, p) => p).filter((p) => (steps.length - 1 - p) % every === 0);
  }

  // The figure that tells agents apart: the headline, or what they have of their own where that is the world's.
  const ownOf = (run) => (run.metrics[run.headline].each ? run.headline
    : Object.keys(run.metrics).find((name) => run.metrics[name].each && name !== "return") || null);

  // ---- values over time ---------------------------------------------------------------------------------------

  // Of a metric in a mode: each seed's mean over agents, [S][P].
  function ofSeeds(run, metric, mode) {
    const { values, each } = run.metrics[metric];
    return values[run.modes.indexOf(mode)].map((seed) => (each ? seed.map(mean) : seed));
  }

  // The same of one agent, of one seed or (−1) the mean of all, [P].
  function ofAgent(run, metric, mode, seed, agent) {
    const seeds = run.metrics[metric].values[run.modes.indexOf(mode)];
    const chosen = seed < 0 ? seeds : [seeds[seed]];
    return run.steps.map((_, p) => mean(chosen.map((points) => points[p][agent])));
  }

  function bandOf(seeds, percent) {
    const at = (which) => seeds[0].map((_, p) => scaled(which(seeds.map((points) => points[p])), percent));
    return { mean: at(mean), low: at((v) => extreme(Math.min, v)), high: at((v) => extreme(Math.max, v)) };
  }

  function bandTraces(steps, band, name, [colour, dash], several) {
    const line = { x: steps, y: band.mean, name, mode: steps.length < 20 ? "lines+markers" : "lines", line: { color: colour, dash, width: 2.5 } };
    if (!several) return [line];
    const edge = { x: steps, mode: "lines", line: { width: 0 }, hoverinfo: "skip" };
    return [{ ...edge, y: band.low }, { ...edge, y: band.high, fill: "tonexty", fillcolor: `${colour}26` }, line];
  }

  // A figure of one line a mode, of values [S][P] by mode.
  function byMode(run, title, valuesOf, { percent: fraction = () => false, spent = false, range = () => null } = {}) {
    return () => {
      const percent = fraction();
      const several = run.seeds.length > 1;
      const bands = run.modes.map((mode) => bandOf(valuesOf(mode), percent));
      const shapes = spent && run.spent !== null
        ? [{ type: "line", x0: run.spent, x1: run.spent, y0: 0, y1: 1, yref: "paper", line: { color: "#444", dash: "dot", width: 1.5 } }] : [];
      return {
        caption: `${title()}${percent ? ", %" : ""}${several ? ": mean of the seeds, and their range" : ""}`,
        traces: run.modes.flatMap((mode, m) => bandTraces(run.steps, bands[m], mode, modeStyle(mode), several)),
        legend: [...run.modes.map((mode) => [mode, ...modeStyle(mode)]),
          ...(shapes.length ? [[`the teacher's budget is spent (step ${run.spent})`, "#444", "dot"]] : [])],
        layout: { xaxis: stepAxis(run, range()), shapes },
        columns: ["step", ...run.modes],
        rows: sparse(run.steps).map((p) => [run.steps[p], ...bands.map((band) => told(band.mean[p]))]),
      };
    };
  }

  // ---- curves of every agent, controls beside them --------------------------------------------------------------

  function drawCurves(parent, run) {
    const redraw = () => figures.forEach((draw) => draw());
    const [metric, ofMetric] = chooser("What is shown", Object.entries(run.metrics).map(([name, m]) => [name, m.label]), redraw);
    const [seed, ofSeed] = chooser("Curves of agents are of",
      [...(run.seeds.length > 1 ? [[-1, "all seeds, their mean"]] : []), ...run.seeds.map((_, s) => [s, seedName(run, s)])], redraw);
    const [agent, ofHighlight] = chooser("Stand out", [[-1, "all alike"], ...run.labels.map((name, i) => [i, name])], redraw);
    if (run.liars.some((lies) => lies.includes(true))) seed.value = "0"; // who lies is another in each seed
    const ends = [0, run.horizon].map((value) =>
      make("input", { type: "number", min: "0", max: String(run.horizon), value: String(value) }));
    ends.forEach((end) => end.addEventListener("change", redraw));
    const range = () => {
      const [from, to] = ends.map((end) => Number(end.value));
      return from < to ? [from, to] : [0, run.horizon];
    };
    parent.append(make("div", { class: "controls" }, ofMetric, ofSeed, ofHighlight,
      make("label", {}, "From step", ends[0]), make("label", {}, "to step", ends[1])));
    const now = () => run.metrics[metric.value];
    const figures = [figure(parent, byMode(run, () => (now().each || now().of > 1 ? `${now().label}, mean of all ${run.nouns}` : now().label),
      (mode) => ofSeeds(run, metric.value, mode), { percent: () => now().percent, spent: true, range }))];
    const panels = make("div", { class: "panels" });
    const none = make("p", { class: "note" });
    parent.append(none, panels);
    const ofEach = () => (now().each ? metric.value : ownOf(run)); // of agents

    const curvesIn = (mode) => () => {
      const s = Number(seed.value), shown = ofEach(), { label, percent } = run.metrics[shown], lies = run.liars[s < 0 ? 0 : s] || [];
      const liars = run.seeds.length === 1 || s >= 0;
      const name = (i) => run.labels[i] + (liars && lies[i] ? " (lies)" : "");
      const curves = run.labels.map((_, i) => ofAgent(run, shown, mode, s, i).map((v) => scaled(v, percent)));
      const all = run.modes.flatMap((m) => run.labels.map((_, i) => ofAgent(run, shown, m, s, i))).flat().map((v) => scaled(v, percent));
      const low = extreme(Math.min, all), high = extreme(Math.max, all), room = 0.05 * ((high - low) || 1);
      const out = Number(agent.value);
      return {
        caption: `${mode}: ${label} of each ${run.noun}${percent ? ", %" : ""}`,
        traces: curves.map((y, i) => {
          const [colour, dash] = agentStyle(i);
          const faint = out >= 0 && out !== i;
          return { x: run.steps, y, name: name(i), mode: run.steps.length < 20 ? "lines+markers" : "lines",
            opacity: faint ? 0.25 : 1, line: { color: faint ? "#888" : colour, dash, width: out === i ? 4 : 1.8 } };
        }),
        legend: run.labels.length <= NAMED ? run.labels.map((_, i) => [name(i), ...agentStyle(i)]) : null,
        layout: { xaxis: stepAxis(run, range()), yaxis: { range: [low - room, high + room] } },
        columns: ["step", ...run.labels.map((_, i) => name(i))],
        rows: sparse(run.steps).map((p) => [run.steps[p], ...curves.map((y) => told(y[p]))]),
      };
    };
    const agents = run.modes.map((mode) => figure(panels, curvesIn(mode)));
    figures.push(() => {
      const shown = ofEach();
      panels.hidden = shown === null;
      const whole = now().of > 1 ? `of so many ${run.nouns} (${now().of}) their mean is shown` : "one figure for the whole world";
      none.textContent = now().each ? "" : `${now().label}: ${whole}.${shown ? ` Of each ${run.noun}: ${run.metrics[shown].label}.` : ""}`;
      if (shown) agents.forEach((draw) => draw());
    });
    redraw();
  }

  // ---- who listened to whom ---------------------------------------------------------------------------------------

  // Edges of a point in time: [receiver, sender, weight in 0 … 1].
  function edgesOf(run, seed, p) {
    if (!run.listening) return [];
    const who = run.listening.who[seed];
    return run.listening.weights[p][seed].flatMap((slots, i) =>
      slots.map((weight, k) => [i, who[i][k], weight / 255]).filter((edge) => edge[2] > 0));
  }

  function onCircle(count) {
    return Array.from({ length: count }, (_, i) => {
      const angle = Math.PI / 2 - (2 * Math.PI * i) / count;
      return [Math.cos(angle), Math.sin(angle)];
    });
  }

  // Places in a tree whose edges lead from the upper to the lower; who is in none has no place.
  function inTree(count, edges) {
    const below = Array.from({ length: count }, () => []), lower = new Set();
    edges.forEach(([upper, i]) => { below[upper].push(i); lower.add(i); });
    const places = Array(count).fill(null);
    let leaves = 0, deepest = 1;
    const put = (i, depth) => {
      deepest = Math.max(deepest, depth);
      const x = below[i].length ? mean(below[i].map((child) => put(child, depth + 1))) : leaves++;
      places[i] = [x, depth];
      return x;
    };
    for (let i = 0; i < count; i++) if (below[i].length && !lower.has(i)) put(i, 0);
    return places.map((at) => at && [(2 * at[0]) / Math.max(1, leaves - 1) - 1, 1 - (2 * at[1]) / deepest]);
  }

  const BINS = 5;

  function edgeTraces(places, edges, most, directed) {
    const bins = Array.from({ length: BINS }, () => ({ x: [], y: [] }));
    const heads = { x: [], y: [], angle: [], shade: [] };
    for (const [receiver, sender, weight] of edges) {
      const [a, b] = [places[sender], places[receiver]];
      if (!a || !b) continue;
      const dx = b[0] - a[0], dy = b[1] - a[1], size = Math.hypot(dx, dy) || 1;
      const [ux, uy] = [dx / size, dy / size], rim = directed ? 0.14 : 0.06, bend = directed ? 0.07 : 0;
      const start = [a[0] + rim * ux, a[1] + rim * uy], end = [b[0] - rim * ux, b[1] - rim * uy];
      const middle = [(a[0] + b[0]) / 2 - bend * uy, (a[1] + b[1]) / 2 + bend * ux];
      const bin = Math.min(BINS - 1, Math.floor((BINS * weight) / most));
      bins[bin].x.push(start[0], middle[0], end[0], null);
      bins[bin].y.push(start[1], middle[1], end[1], null);
      heads.x.push(end[0]);
      heads.y.push(end[1]);
      heads.angle.push((Math.atan2(end[0] - middle[0], end[1] - middle[1]) * 180) / Math.PI);
      heads.shade.push((bin + 1) / BINS);
    }
    const lines = bins.map(({ x, y }, bin) => ({
      x, y, mode: "lines", hoverinfo: "skip", line: { shape: "spline", width: 0.8 + 1.1 * bin, color: `rgba(40,48,58,${0.18 + 0.17 * bin})` },
    }));
    const tips = { x: heads.x, y: heads.y, mode: "markers", hoverinfo: "skip",
      marker: { symbol: "triangle-up", size: heads.shade.map((s) => 6 + 5 * s), angle: heads.angle,
        color: heads.shade.map((s) => `rgba(40,48,58,${0.3 + 0.7 * s})`) } };
    return directed ? [...lines, tips] : lines;
  }

  function drawListening(parent, run) {
    const { listening } = run, tree = listening && listening.title === "who is below whom";
    const headline = ownOf(run);
    if (!listening) {
      parent.append(make("p", { class: "note" }, run.unheard));
      if (!headline || !run.steps.length) return;
    }
    const count = run.labels.length, points = run.steps.length;
    const [seed, ofSeed] = chooser("World of", run.seeds.map((_, s) => [s, seedName(run, s)]), () => { stop(); redraw(); });
    const last = run.steps.findLastIndex((_, p) => !listening || edgesOf(run, 0, p).length); // when somebody listened
    const slider = make("input", { type: "range", id: `step-${runs.indexOf(run)}`, min: "0", max: String(points - 1), step: "1", value: String(Math.max(0, last)) });
    const output = make("output"), play = make("button", { type: "button" }, "Play");
    const ofSlider = make("div", { class: "wide" }, make("label", { for: slider.id }, "Step"), output, slider);
    parent.append(make("div", { class: "controls" }, ofSeed, play, ofSlider));
    const summary = make("p", { class: "summary" }), panels = make("div", { class: "panels" });
    parent.append(summary, panels);

    const lies = () => run.liars[Number(seed.value)] || [];
    const name = (i) => run.labels[i] + (lies()[i] ? " (lies)" : "");
    const liarDash = (i) => DASHES[lies().slice(0, i).filter(Boolean).length % DASHES.length];
    const value = (i, p) => (headline ? run.metrics[headline].values[0][Number(seed.value)][p][i] : null);
    const percent = headline && run.metrics[headline].percent;
    const attention = (p) => {
      const sums = Array(count).fill(0);
      edgesOf(run, Number(seed.value), p).forEach(([, sender, weight]) => { sums[sender] += weight; });
      return sums.map((sum) => (tree ? sum : sum / Math.max(1, count - 1)));
    };

    const graph = figure(panels, () => {
      const p = Number(slider.value), s = Number(seed.value), edges = edgesOf(run, s, p);
      const places = tree ? inTree(count, edges) : onCircle(count);
      const there = run.labels.map((_, i) => i).filter((i) => places[i]);
      const values = there.map((i) => scaled(value(i, p), percent));
      const every = headline ? run.metrics[headline].values[0][s].flat().map((v) => scaled(v, percent)) : [0, 1];
      const plain = run.labels.every((label, i) => label.endsWith(`_${i}`));
      const noted = there.filter((i) => lies()[i] || (!plain && count <= 24 && !tree));
      const named = !plain && count <= 24 && !tree; // names stand outside of the circle
      const away = (i) => (named || lies()[i] ? places[i].map((at) => 1.22 * at) : places[i]);
      const side = (i) => (Math.abs(places[i][0]) > 0.3 ? (places[i][0] > 0 ? "middle right" : "middle left")
        : places[i][1] > 0 ? "top center" : "bottom center");
      const nodes = { x: there.map((i) => places[i][0]), y: there.map((i) => places[i][1]), mode: "markers+text",
        text: there.map(String), textfont: { color: "#111", size: count > 24 ? 10 : 13 },
        hovertext: there.map((i, k) => `${name(i)}${headline ? `: ${told(values[k])}` : ""}`), hoverinfo: "text",
        marker: { size: count > 24 ? 18 : 30, color: values, cmin: extreme(Math.min, every), cmax: extreme(Math.max, every),
          symbol: there.map((i) => (lies()[i] ? "diamond" : "circle")),
          line: { color: there.map((i) => (lies()[i] ? LIAR : "#2b3138")), width: there.map((i) => (lies()[i] ? 4 : 1.2)) },
          colorscale: [[0, "#fff7d6"], [0.5, "#8fc1df"], [1, "#3f8fc0"]], showscale: Boolean(headline),
          colorbar: { orientation: "h", thickness: 10, len: 0.7, y: -0.02, yanchor: "top", tickfont: { size: 11 },
            title: { text: headline ? run.metrics[headline].label + (percent ? ", %" : "") : "", side: "bottom", font: { size: 12 } } } } };
      const notes = { x: noted.map((i) => away(i)[0]), y: noted.map((i) => away(i)[1]), mode: "text", hoverinfo: "skip",
        textposition: noted.map(side), text: noted.map((i) => (lies()[i] ? "lies" : run.labels[i])),
        textfont: { size: 12, color: noted.map((i) => (lies()[i] ? LIAR : "#1b1f24")) } };
      const far = named ? 2.6 : 1.5, bare = { visible: false, range: [-far, far] };
      const who = edges.filter(([, , weight]) => weight > 0);
      return {
        caption: `${listening ? listening.title : `the ${run.nouns}`}, step ${run.steps[p]}${listening && !tree ? " (arrows lead to who listens; thick: more)" : ""}`,
        traces: [...edgeTraces(places, edges, whole().most, !tree), nodes, notes],
        layout: { xaxis: bare, yaxis: { ...bare, range: [-1.4, 1.4] }, margin: { l: 4, r: 4, t: 4, b: 56 } },
        columns: listening ? [tree ? "above" : "listens", tree ? "below" : "to", "how much"] : ["who", headline || ""],
        rows: listening ? who.map(([i, j, weight]) => [name(i), name(j), weight.toFixed(2)])
          : there.map((i, k) => [name(i), told(values[k])]),
      };
    }, "square graph");

    // Of the whole episode of a seed, made once: how much each is listened to, and the greatest weight.
    const known = new Map();
    function whole() {
      const s = Number(seed.value);
      if (!known.has(s)) {
        const weights = run.steps.flatMap((_, p) => edgesOf(run, s, p).map((edge) => edge[2]));
        known.set(s, { shares: run.steps.map((_, p) => attention(p)), most: weights.reduce((a, b) => Math.max(a, b), 0.01) });
      }
      return known.get(s);
    }

    const overTime = listening && figure(panels, () => {
      const all = whole().shares, p = run.steps[Number(slider.value)];
      return {
        caption: tree ? "weight of each agent" : listening.title === "who heard whom" ? "how many heard each" : "how much each is listened to",
        traces: run.labels.map((_, i) => {
          const [colour, dash] = agentStyle(i);
          return { x: run.steps, y: all.map((shares) => shares[i]), name: name(i), mode: points < 20 ? "lines+markers" : "lines",
            line: lies()[i] ? { color: LIAR, dash: liarDash(i), width: 4 } : { color: colour, dash, width: 1.8 } };
        }),
        legend: count <= NAMED ? run.labels.map((_, i) => [name(i), ...(lies()[i] ? [LIAR, liarDash(i)] : agentStyle(i))]) : null,
        layout: { xaxis: stepAxis(run), yaxis: { rangemode: "tozero" },
          shapes: [{ type: "line", x0: p, x1: p, y0: 0, y1: 1, yref: "paper", line: { color: "#444", width: 1 } }] },
        columns: ["step", ...run.labels.map((_, i) => name(i))],
        rows: sparse(run.steps).map((q) => [run.steps[q], ...all[q].map((share) => share.toFixed(3))]),
      };
    });

    function tell() {
      const p = Number(slider.value);
      output.textContent = `${run.steps[p]} of ${run.horizon}`;
      slider.setAttribute("aria-valuetext", `step ${run.steps[p]}`);
      if (!listening) return;
      const shares = attention(p), best = shares.indexOf(Math.max(...shares)), verb = tree ? "is used" : listening.title === "who heard whom" ? "is heard" : "is listened to";
      const liars = run.labels.map((_, i) => i).filter((i) => lies()[i]);
      const of = (i) => `${name(i)} ${shares[i].toFixed(2)}`;
      summary.textContent = shares[best] > 0
        ? `At step ${run.steps[p]} ${name(best)} ${verb} most (${shares[best].toFixed(2)})${liars.length ? `; ${liars.map(of).join(", ")}` : ""}.`
        : `At step ${run.steps[p]} nobody ${verb}.`;
    }

    let timer = null;
    function redraw() { tell(); graph(); if (overTime) overTime(); }
    function stop() { clearInterval(timer); timer = null; play.textContent = "Play"; }
    slider.addEventListener("input", redraw);
    play.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (Number(slider.value) >= points - 1) slider.value = "0";
      play.textContent = "Pause";
      timer = setInterval(() => {
        slider.value = String(Number(slider.value) + 1);
        redraw();
        if (Number(slider.value) >= points - 1) stop();
      }, 150);
      return redraw();
    });
    redraw();
  }

  // ---- budget and bytes -------------------------------------------------------------------------------------------

  function drawCosts(parent, run) {
    const panels = make("div", { class: "panels" });
    const at = (mode) => run.modes.indexOf(mode), sum = (values) => values.reduce((a, b) => a + (b || 0), 0);
    const total = (name) => (mode) => {
      const { values, each, of } = run.metrics[name];
      return values[at(mode)].map((points) => points.map((value) => (each ? sum(value) : of * value)));
    };
    const inKib = (mode) => total("bytes")(mode).map((points) => points.map((value) => value / 1024));
    parent.append(panels); // first, since a figure is as wide as the place it is drawn in
    const figures = [];
    const add = (...how) => figures.push(figure(panels, byMode(run, ...how)));
    const whole = { percent: () => true };
    if (run.budget) add(() => "the teacher's budget left", (mode) => run.budget[at(mode)], { ...whole, spent: true });
    if (run.metrics.bytes) add(() => `KiB that all ${run.nouns} sent so far`, inKib);
    if (run.metrics.labels) add(() => "labels told so far", total("labels"));
    if (run.metrics.cost) add(() => "computed, over what it takes when all learn", total("cost"), whole);
    figures.forEach((draw) => draw());
    if (!figures.length) panels.replaceWith(make("p", { class: "note" }, run.uncharged));
  }

  // ---- several runs -------------------------------------------------------------------------------------------------

  function drawCompared(parent) {
    const first = runs[0].headline, alike = runs.filter((run) => run.headline === first);
    figure(parent, () => {
      const bands = alike.map((run) => bandOf(ofSeeds(run, first, "open"), run.metrics[first].percent));
      return {
        caption: `${alike[0].metrics[first].label}${alike[0].metrics[first].percent ? ", %" : ""}, open: mean of agents and seeds, and the range of the seeds`,
        traces: alike.flatMap((run, r) => bandTraces(run.steps, bands[r], run.name, agentStyle(r), run.seeds.length > 1)),
        legend: alike.map((run, r) => [run.name, ...agentStyle(r)]),
        layout: { xaxis: stepAxis({ horizon: Math.max(...alike.map((run) => run.horizon)) }) },
        columns: ["run", "step", "value"],
        rows: alike.flatMap((run, r) => sparse(run.steps).map((p) => [run.name, String(run.steps[p]), told(bands[r].mean[p])])),
      };
    })();
  }

  const draw = { curves: drawCurves, listening: drawListening, costs: drawCosts };
  for (const [kind, how] of Object.entries(draw)) {
    document.querySelectorAll(`[data-drawn="${kind}"]`).forEach((parent, r) => how(parent, runs[r]));
  }
  document.querySelectorAll('[data-drawn="compared"]').forEach(drawCompared);
  document.documentElement.dataset.ready = "true";
})();
