// Replays of greedy episodes, the challenger's beside the other side's, drawn from the document alone.
"use strict";
(function (autorl) {
  const { el, fill, colour } = autorl;
  const HUES = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

  // Frames as full lists of values: all, runs of equal ones, or changes against the frame before.
  function decode(doc) {
    const size = doc.observation_shape.reduce((a, b) => a * b, 1);
    const frames = [];
    let before = null;
    for (const frame of [...doc.steps.map((step) => step.frame), ...(doc.last_frame ? [doc.last_frame] : [])]) {
      let now;
      if (frame.all) now = frame.all.slice(0, size);
      else if (frame.runs) {
        now = [];
        for (let i = 0; i + 1 < frame.runs.length && now.length < size; i += 2) for (let k = 0; k < frame.runs[i + 1] && now.length < size; k += 1) now.push(frame.runs[i]);
      } else {
        now = before ? before.slice() : new Array(size).fill(0);
        for (let i = 0; i + 1 < (frame.changes || []).length; i += 2) now[frame.changes[i]] = frame.changes[i + 1];
      }
      frames.push(now);
      before = now;
    }
    return frames;
  }

  function isGrid(doc) {
    const [, h, w] = doc.observation_shape;
    return doc.observation_shape.length === 3 && h > 1 && w > 1 && h <= 200 && w <= 200;
  }

  function paint(canvas, doc, values, extremes) {
    const ctx = canvas.getContext("2d");
    const [channels, h, w] = isGrid(doc) ? doc.observation_shape : [1, 1, doc.observation_shape.reduce((a, b) => a * b, 1)];
    ctx.fillStyle = colour("grid-back");
    ctx.fillRect(0, 0, canvas.width, canvas.height);
    const cell = Math.min(canvas.width / w, canvas.height / h);
    const [x0, y0] = [(canvas.width - cell * w) / 2, (canvas.height - cell * h) / 2];
    if (!isGrid(doc)) { // numbers without places: a bar each
      values.slice(0, w).forEach((v, i) => {
        const part = Math.max(-1, Math.min(1, v / (extremes[i] || 1)));
        ctx.fillStyle = colour(HUES[i % HUES.length]);
        const wide = canvas.width / w;
        ctx.fillRect(i * wide + 2, canvas.height / 2 - (part > 0 ? part * canvas.height / 2 : 0), wide - 4, Math.max(1, Math.abs(part) * canvas.height / 2));
      });
      return;
    }
    for (let y = 0; y < h; y += 1) for (let x = 0; x < w; x += 1) for (let c = 0; c < channels; c += 1) {
      const v = values[(c * h + y) * w + x];
      if (!v) continue;
      ctx.globalAlpha = Math.max(0.15, Math.min(1, Math.abs(v) / (extremes[c] || 1)));
      ctx.fillStyle = colour(HUES[c % HUES.length]);
      const inset = (c % 4) * cell * 0.09;
      ctx.fillRect(x0 + x * cell + 0.5 + inset, y0 + y * cell + 0.5 + inset, cell - 1 - 2 * inset, cell - 1 - 2 * inset);
    }
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colour("grid");
    for (let i = 0; i <= w; i += 1) { ctx.beginPath(); ctx.moveTo(x0 + i * cell, y0); ctx.lineTo(x0 + i * cell, y0 + h * cell); ctx.stroke(); }
    for (let i = 0; i <= h; i += 1) { ctx.beginPath(); ctx.moveTo(x0, y0 + i * cell); ctx.lineTo(x0 + w * cell, y0 + i * cell); ctx.stroke(); }
  }

  function player(title, doc) {
    const frames = decode(doc);
    const canvas = el("canvas", { width: 280, height: 280, role: "img", "aria-label": `Replay of ${title}` });
    const text = el("p", { class: "dim" });
    const [channels] = doc.observation_shape;
    const perCell = isGrid(doc) ? doc.observation_shape[1] * doc.observation_shape[2] : 1;
    const extremes = [];
    for (const frame of frames) frame.forEach((v, i) => { const c = Math.floor(i / perCell); extremes[c] = Math.max(extremes[c] || 0, Math.abs(v)); });
    const names = isGrid(doc) ? Array.from({ length: Math.min(channels, 16) }, (_, c) => (doc.channels && doc.channels[c]) || `channel ${c + 1}`) : [];
    const node = el("figure", { class: "replay" }, el("figcaption", {}, el("b", {}, title), ` return ${autorl.number(doc.return)}, ${doc.steps.length} steps${doc.success ? ", solved" : ""}`), canvas, text,
      el("ul", { class: "legend" }, names.map((name, c) => el("li", {}, el("span", { class: `swatch s-${HUES[c % HUES.length]}` }), ` ${name}`))));
    return { node, length: frames.length, show: (k) => {
      const at = Math.min(k, frames.length - 1);
      paint(canvas, doc, frames[at], extremes);
      const step = doc.steps[Math.min(at, doc.steps.length - 1)];
      const sum = doc.steps.slice(0, at).reduce((a, s) => a + s.reward, 0);
      text.textContent = `step ${at} of ${doc.steps.length}${step ? `, action ${step.action}` : ""}, return so far ${autorl.number(sum)}`;
    } };
  }

  async function show(place, doc) {
    const wanted = [[doc.experiment, `#${doc.experiment}`]];
    if (doc.against) wanted.push([doc.against.experiment, `#${doc.against.experiment}, what it was judged against`]);
    const players = [];
    for (const [n, title] of wanted) {
      try {
        const replay = await autorl.get(`experiments/${n}/replay`);
        if (replay.schema === "simverse.replay" && Array.isArray(replay.steps)) players.push(player(title, replay));
      } catch { /* none is kept */ }
    }
    if (!players.length) {
      fill(place, el("p", { class: "empty" }, "No replay is kept: only experiments that were accepted have one."));
      return;
    }
    const length = Math.max(...players.map((one) => one.length));
    let timer = null;
    const slider = el("input", { type: "range", min: 0, max: length - 1, value: 0, "aria-label": "Step", oninput: () => draw() });
    const button = el("button", { type: "button", onclick: () => {
      if (timer) { stop(); return; }
      if (Number(slider.value) >= length - 1) slider.value = 0;
      button.textContent = "pause";
      timer = setInterval(() => {
        if (!place.isConnected || Number(slider.value) >= length - 1) { stop(); return; }
        slider.value = Number(slider.value) + 1;
        draw();
      }, 180);
    } }, "play");
    function stop() { clearInterval(timer); timer = null; button.textContent = "play"; }
    function draw() { for (const one of players) one.show(Number(slider.value)); }
    fill(place, el("div", { class: "replays" }, players.map((one) => one.node)), el("div", { class: "player" }, button, slider));
    draw();
  }

  autorl.replay = { show, decode };
})(window.autorl);
