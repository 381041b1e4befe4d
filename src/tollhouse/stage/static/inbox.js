// Loads new entries every two seconds. Unchanged entries stay as they are, open or closed.
"use strict";
{
  const list = document.getElementById("entries");
  const live = document.getElementById("live");
  const VISIBLE_INTERVAL_MS = 2000;
  const HIDDEN_INTERVAL_MS = 15000;
  let timer = 0;
  let tag = list.dataset.tag;

  const showEntries = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html").body;
    for (const one of [...fresh.children]) {
      const known = one.id && document.getElementById(one.id);
      if (!known) {
        one.classList.add("new");
      } else if (known.dataset.version === one.dataset.version) {
        one.replaceWith(known);
      } else {
        one.open = known.open;
      }
    }
    list.replaceChildren(...fresh.childNodes);
  };

  const loadEntries = async () => {
    try {
      const response = await fetch(list.dataset.source, { headers: { "If-None-Match": tag }, cache: "no-store" });
      if (response.status === 200) {
        showEntries(await response.text());
        tag = response.headers.get("ETag");
      }
      live.textContent = "live";
    } catch {
      live.textContent = "the gateway does not respond";
    }
    timer = setTimeout(loadEntries, document.hidden ? HIDDEN_INTERVAL_MS : VISIBLE_INTERVAL_MS);
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      clearTimeout(timer);
      timer = setTimeout(loadEntries, 0);
    }
  });
  timer = setTimeout(loadEntries, VISIBLE_INTERVAL_MS);
}
