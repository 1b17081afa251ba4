// Replays of greedy episodes, the challenger's beside the other side's, drawn from the document alone.
"use strict";
(function (autorl) {
  const { el, fill, colour } = autorl;
  const HUES = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

  const MOST_SHOWN = 12;
  const MOST_NUMBERS = 4_000_000;

  // Frames as full lists of values: all, runs of equal ones, or changes against the frame before.
  function decode(frames, size) {
    const found = [];
    let before = null;
    for (const frame of frames.slice(0, Math.max(1, Math.floor(MOST_NUMBERS / size)))) {
      let now;
      if (frame.all) now = frame.all.slice(0, size);
      else if (frame.runs) {
        now = [];
        for (let i = 0; i + 1 < frame.runs.length && now.length < size; i += 2) for (let k = 0; k < frame.runs[i + 1] && now.length < size; k += 1) now.push(frame.runs[i]);
      } else {
        now = before ? before.slice() : new Array(size).fill(0);
        for (let i = 0; i + 1 < (frame.changes || []).length; i += 2) now[frame.changes[i]] = frame.changes[i + 1];
      }
      found.push(now);
      before = now;
    }
    return found;
  }

  const product = (sizes) => sizes.reduce((a, b) => a * b, 1);

  // Named grids over all steps: the environment's own layers, a view's fields, or channels.
  function planes(doc) {
    const cut = (name, h, w, start, frames) => ({ name, h, w, frames: frames.map((values) => values.slice(start, start + h * w)) });
    const split = (names, [count, h, w], frames) => Array.from({ length: count }, (_, c) => cut(names[c] || `channel ${c + 1}`, h, w, c * h * w, frames));
    if (doc.layers) return split(doc.layers.names, doc.layers.shape, decode(doc.layers.frames, product(doc.layers.shape)));
    const all = decode([...doc.steps.map((step) => step.frame), ...(doc.last_frame ? [doc.last_frame] : [])], product(doc.observation_shape));
    if (!doc.view) return split(doc.channels || [], doc.observation_shape, all);
    const found = [];
    let start = 0;
    for (const [, name, , sizes] of doc.view.matchAll(/(.{1,40}?) (bool|uint8|int8|int16|int32|int64|float32) \[([\d, ]*)\](?:, |$)/g)) {
      const shape = sizes.split(",").filter((size) => size.trim()).map(Number);
      const [h, w] = [1, 1, ...shape].slice(-2);
      const count = product(shape) / (h * w);
      for (let k = 0; k < count; k += 1) found.push(cut(count === 1 ? name : `${name} ${k}`, h, w, start + k * h * w, all));
      start += product(shape);
    }
    return found;
  }

  // Is it no grid to look at: one value all over at each step, or a few numbers in a row?
  function isFlat(plane) {
    return (plane.h <= 1 && plane.w <= MOST_SHOWN) || plane.frames.every((frame) => frame.every((v) => v === frame[0]));
  }

  // How far each value is from the plane's most common one, from 0 to 1.
  function levels(plane) {
    const counts = new Map();
    for (const frame of plane.frames) for (const v of frame) counts.set(v, (counts.get(v) || 0) + 1);
    let usual = [...counts].sort((a, b) => b[1] - a[1])[0][0];
    if ([...counts.keys()].every((v) => v === 0 || v === 1)) usual = 0;
    const most = Math.max(...[...counts.keys()].map((v) => Math.abs(v - usual))) || 1;
    return plane.frames.map((frame) => frame.map((v) => Math.abs(v - usual) / most));
  }

  function boards(doc, grids) {
    const bySize = new Map();
    for (const plane of grids) {
      const key = `${plane.h}x${plane.w}`;
      if (!bySize.has(key)) bySize.set(key, []);
      bySize.get(key).push({ ...plane, levels: levels(plane) });
    }
    for (const group of bySize.values()) {
      const fullness = (plane) => plane.levels.reduce((sum, frame) => sum + frame.filter((v) => v > 1e-6).length, 0);
      if (!doc.layers) group.sort((a, b) => fullness(b) - fullness(a));
    }
    return [...bySize.values()];
  }

  function paint(canvas, group, k) {
    const ctx = canvas.getContext("2d");
    const { h, w } = group[0];
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour("grid-back");
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    const cell = Math.min(canvas.width / w, canvas.height / h);
    for (let i = 0; i < h * w; i += 1) {
      for (let c = group.length - 1; c >= 0; c -= 1) {
        const frames = group[c].levels;
        const level = frames[Math.min(k, frames.length - 1)][i];
        if (level <= 1e-6) continue;
        ctx.globalAlpha = 0.2 + 0.8 * level;
        ctx.fillStyle = colour(HUES[c % HUES.length]);
        ctx.fillRect((i % w) * cell + 1, Math.floor(i / w) * cell + 1, Math.max(1, cell - 2), Math.max(1, cell - 2));
        break;
      }
    }
    if (cell < 6) return;
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colour("grid");
    ctx.beginPath();
    for (let i = 0; i <= w; i += 1) { ctx.moveTo(i * cell, 0); ctx.lineTo(i * cell, h * cell); }
    for (let i = 0; i <= h; i += 1) { ctx.moveTo(0, i * cell); ctx.lineTo(w * cell, i * cell); }
    ctx.stroke();
  }

  function player(title, doc) {
    const all = planes(doc);
    const groups = boards(doc, all.filter((plane) => !isFlat(plane)));
    const scalars = all.filter(isFlat).slice(0, MOST_SHOWN);
    const length = Math.max(...all.map((plane) => plane.frames.length), doc.steps.length);
    const canvases = groups.map(([{ h, w }]) => {
      const cell = Math.max(1, Math.min(40, 280 / w, 280 / h));
      return el("canvas", { width: Math.round(w * cell), height: Math.round(h * cell), role: "img", "aria-label": `Replay of ${title}` });
    });
    const text = el("p", {});
    const rest = el("p", { class: "dim" });
    const node = el("figure", { class: "replay" }, el("figcaption", {}, el("b", {}, title), `: return ${autorl.number(doc.return)}, ${doc.steps.length} steps${doc.success ? ", solved" : ""}`),
      groups.map((group, index) => [canvases[index], el("ul", { class: "legend" }, group.map((plane, c) => el("li", {}, el("span", { class: `swatch s-${HUES[c % HUES.length]}` }), ` ${plane.name}`)))]), text, rest);
    return { node, length, show: (k) => {
      groups.forEach((group, index) => paint(canvases[index], group, k));
      const at = Math.min(k, doc.steps.length);
      const step = doc.steps[at];
      const sum = doc.steps.slice(0, at).reduce((a, s) => a + s.reward, 0);
      text.textContent = step ? `step ${at + 1} of ${doc.steps.length}: action ${step.action}, reward ${autorl.number(step.reward)}, return before ${autorl.number(sum)}` : `the end, return ${autorl.number(sum)}`;
      rest.textContent = scalars.map((plane) => `${plane.name} ${plane.frames[Math.min(k, plane.frames.length - 1)].slice(0, MOST_SHOWN).map((v) => +v.toPrecision(4)).join(" ")}`).join(" · ");
    } };
  }

  // Both sides on one seed, where both are kept: they begin alike there.
  function choices(doc) {
    const own = doc.replays || [];
    const theirs = (doc.against && doc.against.replays) || [];
    const both = own.filter((seed) => theirs.includes(seed));
    const rest = [...own, ...theirs].filter((seed) => !both.includes(seed));
    return { own, theirs, seeds: [...new Set([...both, ...rest])], both };
  }

  async function show(place, doc, seed, episode) {
    const { own, theirs, seeds, both } = choices(doc);
    if (!seeds.length) {
      fill(place, el("p", { class: "empty" }, autorl.withCode(`No replay is kept of it. \`autorl-daemon play ${doc.experiment}\` evaluates it again and shows one; then it is here too.`)));
      return;
    }
    // Without a seed in common each side shows its best one, until a seed is chosen.
    const isApart = seed === undefined && !both.length && own.length > 0 && theirs.length > 0;
    const ownSeed = isApart ? own[0] : seed === undefined ? seeds[0] : seed;
    const theirSeed = isApart ? theirs[0] : ownSeed;
    seed = ownSeed;
    episode = episode || 0;
    const wanted = [];
    const of = (one) => (isApart ? `, seed ${one}` : "");
    if (own.includes(ownSeed)) wanted.push([doc.experiment, `#${doc.experiment}${of(ownSeed)}`, ownSeed]);
    if (theirs.includes(theirSeed)) wanted.push([doc.against.experiment, `#${doc.against.experiment}, what it was judged against${of(theirSeed)}`, theirSeed]);
    const players = [];
    let episodes = 1;
    let problem = null;
    for (const [n, title, on] of wanted) {
      try {
        const kept = await autorl.get(`experiments/${n}/replay/${on}/${episode}`);
        episodes = Math.max(episodes, kept.episodes);
        if (kept.replay.schema === "simverse.replay" && kept.replay.version === 1) players.push(player(title, kept.replay));
        else problem = "this replay is of another version";
      } catch (error) { problem = error.message; }
    }
    const pick = (label, values, value, name, then) => (values.length < 2 ? null : el("label", {}, `${label} `,
      el("select", { onchange: (event) => then(Number(event.target.value)) }, values.map((one) => el("option", { value: one, selected: one === value }, name(one))))));
    const head = el("div", { class: "head" },
      pick("seed", seeds, seed, (one) => `${one}${both.includes(one) ? " (both)" : ""}`, (one) => show(place, doc, one, 0)),
      pick("episode", Array.from({ length: episodes }, (_, k) => k), episode, (one) => String(one + 1), (one) => show(place, doc, seed, one)),
      el("span", { class: "dim" }, problem || (isApart ? "no seed is kept of both: they begin differently" : players.length === 2 ? "the same seed: both begin alike" : "")));
    if (!players.length) { fill(place, head); return; }
    const length = Math.max(...players.map((one) => one.length));
    let timer = null;
    const slider = el("input", { type: "range", min: 0, max: length - 1, value: 0, "aria-label": "Step", oninput: () => draw() });
    const button = el("button", { type: "button", onclick: () => {
      if (timer) { stop(); return; }
      if (Number(slider.value) >= length - 1) slider.value = 0;
      button.textContent = "pause";
      timer = setInterval(() => {
        if (!slider.isConnected || Number(slider.value) >= length - 1) { stop(); return; }
        slider.value = Number(slider.value) + 1;
        draw();
      }, 180);
    } }, "play");
    function stop() { clearInterval(timer); timer = null; button.textContent = "play"; }
    function draw() { for (const one of players) one.show(Number(slider.value)); }
    fill(place, head, el("div", { class: "replays" }, players.map((one) => one.node)), el("div", { class: "player" }, button, slider));
    draw();
  }

  autorl.replay = { show };
})(window.autorl);
