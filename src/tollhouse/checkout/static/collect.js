// Sends data of this browser to the gateway, after the issuer's 3DS Method has run, if there is one.
"use strict";

const METHOD_TIMEOUT_MS = 10_000;

function send() {
  const form = document.getElementById("browser");
  if (form.dataset.sent) return;
  form.dataset.sent = "yes";
  const fields = {
    browserLanguage: navigator.language || "en",
    browserJavaEnabled: String(typeof navigator.javaEnabled === "function" && navigator.javaEnabled()),
    browserColorDepth: String(screen.colorDepth || 24),
    browserScreenHeight: String(screen.height || 1),
    browserScreenWidth: String(screen.width || 1),
    browserTimezone: String(new Date().getTimezoneOffset()),
  };
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name, value });
    form.append(input);
  }
  form.submit();
}

const method = document.getElementById("method");
if (method) {
  addEventListener("message", (event) => {
    if (event.origin === location.origin && event.data === "3DS Method completed") send();
  });
  setTimeout(send, METHOD_TIMEOUT_MS);
  method.submit();
} else {
  send();
}
