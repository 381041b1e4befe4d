// Looks for news every two seconds, and leaves what did not change as it is: what is open stays open.
"use strict";
{
  const list = document.getElementById("entries");
  const live = document.getElementById("live");
  const SOON = 2000;
  const LATER = 15000;
  let timer = 0;
  let tag = list.dataset.tag;

  const put = (text) => {
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

  const look = async () => {
    try {
      const answer = await fetch(list.dataset.source, { headers: { "If-None-Match": tag }, cache: "no-store" });
      if (answer.status === 200) {
        put(await answer.text());
        tag = answer.headers.get("ETag");
      }
      live.textContent = "live";
    } catch {
      live.textContent = "the gateway does not answer";
    }
    timer = setTimeout(look, document.hidden ? LATER : SOON);
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      clearTimeout(timer);
      timer = setTimeout(look, 0);
    }
  });
  timer = setTimeout(look, SOON);
}
