// The table of experiments: the server searches, sorts and pages.
"use strict";
(function (autorl) {
  const { el, fill, number, signed, percent, seconds, dollars, when, verdict, count, NONE } = autorl;
  const PAGE = 100;
  const COLUMNS = [
    ["n", "#", "Number of the experiment"],
    ["status", "verdict", "How it ended; hover over one for its meaning"],
    ["score", "score", "Mean return over the default seeds, which are the same for all; in italics where it was stopped early"],
    ["validated", "validated", "Mean over fresh seeds that did not choose it, with half of its 95% confidence interval"],
    ["gain", "gain", "Estimated gain over the lead of its time, shrunk towards 0, with its standard error"],
    ["solved", "solved", "Share of the scored episodes that ended in success"],
    ["what", "what was tried", "The agent's own words"],
    ["flags", "⚑", "Flags: what needs a human's eye"],
    ["seconds", "time", "Agent, evaluator and everything else"],
    ["cost", "cost", "Dollars of the model calls, as far as they are known"],
  ];
  const query = { q: "", status: new Set(), rung: "", flagged: false, sort: "n", desc: true, offset: 0 };
  let body, counts, foot, chips, rungs, box, heads, flagged;
  let tag = null;
  let asked = 0;
  let rows = [];
  let chosen = -1;
  let all = null;

  function make(card) {
    box = el("input", { type: "search", id: "search", placeholder: "search (key: /)", "aria-label": "Search in description, rationale, verdict, agent and flags", oninput: () => { query.q = box.value; restart(); } });
    chips = el("div", { class: "chips", role: "group", "aria-label": "Verdicts" });
    rungs = el("select", { "aria-label": "Budget", title: "Only experiments at this budget", onchange: () => { query.rung = rungs.value; restart(); } });
    flagged = el("input", { type: "checkbox", id: "flagged", onchange: (event) => { query.flagged = event.target.checked; restart(); } });
    heads = el("tr", {}, COLUMNS.map(([key, name, help]) => el("th", { scope: "col", class: `c-${key}`, "data-key": key },
      el("button", { type: "button", title: `${help}. Click to sort`, onclick: () => sortBy(key) }, name))));
    body = el("tbody", {});
    counts = el("span", { class: "dim", id: "counts", role: "status" });
    foot = el("div", { class: "pager" });
    fill(card, el("div", { class: "head" }, el("h2", {}, "Experiments"), box, rungs,
      el("label", { title: "Only experiments with a flag" }, flagged, " flagged"), el("span", { class: "spacer" }), counts), chips,
      el("div", { class: "scroll" }, el("table", { id: "experiments", class: "rows" }, el("thead", {}, heads), body)), foot);
    body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && row.dataset.n && !event.target.closest("a") && !String(getSelection())) location.hash = `#/experiment/${row.dataset.n}`;
    });
  }

  function sortBy(key) {
    if (query.sort === key) query.desc = !query.desc;
    else { query.sort = key; query.desc = !["what", "status"].includes(key); }
    restart();
  }

  function restart() { query.offset = 0; chosen = -1; load(); }

  async function load() {
    const number_ = ++asked;
    let found;
    try {
      found = autorl.isExport ? await fromExport() : await autorl.get("experiments", {
        tag, q: query.q, status: [...query.status].join(","), rung: query.rung, flagged: query.flagged ? "1" : "",
        sort: query.sort, desc: query.desc ? "1" : "0", offset: query.offset, limit: PAGE,
      });
    } catch (error) {
      if (number_ === asked) fill(counts, error.message);
      return;
    }
    if (number_ === asked) show(found);
  }

  // An exported page has all rows in one file, and searches them itself.
  async function fromExport() {
    all = all || await autorl.get("experiments");
    const words = query.q.toLowerCase().split(/\s+/).filter(Boolean);
    let matching = all.rows.filter((row) => {
      const text = `#${row.n}\n${row.description}\n${row.reason}\n${row.agent}\n${row.status}\n${row.flags.join("\n")}`.toLowerCase();
      return words.every((word) => text.includes(word)) && (!query.rung || row.rung === query.rung) && (!query.flagged || row.flags.length);
    });
    const byStatus = {};
    for (const row of matching) byStatus[row.status] = (byStatus[row.status] || 0) + 1;
    if (query.status.size) matching = matching.filter((row) => query.status.has(row.status));
    const key = (row) => ({ validated: row.validated && row.validated[0], what: row.description.toLowerCase(), flags: row.flags.length })[query.sort] ?? row[query.sort];
    const known = matching.filter((row) => key(row) !== null && key(row) !== undefined);
    const rest = matching.filter((row) => !known.includes(row));
    known.sort((a, b) => ((key(a) > key(b)) - (key(a) < key(b)) || a.n - b.n) * (query.desc ? -1 : 1));
    matching = [...known, ...rest];
    return { matching: matching.length, total: all.rows.length, by_status: byStatus, offset: query.offset, rungs: all.rungs, rows: matching.slice(query.offset, query.offset + PAGE) };
  }

  function show(found) {
    rows = found.rows;
    for (const head of heads.children) {
      const isSorted = head.dataset.key === query.sort;
      if (isSorted) head.setAttribute("aria-sort", query.desc ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    fill(counts, found.matching === found.total ? `${count(found.total)} experiments` : `${count(found.matching)} of ${count(found.total)}`);
    fill(chips, Object.keys(autorl.VERDICTS).filter((name) => found.by_status[name] || query.status.has(name)).map((name) => el("button", {
      type: "button", class: `chip v-${name}`, "aria-pressed": String(query.status.has(name)), title: autorl.VERDICTS[name][1],
      onclick: () => { if (!query.status.delete(name)) query.status.add(name); restart(); },
    }, el("span", { class: "shape", "aria-hidden": "true" }, autorl.VERDICTS[name][0]), ` ${name} ${count(found.by_status[name] || 0)}`)));
    const names = found.rungs || [];
    if (rungs.children.length !== names.length + 1) {
      fill(rungs, el("option", { value: "" }, "all budgets"), names.map((name) => el("option", { value: name }, `budget ${name}`)));
      rungs.value = query.rung;
    }
    rungs.hidden = names.length < 2;
    fill(body, rows.length ? rows.map(row) : el("tr", {}, el("td", { colspan: COLUMNS.length, class: "empty" },
      found.total ? "Nothing matches: clear the search or the filters." : "No experiment has ended yet.")));
    mark();
    const last = Math.min(found.offset + PAGE, found.matching);
    fill(foot, found.matching > PAGE ? [
      el("button", { type: "button", disabled: found.offset === 0, onclick: () => turn(-PAGE) }, "‹ earlier rows"),
      el("span", { class: "dim" }, ` ${count(found.offset + 1)} to ${count(last)} of ${count(found.matching)} `),
      el("button", { type: "button", disabled: last >= found.matching, onclick: () => turn(PAGE) }, "more rows ›")] : null);
  }

  function turn(by) { query.offset = Math.max(0, query.offset + by); chosen = -1; load(); }

  function row(r) {
    const half = r.validated ? r.validated[2] - r.validated[0] : null;
    return el("tr", { "data-n": r.n, class: r.role || (r.accepted ? "accepted" : "") },
      el("td", { class: "c-n" }, autorl.link(r.n, String(r.n))),
      el("td", { class: "c-status" }, verdict(r.status, r.accepted),
        r.role === "published" ? el("span", { class: "mark", title: "what the branch holds" }, " published") : null,
        r.role === "lead" && r.status !== "lead" ? el("span", { class: "mark" }, " leads") : null),
      el("td", { class: `c-score num${r.partial ? " partial" : ""}`, title: r.partial ? `stopped early, ${r.partial}: not comparable with full scores` : null }, number(r.score)),
      el("td", { class: "c-validated num", title: r.validated ? `95% confidence interval ${number(r.validated[1])} to ${number(r.validated[2])}, ${r.validated[3]} seeds` : null },
        r.validated ? [number(r.validated[0]), half ? el("small", {}, ` ± ${number(half)}`) : null] : NONE),
      el("td", { class: "c-gain num" }, r.gain === null ? NONE : [signed(r.gain), r.se ? el("small", {}, ` ± ${number(r.se)}`) : null]),
      el("td", { class: "c-solved num" }, percent(r.solved)),
      el("td", { class: "c-what" }, el("div", { class: "what" }, r.description || r.reason || NONE),
        el("div", { class: "why dim" }, r.description ? r.reason : "")),
      el("td", { class: "c-flags" }, r.flags.length ? el("span", { class: "flag", title: r.flags.join(", ") }, `⚑${r.flags.length > 1 ? r.flags.length : ""}`) : null,
        r.changed.length ? el("span", { class: "dim", title: `measured to have changed: ${r.changed.join(", ")}` }, " Δ") : null),
      el("td", { class: "c-seconds num", title: `ended ${when(r.finished_at)}; agent ${seconds(r.agent_s)}, evaluator ${seconds(r.evaluator_s)}` }, seconds(r.seconds)),
      el("td", { class: "c-cost num" }, r.cost === null ? NONE : dollars(r.cost)));
  }

  function move(by) {
    if (!rows.length) return;
    chosen = Math.max(0, Math.min(rows.length - 1, chosen + by));
    mark();
    const node = body.children[chosen];
    if (node) node.scrollIntoView({ block: "nearest" });
  }

  function mark() {
    [...body.children].forEach((node, index) => node.classList.toggle("chosen", index === chosen));
  }

  function open() { if (chosen >= 0 && rows[chosen]) location.hash = `#/experiment/${rows[chosen].n}`; }

  autorl.table = {
    make, load, move, open, restart, focus: () => box.focus(),
    setTag: (name) => { tag = name; all = null; restart(); },
  };
})(window.autorl);
