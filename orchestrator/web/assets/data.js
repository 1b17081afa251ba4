// What the page shows comes from the server's API, or, of an exported page, from files beside it.
// Files are scripts that hand over JSON, because a browser lets no page on disk read any others.
"use strict";
(function (autorl) {
  const isExport = document.documentElement.dataset.export === "yes";
  const waiting = new Map();
  const loaded = new Map();

  autorl.loaded = function (name, document_) {
    loaded.set(name, document_);
    const settle = waiting.get(name);
    if (settle) settle(document_);
  };

  function fromFile(name) {
    if (loaded.has(name)) return Promise.resolve(loaded.get(name));
    return new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const script = document.createElement("script");
      script.src = `data/${name}.js`;
      script.addEventListener("error", () => reject(new Error("this is not in the exported page")));
      document.head.append(script);
    });
  }

  async function get(path, parameters) {
    if (isExport) return fromFile(path);
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(parameters || {})) {
      if (value !== null && value !== undefined && value !== "") query.set(key, value);
    }
    const text = query.toString();
    const answer = await fetch(`/api/${path}${text ? `?${text}` : ""}`, { credentials: "same-origin" });
    return understood(answer);
  }

  async function understood(answer) {
    let document_ = null;
    const text = await answer.text();
    try { document_ = JSON.parse(text); } catch { /* a refusal is plain text */ }
    if (answer.ok && document_ !== null) return document_;
    throw new Error((document_ && document_.error) || text.trim() || `the server answered ${answer.status}`);
  }

  async function act(name, given) {
    const answer = await fetch(`/api/actions/${name}`, {
      method: "POST", credentials: "same-origin",
      headers: { "Content-Type": "application/json" }, body: JSON.stringify(given || {}),
    });
    return (await understood(answer)).said;
  }

  // The browser comes back by itself after a break and names the last event it has seen.
  function follow(handlers, last) {
    if (isExport) return;
    const source = new EventSource(last ? `/api/events?last=${encodeURIComponent(last)}` : "/api/events");
    for (const [kind, handle] of Object.entries(handlers)) {
      if (kind === "open" || kind === "error") source.addEventListener(kind, () => handle(source));
      else source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
  }

  Object.assign(autorl, { get, act, follow, isExport });
})(window.autorl);
