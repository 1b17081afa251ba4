// Steering: buttons and forms that send the same requests as the command line.
"use strict";
(function (autorl) {
  const { el, fill, say, when } = autorl;
  let canAct = false;
  let status = null;
  const LOCKED = "To act, open the address that `autorl-daemon web` printed: it has the token";

  const BUTTONS = [
    ["note", "Note", "Tell the agent something: it stands in every prompt from now on", () => true, noteDialog],
    ["pause", "Pause", "Let what is in flight end, and begin nothing new until you resume", (s) => s.running && s.phase !== "paused" && !(s.requests || []).includes("pause"), () => ask("Pause", "What is in flight ends first. Nothing new begins until you resume; nothing is lost.", "pause")],
    ["resume", "Resume", "Go on after a pause", (s) => s.running && (s.phase === "paused" || (s.requests || []).includes("pause")), () => send("resume")],
    ["stop", "Stop", "End the run, after what is in flight or at once", (s) => s.running, stopDialog],
    ["propose", "Propose", "Have code of your own judged as the next experiment", (s) => Boolean(s.branch), () => proposeDialog(null)],
    ["lessons", "Lessons", "What works and what does not: read and edit what the agent is told", (s) => Boolean(s.branch), lessonsDialog],
    ["program", "Brief", "program.md: what the agent is to do, and what is off limits", () => true, programDialog],
    ["reload", "Reload", "Have the daemon reread config.yaml", (s) => s.running, () => ask("Reload config.yaml", reloadWords(), "reload")],
    ["report", "Report", "The run in one screen", (s) => Boolean(s.branch), reportDialog],
  ];

  function reloadWords() {
    const changed = Object.entries((status && status.config_cures) || {});
    return changed.length ? ["What has changed in config.yaml:", el("ul", {}, changed.map(([key, cure]) => el("li", {}, el("code", {}, key), `: ${cure}`)))]
      : "config.yaml says what the daemon works with: nothing would change.";
  }

  function buttons(s) {
    status = s;
    const place = document.getElementById("steer");
    fill(place, BUTTONS.filter(([id, , , isThere]) => isThere(s) && (id === "report" || !(s.is_older || autorl.isExport))).map(([id, name, help, , action]) => {
      const isLocked = !canAct && id !== "report";
      return el("button", { type: "button", id: `do-${id}`, class: `plain${id === "reload" && Object.keys(s.config_cures || {}).length ? " due" : ""}`, title: isLocked ? LOCKED : help, disabled: isLocked, onclick: action }, name);
    }));
  }

  async function send(name, given, dialog) {
    try {
      const said = await autorl.act(name, given);
      say(said);
      if (dialog) dialog.close();
      document.dispatchEvent(new CustomEvent("acted", { detail: name }));
      return true;
    } catch (error) {
      if (dialog) {
        const place = dialog.querySelector(".problem");
        place.textContent = error.message;
        place.hidden = false;
      } else say(error.message, true);
      return false;
    }
  }

  // A dialog of the browser's own: Esc closes it, and the focus stays inside.
  function open(title, words, content, doing) {
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" });
    const buttons_ = (doing || []).map(([name, kind, action]) => el("button", { type: "button", class: kind, onclick: async (event) => {
      event.target.disabled = true;
      await action(dialog);
      event.target.disabled = false;
    } }, name));
    fill(dialog, el("form", { method: "dialog", onsubmit: (event) => event.preventDefault() },
      el("h2", { id: "dialog-title" }, title), el("div", { class: "words" }, words), content,
      el("p", { class: "problem", role: "alert", hidden: true }),
      el("div", { class: "buttons" }, el("button", { type: "button", class: "plain", onclick: () => dialog.close() }, buttons_.length ? "Cancel" : "Close"), buttons_)));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    const first = dialog.querySelector("textarea, input");
    if (first) first.focus();
    return dialog;
  }

  function ask(title, words, name, given, kind) {
    open(title, words, null, [[title, kind || "go", (dialog) => send(name, given, dialog)]]);
  }

  function area(text, rows, limit) {
    const count = el("span", { class: "dim" });
    const box = el("textarea", { rows, spellcheck: "false" });
    box.value = text || "";
    const tell = () => { count.textContent = limit ? `${box.value.length} of ${limit} characters` : ""; count.classList.toggle("over", Boolean(limit) && box.value.length > limit); };
    box.addEventListener("input", tell);
    tell();
    return [box, count];
  }

  async function noteDialog() {
    const known = await autorl.get("notebook").catch(() => ({ notes: [], note_chars: 2000 }));
    const [box, count] = area("", 4, known.note_chars);
    box.id = "note-text";
    const list = el("ul", { class: "notes" }, known.notes.map((note) => {
      const item = el("li", {}, el("span", {}, note.text), el("span", { class: "dim" }, ` ${when(note.created_at)} `), el("button", { type: "button", class: "plain", title: "The agent no longer sees it; the ledger keeps it", onclick: async () => {
        if (await send("delete-note", { id: note.id })) item.remove();
      } }, "delete"));
      return item;
    }));
    open("Note to the agent", "It stands in every prompt from now on, until you delete it.", [box, count, known.notes.length ? el("h3", {}, "Notes the agent sees") : null, list],
      [["Note", "go", (dialog) => send("note", { text: box.value }, dialog)]]);
  }

  function stopDialog() {
    const inHand = (status.in_hand || []).map((n) => `#${n}`).join(" and ");
    open("Stop the run", ["“Stop” lets what is in flight end and be recorded. “Stop now” aborts it", inHand ? ` (${inHand})` : "", ": what was spent on it is lost. Either way `autorl-daemon start` resumes the run."], null,
      [["Stop now", "danger", (dialog) => send("stop-now", {}, dialog)], ["Stop", "go", (dialog) => send("stop", {}, dialog)]]);
  }

  async function lessonsDialog() {
    const known = await autorl.get("notebook");
    const [box, count] = area(known.lessons ? known.lessons.text : "", 14, known.lessons_chars);
    box.id = "lessons-text";
    open("Lessons", known.lessons ? `By ${known.lessons.author} after #${known.lessons.after}, ${when(known.lessons.created_at)}. What you write takes their place in the next prompt; the agent rewrites them now and then.` : "None yet: the agent writes them down now and then. What you write stands in its next prompt.",
      [box, count], [["Write", "go", (dialog) => send("lessons", { text: box.value }, dialog)]]);
  }

  async function programDialog() {
    const known = await autorl.get("notebook");
    const [box] = area(known.program || "", 22);
    box.id = "program-text";
    open("The brief, program.md", "What the agent is to do, what is off limits, and how. It is a file of your workspace; the agent is given it from its next prompt on.",
      [box], [["Write", "go", (dialog) => send("program", { text: box.value, before: known.program || "" }, dialog)]]);
  }

  async function proposeDialog(doc) {
    let files = doc && doc.files;
    const [env, train] = ["candidate/env.py", "candidate/train.py"];
    let where = doc ? `experiment #${doc.experiment}` : "candidate/ in the workspace";
    if (!files) {
      try { files = await autorl.get("candidate"); } catch (error) { say(error.message, true); return; }
      where = "candidate/ in the workspace";
    }
    const what = el("input", { type: "text", id: "propose-what", maxlength: 200, placeholder: "what it tries, in a line" });
    const [envBox] = area(files[env], 14);
    const [trainBox] = area(files[train], 14);
    envBox.id = "propose-env";
    trainBox.id = "propose-train";
    open("Propose a candidate", `It begins as ${where}. Edit it here: it is the next experiment, judged like any other. Files of the workspace stay as they are.`,
      [el("label", {}, "Description", what), el("label", {}, el("code", {}, train), trainBox), el("details", { open: Boolean(doc) }, el("summary", {}, el("code", {}, env)), envBox)],
      [["Propose", "go", (dialog) => send("propose", { description: what.value, files: { [env]: envBox.value, [train]: trainBox.value } }, dialog)]]);
  }

  async function reportDialog() {
    let made;
    try { made = await autorl.get("report", { tag: status && status.is_older ? status.tag : "" }); } catch (error) { say(error.message, true); return; }
    open("Report", "As `autorl-daemon report --markdown` writes it.", el("pre", { class: "paper tall" }, made.markdown));
  }

  function acceptDialog(doc) {
    const hasFailed = ["invalid", "crash", "timeout"].includes(doc.status);
    const inHand = (status.in_hand || []).map((n) => `#${n}`).join(" and ");
    open(`Publish #${doc.experiment}`, [
      el("p", {}, `It becomes what the branch holds, whatever the test said (${doc.status}), and proposals start from it.`),
      inHand ? el("p", {}, `${inHand} in flight is judged anew against it.`) : null,
      hasFailed ? el("p", { class: "flag" }, `It ended as ${doc.status}: published, it is evaluated first, and the run ends if it fails again.`) : null,
    ], null, [[hasFailed ? "Publish all the same" : "Publish", "danger", (dialog) => send("accept", { n: doc.experiment, may_fail: hasFailed }, dialog)]]);
  }

  function pruneDialog(doc) {
    const why = el("input", { type: "text", id: "prune-why", maxlength: 200, placeholder: "what is wrong with it" });
    open(`Prune #${doc.experiment}`, `The lead goes back to what #${doc.experiment} was proposed from; what came after it goes with it. The agent is told why.`,
      el("label", {}, "Reason", why), [["Prune", "danger", (dialog) => send("prune", { n: doc.experiment, why: why.value }, dialog)]]);
  }

  function measureDialog(doc) {
    const seeds = el("input", { type: "number", id: "measure-seeds", min: 1, max: 100, value: 8 });
    open(`Measure #${doc.experiment} again`, "It is trained and evaluated on further seeds that did not choose it, before the next experiment. More seeds narrow its interval; they cost evaluator time, and do not make a false proof more likely.",
      el("label", {}, "Fresh seeds", seeds), [["Measure", "go", (dialog) => send("measure", { n: doc.experiment, seeds: Number(seeds.value) }, dialog)]]);
  }

  function experimentButtons(doc) {
    if (autorl.isExport) return null;
    const title = (text) => (canAct ? text : LOCKED);
    return doc.files ? [
      el("button", { type: "button", id: "accept", disabled: !canAct, title: title("Publish it, whatever its verdict; proposals start from it"), onclick: () => acceptDialog(doc) }, "Accept"),
      el("button", { type: "button", id: "propose-from", disabled: !canAct, title: title("Edit its code and have that judged as the next experiment"), onclick: () => proposeDialog(doc) }, "Propose from here"),
      doc.row.role ? el("button", { type: "button", id: "measure", disabled: !canAct, title: title("More fresh seeds of the lead, or of what is published"), onclick: () => measureDialog(doc) }, "Measure again") : null,
      doc.row.role === "lead" ? el("button", { type: "button", id: "prune", disabled: !canAct, title: title("Have the lead go back to before it, with a reason for the agent"), onclick: () => pruneDialog(doc) }, "Prune") : null,
    ] : null;
  }

  autorl.steering = { buttons, experimentButtons, open, allow: (may) => { canAct = may; } };
})(window.autorl);
