// Helps with the form: groups digits, adds data of this browser, and sends the form once.
"use strict";

const BROWSER = {
  browserLanguage: navigator.language || "en",
  browserJavaEnabled: String(typeof navigator.javaEnabled === "function" && navigator.javaEnabled()),
  browserColorDepth: String(screen.colorDepth || 24),
  browserScreenHeight: String(screen.height || 1),
  browserScreenWidth: String(screen.width || 1),
  browserTimezone: String(new Date().getTimezoneOffset()),
};

function group(digits) {
  const sizes = /^3[47]/.test(digits) ? [4, 6, 5] : [4, 4, 4, 4, 3];
  const parts = [];
  for (const size of sizes) {
    if (!digits) break;
    parts.push(digits.slice(0, size));
    digits = digits.slice(size);
  }
  return parts.join(" ");
}

// Converts the digits of any script to ASCII: the digits of a script are consecutive, from its zero.
function plain(text) {
  return text.normalize("NFKC").replace(/\p{Nd}/gu, (digit) => {
    let value = 0;
    while (value < 9 && /\p{Nd}/u.test(String.fromCodePoint(digit.codePointAt(0) - value - 1))) value += 1;
    return /[0-9]/.test(digit) ? digit : String(value);
  });
}

// Rewrites the content of a field and keeps the caret behind the same digit.
function rewrite(input, write) {
  const before = plain(input.value.slice(0, input.selectionStart)).replace(/\D/g, "").length;
  const atEnd = input.selectionStart === input.value.length;
  input.value = write(plain(input.value).replace(/\D/g, ""));
  let caret = 0;
  for (let seen = 0; caret < input.value.length && seen < before; caret += 1) {
    if (/\d/.test(input.value[caret])) seen += 1;
  }
  caret = atEnd ? input.value.length : caret;
  input.setSelectionRange(caret, caret);
}

function date(digits) {
  if (/^[2-9]/.test(digits)) digits = `0${digits}`;
  return digits.length > 2 ? `${digits.slice(0, 2)} / ${digits.slice(2, 6)}` : digits;
}

for (const form of document.forms) {
  for (const [name, value] of Object.entries(BROWSER)) form.elements[name].value = value;
  form.elements.number?.addEventListener("input", (event) => rewrite(event.target, (digits) => group(digits.slice(0, 19))));
  form.elements.expiry?.addEventListener("input", (event) => {
    if (/^\d{0,2}\s?\/?\s?\d{0,4}$/.test(plain(event.target.value)) && !event.inputType?.startsWith("delete")) rewrite(event.target, date);
  });
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.addEventListener("input", () => input.removeAttribute("aria-invalid"), { once: true });
  }
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    form.querySelector("button").setAttribute("aria-busy", "true");
  });
}

// A page restored from the browser's cache can be sent again: the gateway recognizes a repeated form.
addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    form.querySelector("button").removeAttribute("aria-busy");
  }
});

const faulty = document.querySelector("[aria-invalid]");
(faulty || document.querySelector("details[open] input:not([type=hidden])") || document.getElementById("number"))?.focus({ preventScroll: !faulty });

// On a phone the summary is closed, because the amount is shown above, unless it lists later charges.
if (matchMedia("(max-width: 760px)").matches && !document.querySelector(".lines .note")) document.querySelector(".lines")?.removeAttribute("open");
