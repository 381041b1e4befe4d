// Asks until there is something new to show, then shows it in place of this page.
"use strict";

const MOST_QUESTIONS = 400;
const PAUSE_MS = 1_000;
const { path, poll } = document.currentScript.dataset;

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

async function isReady() {
  try {
    const answer = await fetch(poll, { cache: "no-store" });
    return answer.ok ? (await answer.json()).ready : pause().then(() => answer.status < 500);
  } catch {
    return pause().then(() => false);
  }
}

async function goOn() {
  if (poll) {
    for (let asked = 0; asked < MOST_QUESTIONS; asked += 1) {
      if (await isReady()) break;
    }
  }
  location.replace(path);
}

goOn();
