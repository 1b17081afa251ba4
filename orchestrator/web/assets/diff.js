// A change, as it is (unified) or both sides beside each other (split).
"use strict";
(function (autorl) {
  const { el, fill } = autorl;
  let isSplit = false;
  try { isSplit = localStorage.getItem("diff") === "split"; } catch { /* a private window */ }

  // Returns files, each with hunks of lines: {kind: " ", "-" or "+", text, old, new}.
  function parse(patch) {
    const files = [];
    let file = null;
    let hunk = null;
    let [a, b] = [0, 0];
    for (const line of patch.split("\n")) {
      if (line.startsWith("--- ") && (!hunk || hunk.done())) {
        file = { name: line.slice(4).replace(/^a\//, ""), hunks: [] };
        files.push(file);
        hunk = null;
      } else if (line.startsWith("+++ ") && file && !file.hunks.length) {
        file.name = line.slice(4).replace(/^b\//, "");
      } else if (line.startsWith("@@ ") && file) {
        const found = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/.exec(line);
        if (!found) continue;
        [a, b] = [Number(found[1]), Number(found[3])];
        let left = Number(found[2] ?? 1) + Number(found[4] ?? 1);
        hunk = { title: line, lines: [], take: (by) => { left -= by; }, done: () => left <= 0 };
        file.hunks.push(hunk);
      } else if (hunk) {
        const kind = line[0] || " ";
        const text = line.slice(1);
        if (kind === "-") { hunk.lines.push({ kind, text, old: a }); a += 1; hunk.take(1); }
        else if (kind === "+") { hunk.lines.push({ kind, text, new: b }); b += 1; hunk.take(1); }
        else if (kind === " " && !hunk.done()) { hunk.lines.push({ kind, text, old: a, new: b }); a += 1; b += 1; hunk.take(2); }
      }
    }
    return files;
  }

  function unified(hunk) {
    return hunk.lines.map((line) => el("tr", { class: `d${line.kind === "+" ? "plus" : line.kind === "-" ? "minus" : "same"}` },
      el("td", { class: "ln" }, line.old ?? ""), el("td", { class: "ln" }, line.new ?? ""),
      el("td", { class: "sign" }, line.kind), el("td", { class: "code" }, line.text)));
  }

  function split(hunk) {
    const rows = [];
    let i = 0;
    while (i < hunk.lines.length) {
      if (hunk.lines[i].kind === " ") { rows.push([hunk.lines[i], hunk.lines[i]]); i += 1; continue; }
      const minus = [];
      const plus = [];
      while (i < hunk.lines.length && hunk.lines[i].kind === "-") minus.push(hunk.lines[i++]);
      while (i < hunk.lines.length && hunk.lines[i].kind === "+") plus.push(hunk.lines[i++]);
      for (let k = 0; k < Math.max(minus.length, plus.length); k += 1) rows.push([minus[k], plus[k]]);
    }
    const side = (line, number_, kind) => [el("td", { class: "ln" }, line ? number_(line) ?? "" : ""),
      el("td", { class: `code ${line ? (line.kind === " " ? "" : kind) : "none"}` }, line ? line.text : "")];
    return rows.map(([a, b]) => el("tr", {}, side(a, (l) => l.old, "minus"), side(b, (l) => l.new, "plus")));
  }

  function show(place, patch) {
    if (!patch) {
      fill(place, el("p", { class: "empty" }, "There is no change to show: a baseline, or a reply that led to no candidate."));
      return;
    }
    const files = parse(patch);
    const choose = (value, name, help) => el("button", { type: "button", title: help, "aria-pressed": String(isSplit === value), onclick: () => {
      isSplit = value;
      try { localStorage.setItem("diff", value ? "split" : "unified"); } catch { /* a private window */ }
      show(place, patch);
    } }, name);
    fill(place, el("div", { class: "choices" }, choose(false, "unified", "One column, as git shows it"), choose(true, "split", "Before and after beside each other")),
      files.map((file) => {
        const plus = file.hunks.flatMap((h) => h.lines).filter((l) => l.kind === "+").length;
        const minus = file.hunks.flatMap((h) => h.lines).filter((l) => l.kind === "-").length;
        return el("details", { open: true, class: "file" }, el("summary", {}, el("code", {}, file.name), el("span", { class: "plus" }, ` +${plus}`), el("span", { class: "minus" }, ` −${minus}`)),
          el("div", { class: "scroll" }, el("table", { class: `diff ${isSplit ? "split" : "unified"}` },
            file.hunks.map((hunk) => el("tbody", {}, el("tr", { class: "hunk" }, el("td", { colspan: 4 }, hunk.title)), isSplit ? split(hunk) : unified(hunk))))));
      }));
  }

  autorl.diff = { show, parse };
})(window.autorl);
