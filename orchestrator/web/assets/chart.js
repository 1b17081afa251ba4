// The chart: every experiment at its score, bands for budgets, lines for what is published and leads.
"use strict";
(function (autorl) {
  const { el, fill, number, colour, link } = autorl;
  const X = {
    n: ["experiment", "Number of the experiment"],
    hours: ["hour", "Hours since the run began, pauses included"],
    dollars: ["dollar", "Dollars spent by then, as far as they are known"],
    evaluator_s: ["evaluator second", "Seconds of training and evaluation by then"],
  };
  const FAILED = new Set(["invalid", "rejected", "crash", "timeout"]);
  let data = null;
  let plot = null;
  let drawn = [];
  let labels = [];
  let hovered = null;
  let wished = remembered("chart-x", "n");
  let x = wished;
  let fit = remembered("chart-fit", "typical");
  let place, note, tip, choices;

  function remembered(name, otherwise) {
    try { return localStorage.getItem(name) || otherwise; } catch { return otherwise; }
  }
  function remember(name, value) {
    try { localStorage.setItem(name, value); } catch { /* a private window */ }
  }

  function make(card) {
    choices = el("div", { class: "choices", role: "group", "aria-label": "Horizontal axis" },
      Object.entries(X).map(([key, [name, help]]) => el("button", {
        type: "button", title: help, "data-x": key, "aria-pressed": String(key === x),
        onclick: () => { wished = key; remember("chart-x", key); build(); },
      }, name)));
    place = el("div", { class: "plot", tabindex: 0, role: "img", "aria-label": "Scores of all experiments; arrow keys move along them, Enter opens one" });
    note = el("p", { class: "dim note" });
    tip = el("div", { class: "tip", hidden: true });
    place.addEventListener("keydown", keys);
    fill(card, el("div", { class: "head" }, el("h2", { title: "Mean greedy return in evaluation; a dot is an experiment" }, "Score"),
      el("span", { class: "dim" }, "by"), choices, el("span", { class: "spacer" }),
      el("button", { type: "button", id: "fit", class: "plain", title: "Whether single scores far away may flatten the others", onclick: () => {
        fit = fit === "all" ? "typical" : "all"; remember("chart-fit", fit); build();
      } }, "")), place, legend(), note);
    new ResizeObserver(() => { if (plot && plot.width !== place.clientWidth) build(); }).observe(place);
  }

  function legend() {
    const mark = (name, shape, text, title) => el("li", { title }, el("span", { class: `shape v-${name}`, "aria-hidden": "true" }, shape), ` ${text}`);
    return el("ul", { class: "legend" },
      mark("keep", "●", "kept", autorl.VERDICTS.keep[1]), mark("lead", "▲", "leads", autorl.VERDICTS.lead[1]),
      mark("baseline", "◆", "baseline", autorl.VERDICTS.baseline[1]), mark("discard", "○", "discarded", autorl.VERDICTS.discard[1]),
      mark("crash", "✕", "failed", "refused, crashed, timed out or disqualified; along the lower edge where there is no score"),
      mark("accepted", "★", "accepted by you", "published by you, whatever the test said"),
      mark("flagged", "◯", "flagged", "something about it needs a look: see its page"),
      mark("validated", "■", "validated, 95% interval", "mean over fresh seeds that did not choose it, with its 95% confidence interval"),
      mark("keep", "━", "published", "the published candidate: proven"), mark("lead", "─", "lead", "the lead, where it is another one; not proven"));
  }

  function set(document_) {
    data = document_;
    build();
  }

  // What has changed takes the place of what was there.
  function merge(part) {
    if (!data || part.tag !== data.tag) return;
    const at = new Map(data.columns.n.map((n, index) => [n, index]));
    const rungs = part.rungs.map((name) => {
      if (!data.rungs.includes(name)) data.rungs.push(name);
      return data.rungs.indexOf(name);
    });
    part.columns.n.forEach((n, index) => {
      const to = at.has(n) ? at.get(n) : data.columns.n.length;
      for (const [name, column] of Object.entries(part.columns)) data.columns[name][to] = name === "rung" ? rungs[column[index]] : column[index];
    });
    Object.assign(data.validated, part.validated);
    data.published = part.published;
    data.leads = part.leads;
    build();
  }

  function order() {
    const c = data.columns;
    const all = c.n.map((_, index) => index).filter((index) => c.status[index] !== "aborted" && Number.isFinite(c[x][index]));
    return x === "n" ? all.sort((a, b) => c.n[a] - c.n[b]) : all;
  }

  function level(step) {
    const mean = data.validated[step.n];
    return mean ? mean[0] : step.score;
  }

  function yRange(indices) {
    const c = data.columns;
    const scores = indices.map((i) => c.score[i]).filter((v) => v !== null);
    const always = [];
    for (const step of [...data.published, ...data.leads]) if (level(step) !== null) always.push(level(step));
    for (const mean of Object.values(data.validated)) always.push(mean[1], mean[2]);
    if (!scores.length && !always.length) return { low: 0, high: 1, out: 0 };
    const every = [...scores, ...always].sort((a, b) => a - b);
    let low = every[0];
    let high = every[every.length - 1];
    const sorted = [...scores].sort((a, b) => a - b);
    let outside = 0;
    if (sorted.length >= 8) {
      const at = (q) => sorted[Math.floor(q * (sorted.length - 1))];
      const room = 1.5 * (at(0.9) - at(0.1));
      const least = Math.min(at(0.1) - room, ...always);
      const most = Math.max(at(0.9) + room, ...always);
      outside = scores.filter((v) => v < least || v > most).length;
      if (outside && room > 0 && fit !== "all") {
        low = Math.max(low, least);
        high = Math.min(high, most);
      } else if (room <= 0) outside = 0;
    }
    const span = high - low || Math.max(1e-6, Math.abs(high) * 0.1);
    return { low: low - 0.14 * span, high: high + 0.12 * span, out: outside };
  }

  function build() {
    if (!data || !place) return;
    const known = (key) => key === "n" || (key in X && data.columns[key].some((v) => v > 0));
    x = known(wished) ? wished : "n";
    for (const button of choices.children) {
      const key = button.dataset.x;
      const isKnown = known(key);
      button.setAttribute("aria-pressed", String(key === x));
      button.disabled = !isKnown;
      button.title = isKnown ? X[key][1] : "Nothing is known of it in this run";
    }
    const indices = order();
    const c = data.columns;
    if (plot) { plot.destroy(); plot = null; }
    hovered = null;
    const fitButton = document.getElementById("fit");
    if (!indices.length) {
      fill(place, el("p", { class: "empty" }, "No experiment has ended yet. The first one appears here by itself."));
      fitButton.hidden = true;
      return;
    }
    fill(place);
    const range = yRange(indices);
    fitButton.hidden = !range.out;
    fitButton.textContent = fit === "all" ? "fit most scores" : `show all: ${range.out} outside`;
    const xs = indices.map((i) => c[x][i]);
    const ys = indices.map((i) => c.score[i]);
    const first = xs[0];
    const last = xs[xs.length - 1];
    const pad = (last - first || 1) * 0.02 + (x === "n" ? 0.5 : 0);
    const axis = { stroke: colour("ink-2"), grid: { stroke: colour("grid"), width: 1 }, ticks: { stroke: colour("grid") }, font: "12px system-ui" };
    plot = new uPlot({
      width: place.clientWidth || 800,
      height: Math.max(220, Math.min(380, Math.round(window.innerHeight * 0.4))),
      legend: { show: false },
      cursor: { x: false, y: false, points: { show: false }, drag: { x: true, y: false }, focus: { prox: -1 } },
      scales: { x: { time: false, range: (u, a, b) => (first === last || (a === first && b === last) ? [first - pad, last + pad] : [a, b]) }, y: { range: () => [range.low, range.high] } },
      series: [{}, { show: true, paths: () => null, points: { show: false } }],
      axes: [{ ...axis, label: X[x][0] + (x === "n" ? "" : "s"), labelSize: 22, labelFont: "12px system-ui", incrs: x === "n" ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] : undefined }, { ...axis, size: 62, values: (u, v) => v.map((one) => (Math.abs(one) >= 1e5 ? one.toExponential(1) : +one.toPrecision(6))) }],
      hooks: { drawClear: [bands], draw: [(u) => paint(u, indices)], setCursor: [hover] },
    }, [xs, ys], place);
    plot.over.append(tip);
    plot.over.addEventListener("click", () => { if (hovered !== null) open(); });
    plot.over.addEventListener("mouseleave", () => point(null));
    const scored = ys.filter((v) => v !== null).length;
    note.textContent = `${indices.length.toLocaleString("en-US")} experiments, ${scored.toLocaleString("en-US")} with a score. Shaded bands are budgets (training/evaluation episodes a seed): compare within one. Drag to zoom, double-click to zoom out.`;
  }

  function xOf(n) {
    const index = data.columns.n.indexOf(n);
    return index < 0 ? null : data.columns[x][index];
  }

  // A budget begins with the baseline that is scored at it.
  function rungStarts() {
    const c = data.columns;
    const starts = [];
    let current = null;
    for (let i = 0; i < c.n.length; i += 1) {
      if (c.rung[i] !== current && (c.baseline[i] || current === null) && Number.isFinite(c[x][i])) {
        current = c.rung[i];
        starts.push({ at: c[x][i] - (x === "n" ? 0.5 : 0), name: data.rungs[current] });
      }
      if (c.new_task[i]) starts.push({ at: c[x][i] - (x === "n" ? 0.5 : 0), name: data.rungs[c.rung[i]], seam: true });
    }
    return starts;
  }

  function bands(u) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    ctx.save();
    ctx.beginPath(); ctx.rect(left, top, width, height); ctx.clip();
    const starts = rungStarts();
    labels = [];
    starts.forEach((start, index) => {
      const from = Math.max(left, u.valToPos(start.at, "x", true));
      const next = starts[index + 1];
      const to = next ? u.valToPos(next.at, "x", true) : left + width;
      if (to < left || from > left + width) return;
      if (index % 2) { ctx.fillStyle = colour("band"); ctx.fillRect(from, top, to - from, height); }
      labels.push([start.seam ? "new task" : `budget ${start.name}`, from, to - from]);
      if (start.seam) {
        ctx.strokeStyle = colour("ink-2"); ctx.setLineDash([6, 4]);
        ctx.beginPath(); ctx.moveTo(from, top); ctx.lineTo(from, top + height); ctx.stroke(); ctx.setLineDash([]);
      }
    });
    ctx.restore();
  }

  // Over the grid, on a ground of their own; a narrow band has none.
  function names(u) {
    const { ctx } = u;
    const dpr = devicePixelRatio;
    ctx.font = `${11 * dpr}px system-ui`;
    ctx.textAlign = "left"; // the axes leave their own
    ctx.textBaseline = "alphabetic";
    for (const [text, from, wide] of labels) {
      const length = ctx.measureText(text).width;
      if (length + 8 * dpr > wide) continue;
      ctx.fillStyle = colour("card");
      ctx.fillRect(from + 2 * dpr, u.bbox.top + dpr, length + 6 * dpr, 15 * dpr);
      ctx.fillStyle = colour("ink-2");
      ctx.fillText(text, from + 5 * dpr, u.bbox.top + 12 * dpr);
    }
  }

  function line(u, steps, stroke, width) {
    const { ctx } = u;
    const { left, width: wide } = u.bbox;
    ctx.strokeStyle = stroke;
    ctx.lineWidth = width * devicePixelRatio;
    const end = Math.min(left + wide, u.valToPos(data.columns[x].reduce((a, b) => Math.max(a, b || 0), 0), "x", true));
    const points = steps.map((step) => ({ step, px: u.valToPos(xOf(step.at) === null ? xOf(step.n) : xOf(step.at), "x", true), y: level(step) }))
      .filter((p) => p.y !== null && Number.isFinite(p.px));
    points.forEach((p, index) => {
      const next = points[index + 1];
      const py = u.valToPos(p.y, "y", true);
      ctx.beginPath();
      ctx.moveTo(p.px, py);
      const to = next ? next.px : Math.max(end, p.px);
      ctx.lineTo(to, py);
      if (next && next.step.rung === p.step.rung && next.step.epoch === p.step.epoch) ctx.lineTo(to, u.valToPos(next.y, "y", true));
      ctx.stroke();
    });
  }

  function shape(ctx, name, px, py, r) {
    ctx.beginPath();
    if (name === "triangle") { ctx.moveTo(px, py - r * 1.2); ctx.lineTo(px + r * 1.1, py + r * 0.8); ctx.lineTo(px - r * 1.1, py + r * 0.8); ctx.closePath(); }
    else if (name === "down") { ctx.moveTo(px, py + r * 1.2); ctx.lineTo(px + r, py - r * 0.6); ctx.lineTo(px - r, py - r * 0.6); ctx.closePath(); }
    else if (name === "diamond") { ctx.moveTo(px, py - r * 1.25); ctx.lineTo(px + r * 1.25, py); ctx.lineTo(px, py + r * 1.25); ctx.lineTo(px - r * 1.25, py); ctx.closePath(); }
    else if (name === "cross") { ctx.moveTo(px - r, py - r); ctx.lineTo(px + r, py + r); ctx.moveTo(px + r, py - r); ctx.lineTo(px - r, py + r); }
    else if (name === "star") {
      for (let k = 0; k < 10; k += 1) {
        const a = -Math.PI / 2 + (k * Math.PI) / 5;
        const size = k % 2 ? r * 0.55 : r * 1.4;
        ctx[k ? "lineTo" : "moveTo"](px + size * Math.cos(a), py + size * Math.sin(a));
      }
      ctx.closePath();
    } else ctx.arc(px, py, r, 0, 2 * Math.PI);
  }

  function look(i) {
    const c = data.columns;
    const status = c.status[i];
    if (c.accepted[i]) return ["star", "accepted", 5.5, true];
    if (FAILED.has(status)) return ["cross", "crash", 3.4, false];
    if (status === "keep") return ["circle", "keep", 5, true];
    if (status === "lead") return ["triangle", "lead", 5, true];
    if (status === "baseline") return ["diamond", "baseline", 4.4, true];
    return ["circle", "discard", 3.2, !c.partial[i] && c.score[i] !== null && data.columns.n.length > 400];
  }

  function paint(u, indices) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    const c = data.columns;
    const dpr = devicePixelRatio;
    const low = u.scales.y.min;
    const high = u.scales.y.max;
    ctx.save();
    ctx.beginPath(); ctx.rect(left, top, width, height); ctx.clip();
    names(u);
    drawn = [];
    const many = indices.length > 1500;
    const paintOne = (i) => {
      const px = u.valToPos(c[x][i], "x", true);
      if (px < left - 10 || px > left + width + 10) return;
      const [form, name, size, solid] = look(i);
      const score = c.score[i];
      const r = size * dpr * (many ? 0.7 : 1);
      let py;
      let kind = form;
      if (score === null) py = top + height - 9 * dpr;
      else if (score < low) { py = top + height - 6 * dpr; kind = "down"; }
      else if (score > high) { py = top + 20 * dpr; kind = "triangle"; }
      else py = u.valToPos(score, "y", true);
      drawn.push([px / dpr, py / dpr, i]);
      ctx.strokeStyle = ctx.fillStyle = colours[name];
      ctx.lineWidth = 1.5 * dpr;
      shape(ctx, kind, px, py, r);
      if (solid && kind !== "cross") { ctx.fill(); ctx.strokeStyle = colours.card; ctx.lineWidth = 0.8 * dpr; ctx.stroke(); } else ctx.stroke();
      if (c.flagged[i]) { ctx.strokeStyle = colours.flagged; ctx.lineWidth = (many ? 1 : 1.8) * dpr; ctx.beginPath(); ctx.arc(px, py, r + (many ? 2 : 3.5) * dpr, 0, 2 * Math.PI); ctx.stroke(); }
    };
    const colours = {};
    for (const name of ["accepted", "crash", "keep", "lead", "baseline", "discard", "card", "flagged", "validated"]) colours[name] = colour(name);
    const isBig = (i) => c.accepted[i] || ["keep", "lead", "baseline"].includes(c.status[i]);
    indices.filter((i) => !isBig(i)).forEach(paintOne);
    if (data.leads.length > data.published.length) line(u, data.leads, colours.lead, 1.3);
    line(u, data.published, colours.keep, many ? 2 : 3);
    whiskers(u, colours.validated);
    indices.filter(isBig).forEach(paintOne);
    ctx.restore();
    if (hovered !== null) ring(u);
  }

  function whiskers(u, ink) {
    const { ctx } = u;
    const dpr = devicePixelRatio;
    ctx.strokeStyle = ctx.fillStyle = ink;
    ctx.lineWidth = 1.5 * dpr;
    for (const [n, [mean, low, high]] of Object.entries(data.validated)) {
      const value = xOf(Number(n));
      if (value === null) continue;
      const px = u.valToPos(value, "x", true) + 8 * dpr;
      const [m, a, b] = [mean, low, high].map((v) => u.valToPos(v, "y", true));
      ctx.beginPath();
      ctx.moveTo(px, a); ctx.lineTo(px, b);
      for (const y of [a, b]) { ctx.moveTo(px - 3 * dpr, y); ctx.lineTo(px + 3 * dpr, y); }
      ctx.stroke();
      ctx.fillRect(px - 2.6 * dpr, m - 2.6 * dpr, 5.2 * dpr, 5.2 * dpr);
    }
  }

  function ring() {
    const found = drawn.find(([, , i]) => i === hovered);
    if (!found) return;
    const { ctx } = plot;
    ctx.strokeStyle = colour("ink");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.beginPath();
    ctx.arc(found[0] * devicePixelRatio, found[1] * devicePixelRatio, 9 * devicePixelRatio, 0, 2 * Math.PI);
    ctx.stroke();
  }

  function hover(u) {
    const { left, top } = u.cursor;
    if (left < 0) return;
    const [x0, y0] = [u.bbox.left / devicePixelRatio, u.bbox.top / devicePixelRatio];
    let best = null;
    let near = 22 * 22;
    for (const [px, py, i] of drawn) {
      const d = (px - x0 - left) ** 2 + (py - y0 - top) ** 2;
      if (d < near) { near = d; best = i; }
    }
    if (best !== hovered) point(best);
  }

  function point(index) {
    hovered = index;
    tip.hidden = index === null;
    if (!plot) return;
    plot.redraw(false);
    plot.over.classList.toggle("pointing", index !== null);
    if (index === null) return;
    const c = data.columns;
    const n = c.n[index];
    const mean = data.validated[n];
    fill(tip, el("b", {}, `#${n} `), autorl.verdict(c.status[index], c.accepted[index]),
      el("div", {}, c.score[index] === null ? "no score" : `${c.partial[index] ? "stopped early at " : "score "}${number(c.score[index])}`, ` · ${data.rungs[c.rung[index]]}`),
      mean ? el("div", {}, `validated ${number(mean[0])}, ${number(mean[1])} to ${number(mean[2])}`) : null,
      el("div", { class: "dim" }, c.what[index]));
    const found = drawn.find(([, , i]) => i === index);
    if (!found) return;
    const px = found[0] - plot.bbox.left / devicePixelRatio;
    const py = found[1] - plot.bbox.top / devicePixelRatio;
    const wide = plot.over.clientWidth;
    tip.style.left = `${Math.min(Math.max(0, px + 14), Math.max(0, wide - 290))}px`;
    tip.style.top = `${py > 120 ? py - 100 : py + 16}px`;
  }

  function open() { location.hash = `#/experiment/${data.columns.n[hovered]}`; }

  function keys(event) {
    if (!data || !drawn.length) return;
    const order_ = [...drawn].sort((a, b) => a[0] - b[0]).map((one) => one[2]);
    const at = order_.indexOf(hovered);
    if (event.key === "ArrowRight") point(order_[Math.min(order_.length - 1, at + 1)]);
    else if (event.key === "ArrowLeft") point(order_[Math.max(0, at < 0 ? order_.length - 1 : at - 1)]);
    else if (event.key === "Enter" && hovered !== null) open();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  autorl.chart = { make, set, merge, redraw: build, link, points: () => drawn.length };
})(window.autorl);
