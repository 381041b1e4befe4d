// Polls until the next step is ready, then loads it in place of this page.
"use strict";

const MAX_POLLS = 400;
const POLL_INTERVAL_MS = 1_000;
const { path, poll } = document.currentScript.dataset;

const pause = () => new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));

async function isReady() {
  try {
    const response = await fetch(poll, { cache: "no-store" });
    return response.ok ? (await response.json()).ready : pause().then(() => response.status < 500);
  } catch {
    return pause().then(() => false);
  }
}

async function showNextStep() {
  if (poll) {
    for (let polls = 0; polls < MAX_POLLS; polls += 1) {
      if (await isReady()) break;
    }
  }
  location.replace(path);
}

showNextStep();
