// The page of one experiment.
"use strict";
(function (autorl) {
  const { el, fill, number, signed, percent, seconds, dollars, when, count, verdict, link, NONE } = autorl;
  const PURPOSES = {
    screen: ["default", "A default seed: the same for every candidate; the score is their mean"],
    confirm: ["further", "A further seed on which it was compared with the lead"],
    reference: ["fresh", "A fresh seed that did not choose it"],
    trial: ["trial", "A fresh seed, measured for the proof"],
    audit: ["audit", "A fresh seed that decides nothing: it only says what the candidate is worth"],
    below: ["below", "At the budget below"],
  };
  let asked = 0;

  async function show(place, n) {
    const number_ = ++asked;
    if (place.dataset.n !== String(n)) fill(place, el("p", { class: "empty" }, `Loading experiment ${n} …`));
    let doc;
    try { doc = await autorl.get(`experiments/${n}`); } catch (error) {
      if (number_ === asked) fill(place, el("p", { class: "empty" }, error.message), el("p", {}, el("a", { href: "#/" }, "Back to the run")));
      return;
    }
    if (number_ !== asked) return;
    place.dataset.n = String(n);
    draw(place, doc);
  }

  function section(id, title, help, ...content) {
    return el("section", { class: "card", id: `x-${id}` }, el("h3", { title: help }, title), content);
  }

  function draw(place, doc) {
    const row = doc.row;
    const change = el("div", {});
    const curves = el("div", { class: "curves" });
    const replays = el("div", {});
    fill(place,
      el("nav", { class: "crumbs", "aria-label": "Experiments" }, el("a", { href: "#/" }, "‹ all experiments"), el("span", { class: "spacer" }),
        doc.before ? el("a", { href: `#/experiment/${doc.before}`, rel: "prev", title: "key: k" }, `‹ #${doc.before}`) : null,
        doc.after ? el("a", { href: `#/experiment/${doc.after}`, rel: "next", title: "key: j" }, `#${doc.after} ›`) : null),
      el("header", { class: "card" },
        el("h2", {}, `#${doc.experiment} `, el("span", { class: "what" }, doc.description || "(no description)")),
        el("p", { class: "facts" }, verdict(doc.status, doc.accepted), fact("budget", doc.rung, "Training/evaluation episodes a seed"),
          fact("score", number(row.score) + (row.partial ? ` (${row.partial})` : ""), "Mean over the default seeds, which helped to choose it"),
          doc.validated_score === null ? null : fact("validated", `${number(doc.validated_score)}, 95% interval ${number(doc.validated_interval[0])} to ${number(doc.validated_interval[1])}, ${doc.validated_seeds} seeds`, "Mean over fresh seeds that did not choose it"),
          row.gain === null ? null : fact("gain", `${signed(row.gain)} ± ${number(row.se)}`, "Over the lead of its time, shrunk towards 0, with its standard error"),
          fact("solved", percent(row.solved), "Share of the scored episodes that ended in success"), fact("agent", doc.agent, "Who proposed it")),
        el("p", { class: `said v-${doc.status}` }, doc.reason),
        doc.became ? el("p", {}, doc.became.is_proven ? "Became: proven. " : "Became: leads no more. ", doc.became.reason) : null,
        doc.accepted ? el("p", {}, "★ Published by you, whatever the test said.") : null,
        el("div", { class: "actions" }, autorl.steering.experimentButtons(doc))),
      doc.rationale ? section("why", "Why it should help", "The agent's own words", el("p", { class: "prose" }, doc.rationale)) : null,
      section("diff", "Change", "Against the candidate it started from", change),
      section("evidence", "Evidence by seed", "Both sides on the same seeds where they were measured on both", evidence(doc)),
      section("curves", "Learning curves and reward parts", "Of the scored seeds, against what it was judged against", curves),
      section("flags", "Flags and review", "What a human should look at", flags(doc)),
      section("replay", "At play", "A greedy episode of the trained policy", replays),
      section("talk", "Prompt and replies", "What the agent was sent, and what it answered", conversation(doc)),
      section("log", "Evaluator's log", "The end of what the evaluator reported", el("pre", { class: "log" }, doc.log || doc.details || "nothing is kept")),
      section("cost", "Cost", "", cost(doc)),
      section("kin", "Parent and children", "What it started from, and what started from it", kin(doc)));
    autorl.diff.show(change, doc.diff);
    autorl.curves.show(curves, doc);
    autorl.replay.show(replays, doc);
    document.title = `#${doc.experiment} ${doc.status} · autorl/${doc.tag}`;
  }

  function svg(name, attributes, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.filter(Boolean));
    return node;
  }

  function fact(name, value, help) {
    return el("span", { class: "fact-inline", title: help }, el("span", { class: "dim" }, `${name} `), el("b", {}, value));
  }

  function evidence(doc) {
    const other = doc.against;
    const theirs = new Map((other ? other.evidence : []).filter((s) => s.rung === doc.rung).map((s) => [s.seed, s]));
    const seeds = doc.evidence.filter((s) => s.rung === doc.rung);
    for (const seed of seeds) if (theirs.has(seed.seed)) theirs.get(seed.seed).met = true;
    const rest = other ? [...theirs.values()].filter((s) => !s.met) : [];
    if (!seeds.length && !rest.length) return el("p", { class: "empty" }, "Nothing was measured.");
    const values = [...seeds, ...theirs.values()].map((s) => s.value).filter((v) => v !== null);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const cell = (value) => el("td", { class: "num" }, number(value));
    // Both sides on one line from the least to the greatest return: green this one, blue the other.
    const places = (a, b) => {
      const wide = 190;
      const at = (v) => 6 + ((v - low) / (high - low || 1)) * (wide - 12);
      const dot = (v, ink) => (v === null || v === undefined ? null : svg("circle", { cx: at(v).toFixed(1), cy: 7, r: 4, class: `s-${ink}`, fill: "currentColor" }));
      const both = a !== null && a !== undefined && b !== null && b !== undefined;
      return svg("svg", { width: wide, height: 14, "aria-hidden": "true" }, svg("line", { x1: 6, x2: wide - 6, y1: 7, y2: 7, class: "rail" }),
        both ? svg("line", { x1: at(a).toFixed(1), x2: at(b).toFixed(1), y1: 7, y2: 7, class: `link s-${a >= b ? "own" : "other"}` }) : null, dot(b, "other"), dot(a, "own"));
    };
    const line = (seed, a, b, solved) => {
      const [name, help] = PURPOSES[seed.purpose] || [seed.purpose, ""];
      return el("tr", {}, el("td", { title: help }, name), el("td", { class: "num dim" }, String(seed.seed)), cell(a), other ? cell(b) : null,
        other ? el("td", { class: "num" }, a !== null && a !== undefined && b !== null && b !== undefined ? signed(a - b) : NONE) : null, el("td", {}, places(a, b)), el("td", { class: "num" }, percent(solved)));
    };
    const table = (lines) => el("div", { class: "scroll" }, el("table", { class: "rows small" }, el("thead", {}, el("tr", {}, el("th", { title: "Why this seed was evaluated" }, "why"), el("th", {}, "seed"),
      el("th", { class: "right" }, el("span", { class: "swatch s-own" }), ` #${doc.experiment}`), other ? el("th", { class: "right" }, el("span", { class: "swatch s-other" }), ` #${other.experiment}`) : null, other ? el("th", { class: "right" }, "difference") : null,
      el("th", { title: "From the least to the greatest return here" }, `${number(low)} to ${number(high)}`), el("th", { class: "right", title: "Share of its episodes that ended in success" }, "solved"))), el("tbody", {}, lines)));
    const verdict_ = doc.verdict || {};
    const gain = verdict_.gain;
    return [
      gain === null || gain === undefined ? null : el("p", {}, `As measured: ${signed(gain)}`, verdict_.standard_error ? ` ± ${number(verdict_.standard_error)}` : "",
        ` in ${verdict_.quantity || "return"}, ${verdict_.evaluations || 0} seeds against `, other ? link(other.experiment) : NONE,
        verdict_.statistic === null || verdict_.statistic === undefined ? "" : `; ${number(verdict_.statistic, 2)} standard errors, needed ${number(verdict_.boundary, 2)}`),
      seeds.length ? table(seeds.map((s) => line(s, s.value, theirs.get(s.seed) && theirs.get(s.seed).value, s.solved))) : null,
      rest.length ? el("details", {}, el("summary", {}, `${rest.length} more seeds of #${other.experiment} alone`), table(rest.map((s) => line(s, null, s.value, s.solved)))) : null,
      doc.changes_measured.length ? el("ul", {}, doc.changes_measured.map((text) => el("li", {}, text))) : null,
    ];
  }

  function flags(doc) {
    const review = doc.review;
    if (!doc.flags.length && !review) return el("p", { class: "empty" }, "No flag, and no review was asked for.");
    return [
      el("ul", {}, doc.flags.map((flag) => el("li", { class: "flag" }, `⚑ ${flag.text}`, flag.meaning ? el("span", { class: "dim" }, ` ${flag.meaning}`) : null))),
      review ? el("p", {}, el("b", {}, "Review: "), review.none !== undefined ? `none, ${review.none}` : `${review.opinion}, by ${review.by}. ${review.reason}`) : null,
    ];
  }

  function conversation(doc) {
    const paper = (title, text, open) => el("details", { open }, el("summary", {}, title), el("pre", { class: "paper" }, text));
    if (!doc.papers.length && !doc.replies.length) return el("p", { class: "empty" }, "Nobody was asked: a baseline, or a person's own candidate.");
    return [
      doc.papers.map((one) => paper(`${one.title} (${one.file}, ${count(one.text.length)} characters)`, one.text)),
      doc.replies.map((reply, index) => [
        paper(`reply ${index + 1}${reply.failed ? `: ${reply.failed}` : ""} (${count(reply.text.length)} characters${reply.tokens.output ? `, ${count(reply.tokens.output)} tokens` : ""})`, reply.text),
        reply.why ? el("pre", { class: "log" }, reply.why) : null,
      ]),
    ];
  }

  function cost(doc) {
    const t = doc.tokens;
    const cells = [
      ["agent", seconds(doc.seconds.agent)], ["evaluator", seconds(doc.seconds.evaluator)], ["everything else", seconds(doc.seconds.overhead)],
      ["fresh seeds", doc.reference_seconds ? seconds(doc.reference_seconds) : null],
      ["tokens in", t.input === null ? null : `${count(t.input)}${t.cached ? ` (${count(t.cached)} cached)` : ""}`], ["tokens out", t.output === null ? null : count(t.output)],
      ["money", doc.cost_usd === null ? null : dollars(doc.cost_usd)], ["ended", when(doc.finished_at)], ["commit", doc.commit],
    ];
    return [el("dl", { class: "pairs" }, cells.filter(([, v]) => v).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      el("details", {}, el("summary", {}, autorl.withCode("All that `show` prints")), el("pre", { class: "log" }, doc.summary.join("\n"))),
      Object.keys(doc.metrics).length ? el("details", {}, el("summary", {}, "The evaluator's report"), el("dl", { class: "pairs" }, Object.entries(doc.metrics).map(([k, v]) => [el("dt", {}, k), el("dd", {}, typeof v === "number" ? String(+v.toPrecision(6)) : v)]))) : null];
  }

  function kin(doc) {
    const one = (r) => el("li", {}, link(r.n), " ", verdict(r.status), ` ${number(r.score)} `, el("span", { class: "dim" }, r.description));
    const more = doc.children_count - doc.children.length;
    return [
      el("p", {}, el("b", {}, "Started from: "), doc.parent_experiment ? "" : "where the run began"), doc.parent_experiment ? el("ul", {}, one(doc.parent_experiment)) : null,
      el("p", {}, el("b", {}, "Started from it: "), doc.children.length ? "" : "nothing"), el("ul", {}, doc.children.map(one), more > 0 ? el("li", { class: "dim" }, `and ${more} more`) : null),
    ];
  }

  autorl.experiment = { show, forget: () => { asked += 1; } };
})(window.autorl);
