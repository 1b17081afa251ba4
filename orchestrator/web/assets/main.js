// Puts the page together: what is loaded, what follows from an event, addresses and keys.
"use strict";
(function (autorl) {
  const { el, fill, when, ago, say } = autorl;
  const at = (id) => document.getElementById(id);
  let tag = null;
  let current = null;
  let status = null;
  let isCut = false;

  async function start() {
    theme();
    autorl.chart.make(at("chart-card"));
    autorl.table.make(at("table-card"));
    at("run").addEventListener("change", () => choose(at("run").value));
    at("keys").addEventListener("click", help);
    at("theme").addEventListener("click", nextTheme);
    window.addEventListener("hashchange", route);
    window.addEventListener("keydown", keys);
    document.addEventListener("acted", () => { refreshLog(); });
    try { const session = await autorl.get("session"); autorl.steering.allow(session.can_act); at("foot").textContent = session.workspace; } catch { /* told below */ }
    if (shownExperiment() !== null) route();
    await reload();
    setInterval(() => { if (status) showState(); }, 5000);
  }

  async function reload() {
    try {
      listRuns().catch(() => { /* the status says why */ });
      const now = await autorl.get("status", { tag });
      show(now);
      if (!reload.follows) { reload.follows = true; follow(now.last_event); }
      autorl.table.setTag(tag);
      if (now.branch) await loadChart();
      else autorl.chart.set({ tag: null, columns: empty(), rungs: [], validated: {}, published: [], leads: [] });
      refreshLog();
    } catch (error) {
      banner(`${error.message}`);
      if (!reload.follows) setTimeout(reload, 3000);
    }
  }

  function empty() {
    return Object.fromEntries(["n", "score", "partial", "status", "role", "rung", "flagged", "accepted", "baseline", "new_task", "hours", "dollars", "evaluator_s", "what"].map((name) => [name, []]));
  }

  function show(now) {
    status = now;
    if (now.branch && !tag) current = now.tag;
    autorl.strip.show(now);
    autorl.steering.buttons(now);
    showState();
    if (!location.hash.startsWith("#/experiment")) document.title = `${at("state").textContent} · autorl${now.tag ? `/${now.tag}` : ""}`;
  }

  function showState() {
    const [kind, word, why] = autorl.strip.state(status);
    const pill = at("state");
    pill.className = `pill ${kind}`;
    pill.textContent = autorl.isExport ? `exported, ${word}` : word;
    pill.title = status.activity || why || "";
    const lines = [];
    if (isCut) lines.push(`The page's server does not answer: what is shown may be old (since ${when(isCut)}). It comes back by itself.`);
    if (status.reading_problem) lines.push(status.reading_problem);
    if (why) lines.push(`${word[0].toUpperCase()}${word.slice(1)}: ${why}`);
    if (status.requests && status.requests.length) lines.push(`Asked for: ${status.requests.join(", ")}; it takes effect ${status.running ? "after what is in flight" : "at the next start"}.`);
    if (status.candidate_edited) lines.push("candidate/ was edited by hand, and the run does not use it: Propose has it judged.");
    if (status.config_changed && status.config_changed.length) lines.push(`config.yaml has changed (${status.config_changed.join(", ")}): Reload takes up what can change in a run.`);
    if (status.moved_from) lines.push(`The workspace was moved from ${status.moved_from}.`);
    if (!status.running && !autorl.isExport) for (const step of (status.next_steps || []).slice(0, 2)) lines.push(`Next: ${step}`);
    const place = at("banner");
    place.hidden = !lines.length;
    place.className = isCut || kind === "hung" || status.reading_problem ? "bad" : kind;
    const text = lines.join("\n");
    if (place.dataset.text !== text) { place.dataset.text = text; fill(place, lines.map((line) => el("p", {}, autorl.withCode(line)))); }
  }

  function banner(text) {
    at("banner").hidden = false;
    at("banner").className = "bad";
    fill(at("banner"), el("p", {}, text));
  }

  async function listRuns() {
    const runs = await autorl.get("runs");
    const select = at("run");
    const names = runs.map((run) => run.tag).join("\n");
    if (select.dataset.names !== names) {
      select.dataset.names = names;
      fill(select, runs.map((run) => el("option", { value: run.tag }, `${run.tag}${run.running ? " (running)" : ""}`)));
    }
    select.hidden = !runs.length;
    if (tag) select.value = tag;
  }

  async function loadChart() { autorl.chart.set(await autorl.get("chart", { tag })); }

  const changed = new Set();
  const update = autorl.debounced(async () => {
    const numbers = [...changed];
    changed.clear();
    try {
      if (numbers.length > 150) await loadChart();
      else autorl.chart.merge(await autorl.get("chart", { tag, only: numbers.join(",") }));
      if (at("overview").hidden === false) await autorl.table.load();
    } catch { /* the next event tries again */ }
  }, 400);
  const refreshLog = autorl.debounced(async () => {
    if (at("overview").hidden) return;
    try {
      const lines = await autorl.get("log");
      fill(at("log-card"), el("details", { open: Boolean(at("log-card").querySelector("details[open]")) }, el("summary", {}, el("h2", {}, "Log"), el("span", { class: "dim" }, lines.length ? ` ${lines[lines.length - 1].event || ""} ${ago(lines[lines.length - 1].timestamp)}` : " nothing is logged yet")),
        el("pre", { class: "log" }, lines.map(plain).join("\n"))));
    } catch { /* the next event tries again */ }
  }, 700);

  function plain(entry) {
    const { timestamp, level, event, experiment, traceback, ...rest } = entry;
    const time = timestamp ? new Date(timestamp).toLocaleTimeString([], { hour12: false }) : "";
    const facts = Object.entries(rest).map(([key, value]) => `${key}=${value}`).join("  ");
    return `${time} ${level && level !== "info" ? `${level.toUpperCase()} ` : ""}${event || ""}${experiment ? ` #${experiment}` : ""}  ${facts}`;
  }

  function follow(last) {
    autorl.follow({
      open: () => { if (isCut) { isCut = false; showState(); } },
      error: (source) => {
        isCut = isCut || new Date().toISOString();
        showState();
        if (source.readyState === EventSource.CLOSED) setTimeout(() => { follow(null); reload(); }, 3000);
      },
      hello: () => { if (isCut) { isCut = false; showState(); } },
      reset: () => reload(),
      status: (now) => { if (!tag || tag === current) show({ ...now }); refreshLog(); },
      problem: (told) => { if (status) { status.reading_problem = told.reading_problem; showState(); } },
      notebook: () => {},
      experiments: ({ tag: of, numbers }) => {
        if ((tag || current) !== of) return;
        numbers.forEach((n) => changed.add(n));
        update();
        if (numbers.includes(shownExperiment())) autorl.experiment.show(at("experiment"), shownExperiment());
      },
    }, last);
  }

  function choose(name) {
    tag = name === current ? null : name;
    location.hash = "#/";
    reload();
  }

  function shownExperiment() {
    const found = /^#\/experiment\/(\d{1,12})$/.exec(location.hash);
    return found ? Number(found[1]) : null;
  }

  let left = 0;
  function route() {
    const n = shownExperiment();
    const isOne = n !== null;
    const wasOne = at("overview").hidden;
    if (isOne && !wasOne) left = window.scrollY;
    at("overview").hidden = isOne;
    at("experiment").hidden = !isOne;
    if (isOne) {
      autorl.experiment.show(at("experiment"), n);
      window.scrollTo(0, 0);
    } else {
      autorl.experiment.forget();
      if (status && wasOne) { show(status); autorl.table.load(); autorl.chart.redraw(); refreshLog(); }
      window.scrollTo(0, left);
    }
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "Escape") { if (isTyping) event.target.blur(); else if (shownExperiment() !== null) location.hash = "#/"; return; }
    if (isTyping) return;
    const one = shownExperiment() !== null;
    const go = (rel) => { const a = document.querySelector(`.crumbs a[rel=${rel}]`); if (a) a.click(); };
    const actions = {
      "/": () => { if (!one) autorl.table.focus(); else { location.hash = "#/"; setTimeout(autorl.table.focus, 0); } },
      j: () => (one ? go("next") : autorl.table.move(1)),
      k: () => (one ? go("prev") : autorl.table.move(-1)),
      Enter: () => { if (!one && event.target === document.body) autorl.table.open(); },
      "?": help, n: () => press("note"), p: () => press("propose"),
    };
    if (actions[event.key] && !(event.key === "Enter" && event.target !== document.body)) { actions[event.key](); event.preventDefault(); }
  }

  function press(id) { const button = at(`do-${id}`); if (button && !button.disabled) button.click(); }

  function help() {
    const pair = (key, text) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)];
    const word = (name, text) => [el("dt", {}, name), el("dd", {}, text)];
    autorl.steering.open("Keys and words", "", [
      el("dl", { class: "pairs" }, pair("/", "search"), pair("j k", "next, previous experiment"), pair("Enter", "open the chosen one"), pair("Esc", "back"), pair("n", "note to the agent"), pair("p", "propose"), pair("?", "this")),
      el("dl", { class: "pairs" },
        word("experiment", "one change of the environment or the training, trained and scored by the fixed evaluator"),
        word("score", "mean return of greedy evaluation episodes over the default seeds, the same for every candidate"),
        word("validated", "the same over fresh seeds that had no part in choosing it: the honest number, with a 95% confidence interval"),
        word("published", "what the branch autorl/… holds: proven better, or accepted by you"),
        word("lead", "looks better than what is published, so new proposals start from it; published once a trial proves it"),
        word("budget", "training / evaluation episodes a seed; the run climbs to larger ones, and scores of different budgets do not compare"),
        word("gain", "estimated difference to the lead of its time, shrunk towards 0 because most changes change little"),
        word("flag", "a fact that makes a score doubtful; some veto a keep"))]);
  }

  function theme() {
    let kept = null;
    try { kept = localStorage.getItem("theme"); } catch { /* a private window */ }
    if (kept) document.documentElement.dataset.theme = kept;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  }

  function nextTheme() {
    const order = ["", "light", "dark"];
    const next = order[(order.indexOf(document.documentElement.dataset.theme || "") + 1) % 3];
    if (next) document.documentElement.dataset.theme = next;
    else delete document.documentElement.dataset.theme;
    try { if (next) localStorage.setItem("theme", next); else localStorage.removeItem("theme"); } catch { /* a private window */ }
    say(next ? `${next} colours` : "colours as the system has them");
    repaint();
  }

  function repaint() {
    autorl.chart.redraw();
    const n = shownExperiment();
    if (n !== null) autorl.experiment.show(at("experiment"), n);
  }

  start();
})(window.autorl);
