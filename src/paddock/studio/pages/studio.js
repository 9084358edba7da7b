// Keys, drafts and the time in view. Every page works without it, but for drafts.
"use strict";

const form = document.getElementById("answer");
const saved = document.getElementById("saved");

// A form is sent once, however often its button is pressed.
for (const each of document.forms) {
  each.addEventListener("submit", (event) => {
    if (each.dataset.sent) {
      event.preventDefault();
      return;
    }
    each.dataset.sent = "yes";
  });
}
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // a page from the browser's memory holds a form that was sent
});

// Keys: a digit or letter presses what carries it in data-key, whatever the keyboard writes: where a key gives neither (a
// Cyrillic letter, the & on a French 1), its place counts.
const keyOf = (event) => {
  const key = event.key.toLowerCase();
  if (/^[\x00-\x7f]$/.test(key) && (/[a-z0-9]/.test(key) || event.shiftKey)) return key;
  return event.code.match(/^(?:Key|Digit|Numpad)([A-Z0-9])$/)?.[1].toLowerCase() ?? key;
};
const isText = (element) => element.matches("textarea, select, input:not([type=radio])");
document.addEventListener("keydown", (event) => {
  const inText = isText(event.target);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const own = event.target.form || form;
    if (own) own.requestSubmit();
    return;
  }
  if (inText) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter") {
    if (form && (event.target === document.body || event.target.matches("input[type=radio]"))) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.target === document.body) {
      document.querySelector('[data-key="Enter"]')?.click();
    }
    return;
  }
  const pressed = document.querySelector(`[data-key="${CSS.escape(keyOf(event))}"]`);
  if (!pressed) return;
  event.preventDefault();
  if (pressed.matches("summary")) {
    pressed.parentElement.open = true;
    pressed.parentElement.querySelector("textarea").focus();
  } else {
    pressed.click();
    if (pressed.matches("input")) pressed.focus({ preventScroll: true });
  }
});
for (const field of document.querySelectorAll("[data-select]")) field.addEventListener("focus", () => field.select());

// A conversation begins at its end: one that scrolls by itself, and one that goes on.
const dialog = document.querySelector(".beside .dialog");
if (dialog) dialog.scrollTop = dialog.scrollHeight;
if (document.body.classList.contains("chat")) scrollTo(0, document.body.scrollHeight);

const item = location.pathname.match(/^\/rate\/\d+/)?.[0];
if (item) {
  // Seconds with the item in view, on all of its pages: to tell reading from a forgotten window.
  const clock = `${document.querySelector(".study").textContent} ${item}`; // studies may share an address
  let since = document.visibilityState === "visible" ? performance.now() : null;
  const count = () => {
    let seconds = Number(sessionStorage.getItem(clock));
    if (since !== null) seconds += (performance.now() - since) / 1000;
    since = document.visibilityState === "visible" ? performance.now() : null;
    sessionStorage.setItem(clock, seconds);
    if (form) form.elements.active_seconds.value = seconds.toFixed(1);
  };
  document.addEventListener("visibilitychange", count);
  window.addEventListener("pagehide", count);
  if (form) form.addEventListener("submit", count);
}

const drafted = [...document.querySelectorAll("form[data-draft]")]; // a message to say, an answer, or both
if (drafted.length) {
  // Drafts are kept a moment after each change, and when the page is left.
  const address = drafted[0].dataset.draft;
  let timer = null;
  let changed = false;
  const open = () => (form?.dataset.sent ? [] : drafted.filter((each) => !each.dataset.sent)); // an answer ends it all
  const body = () => new URLSearchParams(open().flatMap((each) => [...new FormData(each)]));
  const save = async () => {
    if (!changed || !open().length) return;
    changed = false;
    try {
      const answer = await fetch(address, { method: "POST", body: body() });
      const kept = answer.ok && (await answer.json()).saved;
      saved.textContent = kept ? "Draft kept" : "Draft not kept";
      if (!kept) changed = true; // for another try, at the next change or when the page is left
    } catch {
      changed = true;
      saved.textContent = "No connection: draft not kept";
    }
  };
  const keepSoon = () => {
    changed = true;
    saved.textContent = "";
    clearTimeout(timer);
    timer = setTimeout(save, 600);
  };
  for (const each of drafted) each.addEventListener("input", keepSoon);
  window.addEventListener("pagehide", () => {
    if (changed && open().length) navigator.sendBeacon(address, body());
  });
}
