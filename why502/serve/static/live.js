// Keeps the live part of a page up to date. Without it, or without JavaScript, the page stays as it was when it was loaded.
"use strict";
(() => {
  const part = document.querySelector("[data-live]");
  if (!part || !window.EventSource) return;
  const status = document.getElementById("live-status");
  let source;

  // What was opened and focused stays so: the parts of the new text are found by their ids.
  const replace = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const box of part.querySelectorAll("details[id]")) {
      const other = fresh.getElementById(box.id);
      if (other) other.open = box.open;
    }
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const key = focused && (focused.id ? "#" + CSS.escape(focused.id) : focused.getAttribute("href") ? `a[href="${CSS.escape(focused.getAttribute("href"))}"]` : "");
    part.replaceChildren(...fresh.body.childNodes);
    if (key) part.querySelector(key)?.focus({ preventScroll: true });
  };

  const connect = () => {
    source = new EventSource(part.dataset.live);
    source.onmessage = (event) => {
      const news = JSON.parse(event.data);
      replace(news.html);
      // Announced only where the sentence differs, so that a screen reader stays quiet otherwise.
      if (status && status.textContent !== news.status) status.textContent = news.status;
      part.classList.remove("stale");
    };
    source.onerror = () => {
      part.classList.add("stale");
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000 + 5000 * Math.random());
    };
  };
  connect();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && connect());
})();
