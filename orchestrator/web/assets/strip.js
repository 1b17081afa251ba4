// The strip: what is published and what leads, whether it runs and why not, what it costs.
"use strict";
(function (autorl) {
  const { el, fill, number, signed, count, likely, seconds, dollars, when, ago, link, NONE } = autorl;

  function card(title, help, ...content) {
    return el("section", { class: "fact" }, el("h2", { title: help }, title), content);
  }

  function published(s) {
    if (s.incumbent === null || s.incumbent === undefined) {
      return card("Published", "What the branch holds: the best candidate that is proven", el("p", { class: "big" }, NONE),
        el("p", { class: "dim" }, "nothing yet: the baseline comes first"));
    }
    const interval = s.validated_interval;
    const half = interval ? interval[1] - s.validated_score : null;
    const why = s.incumbent_accepted_at ? "accepted by you, not proven"
      : s.incumbent_proven_at ? "proven" : (s.experiments.keep ? "kept" : "where the run began");
    return card("Published", "What the branch holds: the best candidate that is proven",
      el("p", { class: "big" },
        el("span", { id: "published-score", title: interval ? "Validated: the mean over fresh seeds that did not choose it" : "Naive: no fresh seeds have measured it at this budget yet" },
          number(interval ? s.validated_score : s.best_score)),
        !interval ? el("small", {}, " naive, not validated") : el("small", { title: `95% confidence interval: ${number(interval[0])} to ${number(interval[1])}, over ${s.validated_seeds} seeds` },
          half ? ` ± ${number(half)}` : " on every seed")),
      el("p", {}, link(s.incumbent), ` ${why}`, s.validated_seeds ? `, ${s.validated_seeds} seeds` : ""),
      el("p", { class: "dim" },
        interval ? el("span", { title: "Naive: its mean over the default seeds, which helped to choose it, so it is usually too high" },
          `naive ${number(s.best_score)} · `) : null,
        el("span", { title: "The score with which this budget began (default seeds)" }, `began ${number(s.baseline_score)}`)),
      (s.incumbent_flags || []).map((flag) => el("p", { class: "flag", title: flag }, `⚑ ${flag}`)));
  }

  function lead(s) {
    const help = "What looks better than what is published; proposals start from it. It is published once its trial proves it";
    if (!s.lead) return card("Lead", help, el("p", { class: "big" }, NONE), el("p", { class: "dim" }, "nothing looks better than what is published"));
    const { gain, se, probability_better: better } = s.lead;
    return card("Lead", help,
      el("p", { class: "big" }, gain === null ? "not compared" : signed(gain),
        gain === null ? null : el("small", { title: "Estimated gain over what is published, shrunk towards 0, with its standard error" }, ` ± ${number(se)}`)),
      el("p", {}, link(s.lead.experiment), better === null ? " not compared yet" : ` ${likely(better)} likely better`,
        s.lead.quantity && s.lead.quantity !== "return" ? ` in ${s.lead.quantity}` : ""),
      s.trial ? el("p", { class: "dim", title: "A trial looks at the lead's fresh seeds a few times; each look may prove it" },
        `trial: look ${s.trial.look} of ${s.trial.looks} at ${s.trial.seeds_needed} seeds, ${likely(s.trial.chance)} to be proven`) : null);
  }

  function budget(s) {
    const rung = s.rung;
    const tried = (s.used && s.used.experiments) || 0;
    const parts = Object.entries(s.experiments || {}).filter(([, n]) => n);
    return card("Budget", "Training and evaluation episodes a seed. The run climbs to larger ones; scores compare within one",
      el("p", { class: "big" }, rung ? `${rung.train_episodes}/${rung.eval_episodes}` : NONE),
      el("p", {}, `${count(tried)} tried`, s.experiments && s.experiments.keep ? `, ${s.experiments.keep} kept` : ""),
      el("p", { class: "dim" }, parts.map(([name, n]) => `${n} ${name}`).join(", ") || "no experiment yet"),
      s.saturated ? el("p", { class: "flag", title: "Every held-out seed solves everything with the same return" }, "perhaps nothing is left to gain here") : null);
  }

  function lanes(s) {
    const help = "What is in flight now, one line each";
    if (!s.running) return null;
    const list = s.lanes || [];
    return card(list.length > 1 ? "Lanes" : "Now", help, el("ul", { class: "lanes" }, list.length
      ? list.map((lane) => {
        const p = lane.progress;
        const share = p && p.total ? p.done / p.total : null;
        return el("li", {},
          el("span", {}, lane.experiment ? `#${lane.experiment} ` : "", el("b", {}, lane.phase), lane.description ? ` ${lane.description}` : ""),
          share === null ? null : el("progress", { max: 1, value: share, title: `${p.done} of ${p.total} episodes` }),
          lane.next_try_at ? el("span", { class: "dim" }, ` next try ${when(lane.next_try_at)}`) : null);
      })
      : el("li", { class: "dim" }, s.phase)));
  }

  const LIMITS = [
    ["experiments", "experiments", count, "limits.experiments"],
    ["hours", "time", (h) => seconds(h * 3600), "limits.hours"],
    ["tokens", "tokens", count, "limits.tokens"],
    ["cost_usd", "money", dollars, "limits.cost_usd"],
    ["without_keep", "since a keep", count, "limits.without_keep"],
  ];

  function spent(s) {
    const used = s.used || {};
    const limits = s.limits || {};
    return card("Time and money", "What the run has used, and the limits in config.yaml that end it",
      el("table", { class: "meters" }, LIMITS.map(([key, name, form, where]) => {
        const limit = limits[key];
        const value = used[key];
        if ((limit === null || limit === undefined) && !value) return null;
        if (key === "without_keep" && !limit) return null;
        return el("tr", { title: limit ? `the run ends at ${where}` : `${where} is not set` },
          el("th", { scope: "row" }, name), el("td", {}, form(value || 0), limit ? ` of ${form(limit)}` : ""),
          el("td", {}, limit ? el("meter", { min: 0, max: limit, high: limit * 0.8, value: Math.min(value || 0, limit) }) : null));
      })), forecast(s), s.seconds ? el("p", { class: "dim", title: "Side by side where there are lanes" },
        `evaluator ${seconds(s.seconds.evaluator)}, agent ${seconds(s.seconds.agent)}`) : null);
  }

  // How fast it goes and which limit ends it first; who was paid; what may still be billed.
  function forecast(s) {
    const told = s.forecast;
    const lines = [];
    if (told && told.experiments_per_hour) {
      const rates = [`${number(told.experiments_per_hour, 1)} experiments`, told.tokens_per_hour ? `${count(Math.round(told.tokens_per_hour))} tokens` : null,
        told.cost_usd_per_hour === null || told.cost_usd_per_hour === undefined ? null : dollars(told.cost_usd_per_hour)].filter(Boolean);
      lines.push(el("p", { class: "dim", title: `Over the last ${told.experiments} experiments of this session` }, `${rates.join(", ")} an hour`));
    }
    if (told && told.first_limit) lines.push(el("p", {}, `${told.first_limit.limit} in about ${seconds(told.first_limit.hours * 3600)}`));
    if ((s.bill || []).length > 1) {
      lines.push(el("details", {}, el("summary", {}, "bill"), el("ul", { class: "lanes" }, s.bill.map((row) => el("li", {},
        `${row.role === "reviews" ? "reviews by " : ""}${row.agent || "nobody named"}: ${count(row.calls)} calls, ${row.cost_usd === null ? "dollars unknown" : dollars(row.cost_usd)}`)))));
    }
    if (s.unbilled) lines.push(el("p", { class: "flag", title: "Calls that were broken off, or answered without a count; limits count their worst case" }, `at most ${dollars(s.unbilled.cost_usd)} more for ${count(s.unbilled.calls)} calls without a bill`));
    return lines;
  }

  function show(s) {
    const place = document.getElementById("strip");
    if (!s.branch) {
      fill(place, el("section", { class: "fact wide" }, el("h2", {}, s.running ? "Starting" : "Nothing has run here yet"),
        el("p", {}, s.running ? "The first baseline has not ended yet: it appears here by itself." : "Start a run, and it appears here by itself:"),
        s.running ? null : el("pre", { class: "command" }, "autorl-daemon start")), lanes(s));
      return;
    }
    fill(place, published(s), lead(s), budget(s), lanes(s), spent(s));
  }

  // One word on whether it runs, and a line on why it does not.
  function state(s) {
    if (s.is_older) return ["stopped", "older run", s.stop_reason];
    if (!s.running) return ["stopped", "stopped", s.stop_reason || (s.branch ? "the daemon was killed: start it, and it resumes" : null)];
    if (s.hung) return ["hung", "hung", `no heartbeat ${ago(s.heartbeat_at)}: if it stays so, kill -9 ${s.pid} and start it again`];
    if (s.phase === "paused") return ["paused", "paused", s.reason];
    if (s.phase === "waiting" || s.reason) return ["waiting", "waiting", `${s.reason || ""}${s.next_try_at ? `; next try ${when(s.next_try_at)}` : ""}`];
    return ["running", "running", null];
  }

  Object.assign(autorl, { strip: { show, state } });
})(window.autorl);
