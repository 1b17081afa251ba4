// Curves of training: returns, reward parts and what PPO reports, against the other side's.
"use strict";
(function (autorl) {
  const { el, fill, colour } = autorl;
  const NAMES = {
    entropy: ["entropy", "How undecided the policy is; it falls as it learns"],
    value_loss: ["value loss", "How far the value estimate is off"],
    approx_kl: ["approximate KL", "How far each update moved the policy"],
    explained_variance: ["explained variance", "Share of the returns' variance that the value estimate explains; 1 is all of it"],
    episode_length: ["episode length", "Steps of a training episode"],
  };

  function mean(lists) {
    const known = lists.filter((list) => Array.isArray(list) && list.length);
    if (!known.length) return null;
    const length = Math.max(...known.map((list) => list.length));
    return Array.from({ length }, (_, i) => {
      const values = known.map((list) => list[i]).filter((v) => Number.isFinite(v));
      return values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
    });
  }

  // sides: [{name, ink, values, thin: [[...], ...]}]
  function plot(place, title, help, sides, xLabel) {
    const shown = sides.filter((side) => side.values && side.values.length);
    if (!shown.length) return false;
    const figure = el("figure", { class: "curve" }, el("figcaption", { title: help }, title,
      el("span", { class: "dim" }, shown.map((side) => [" ", el("span", { class: `swatch s-${side.ink}` }), ` ${side.name}`]))));
    place.append(figure);
    const lines = shown.flatMap((side) => [...(side.thin || []).map((values) => ({ values, ink: side.ink, thin: true })), { values: side.values, ink: side.ink }]);
    const length = Math.max(...lines.map((one) => one.values.length));
    const xs = Array.from({ length }, (_, i) => i + 1);
    const axis = { stroke: colour("ink-2"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    new uPlot({
      width: Math.max(200, figure.clientWidth || 300), height: 170, legend: { show: false }, cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false } },
      series: [{}, ...lines.map((one) => ({ stroke: colour(one.ink) + (one.thin ? "55" : ""), width: one.thin ? 1 : 2, points: { show: length < 2 }, spanGaps: true }))],
      axes: [{ ...axis, label: xLabel, labelSize: 18, labelFont: "11px system-ui", size: 26 }, { ...axis, size: 52, values: (u, v) => v.map((one) => +one.toPrecision(4)) }],
    }, [xs, ...lines.map((one) => xs.map((_, i) => (Number.isFinite(one.values[i]) ? one.values[i] : null)))], figure);
    return true;
  }

  function curvesOf(evidence, purposes) {
    return evidence.filter((seed) => purposes.includes(seed.purpose) && seed.curve.length).map((seed) => seed.curve);
  }

  function show(place, doc) {
    fill(place);
    const other = doc.against;
    const name = other ? `#${other.experiment}` : "";
    const own = curvesOf(doc.evidence, ["screen", "confirm"]);
    const theirs = other ? curvesOf(other.evidence.filter((s) => s.rung === doc.rung), ["screen", "confirm"]) : [];
    let any = plot(place, "Return in training", "Mean return of each training episode; thick lines are means over seeds", [
      { name: `#${doc.experiment}`, ink: "own", values: mean(own), thin: own.length > 1 ? own : [] },
      { name, ink: "other", values: mean(theirs), thin: theirs.length > 1 ? theirs : [] },
    ], "training episode");
    const parts = (learning, group) => {
      const found = {};
      for (const seed of learning || []) for (const [key, values] of Object.entries(seed[group] || {})) (found[key] = found[key] || []).push(Array.isArray(values) ? values : (values && values.at) || []);
      return found;
    };
    for (const [group, title] of [["reward_parts", "reward: "], ["learning", ""]]) {
      const mine = parts(doc.learning, group);
      const others = parts(other && other.learning, group);
      for (const key of new Set([...Object.keys(mine), ...Object.keys(others)])) {
        const [label, help] = group === "learning" && NAMES[key] ? NAMES[key] : [key.replaceAll("_", " "), "A part of the reward that the environment itself names; never scored"];
        any = plot(place, title + label, help, [
          { name: `#${doc.experiment}`, ink: "own", values: mean(mine[key] || []) }, { name, ink: "other", values: mean(others[key] || []) },
        ], "tenths of the training") || any;
      }
    }
    if (!any) fill(place, el("p", { class: "empty" }, "No curve is recorded: nothing was trained, or the ledger is of an older version."));
  }

  autorl.curves = { show };
})(window.autorl);
