// Small helpers. Text of a run becomes text nodes, never markup.
"use strict";
window.autorl = window.autorl || {};
(function (autorl) {
  // Characters that hide text or turn it around; the code in a form keeps them.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

  function plain(value) { return String(value).replace(HIDDEN, ""); }

  function el(name, props, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(props || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "class") node.className = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (key === "value") node.value = value;
      else node.setAttribute(key, value === true ? "" : plain(value));
    }
    add(node, children);
    return node;
  }

  function add(node, children) {
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      node.append(child instanceof Node ? child : document.createTextNode(plain(child)));
    }
  }

  function fill(node, ...children) {
    node.replaceChildren();
    add(node, children);
    return node;
  }

  const NONE = "—";

  function number(value, digits) {
    if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
    const size = Math.abs(value);
    if (digits !== undefined) return value.toFixed(digits);
    if (size >= 1e6) return value.toExponential(3);
    if (size >= 1000) return value.toFixed(1);
    if (size >= 100) return value.toFixed(2);
    return value.toFixed(4);
  }

  function signed(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
    return (value > 0 ? "+" : "") + number(value);
  }

  function count(value) {
    return value === null || value === undefined ? NONE : value.toLocaleString("en-US");
  }

  function percent(value) {
    return value === null || value === undefined ? NONE : `${Math.round(value * 100)}%`;
  }

  function likely(probability) {
    if (probability === null || probability === undefined) return NONE;
    if (probability > 0.99) return "over 99%";
    return probability < 0.01 ? "under 1%" : `${Math.round(probability * 100)}%`;
  }

  function seconds(value) {
    if (value === null || value === undefined) return NONE;
    if (value < 10) return `${value.toFixed(1)} s`;
    if (value < 90) return `${Math.round(value)} s`;
    if (value < 5400) return `${Math.round(value / 60)} min`;
    return `${(value / 3600).toFixed(1)} h`;
  }

  function dollars(value) {
    if (value === null || value === undefined) return NONE;
    return value !== 0 && Math.abs(value) < 0.1 ? `$${value.toFixed(4)}` : `$${value.toFixed(2)}`;
  }

  function when(text) {
    const date = new Date(text);
    if (!text || Number.isNaN(date.getTime())) return NONE;
    return date.toLocaleString(undefined, {
      month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
    });
  }

  function ago(text) {
    const date = new Date(text);
    if (!text || Number.isNaN(date.getTime())) return "";
    return `${seconds(Math.max(0, (Date.now() - date.getTime()) / 1000))} ago`;
  }

  // Shape and words of each verdict; colours are in app.css by the same names.
  const VERDICTS = {
    keep: ["●", "kept: proven better, and published"],
    lead: ["▲", "leads: looks better, so proposals start from it; not proven yet"],
    baseline: ["◆", "baseline: the published candidate or the lead, scored at a budget"],
    discard: ["○", "discarded: did not look better, or led once and the lead went back"],
    invalid: ["✕", "invalid: refused before training (reply, syntax, contract, duplicate)"],
    rejected: ["⊘", "rejected: evaluated, then disqualified by the referee or vetoed"],
    crash: ["✕", "crash: the candidate raised an error or died"],
    timeout: ["◷", "timeout: stopped by the clock"],
    aborted: ["–", "aborted: stopped before its end; counts as no experiment"],
  };

  function verdict(status, accepted) {
    const [shape, words] = VERDICTS[status] || ["?", status];
    return el("span", { class: `verdict v-${status}`, title: words },
      el("span", { class: "shape", "aria-hidden": "true" }, accepted ? "★" : shape), " ", status,
      accepted ? el("span", { class: "mark", title: "published by you, whatever the test said" }, " accepted") : null);
  }

  function link(n, text) {
    return el("a", { href: `#/experiment/${n}` }, text === undefined ? `#${n}` : text);
  }

  // Commands stand between backticks.
  function withCode(text) {
    return text.split(/`([^`]+)`/).map((part, index) => (index % 2 ? el("code", {}, part) : part));
  }

  let saying = null;
  function say(text, isError) {
    const place = document.getElementById("said");
    place.className = isError ? "shown error" : "shown";
    place.textContent = text;
    clearTimeout(saying);
    saying = setTimeout(() => { place.className = ""; }, isError ? 12000 : 6000);
  }

  function debounced(action, wait) {
    let timer = null;
    return () => {
      if (timer !== null) return;
      timer = setTimeout(() => { timer = null; action(); }, wait);
    };
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  Object.assign(autorl, {
    el, fill, number, signed, count, percent, likely, seconds, dollars, when, ago, verdict, link, say,
    debounced, colour, withCode, NONE, VERDICTS,
  });
})(window.autorl);
