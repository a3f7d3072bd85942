// The board works without this file. It adds the keyboard, searching while you type, local times.

const SECOND_KEY_MS = 1500;
const TYPING_PAUSE_MS = 150;
const PLACES = { h: "/", d: "/devices", e: "/enrollment", c: "/certificates", a: "/activity" };

let secondKeyUntil = 0;

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

function startSearch() {
  const field = document.querySelector("input[type=search]");
  if (!field) return location.assign("/devices");
  field.focus();
  field.select();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  const awaited = Date.now() < secondKeyUntil;
  secondKeyUntil = 0;
  if (awaited && PLACES[event.key]) location.assign(PLACES[event.key]);
  else if (event.key === "g") secondKeyUntil = Date.now() + SECOND_KEY_MS;
  else if (event.key === "?") document.querySelector("#keys")?.showModal();
  else if (event.key === "/") {
    event.preventDefault();
    startSearch();
  }
});

// A menu closes when the person turns elsewhere.
for (const menu of document.querySelectorAll(".menu")) {
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// Without this the tooltip says the time in UTC.
function showLocalTimes(root) {
  // Sweden writes dates as ISO 8601 does: 2026-11-24 14:05, the form of all our pages.
  const format = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[title]")) {
    time.title = format.format(new Date(time.dateTime));
  }
}

// The list follows what is typed; its address stays one that can be kept and shared.
function searchWhileTyping(form) {
  let pending = 0;
  let running = new AbortController();

  async function search() {
    running.abort();
    running = new AbortController();
    const fields = [...new FormData(form)].filter(([, value]) => value !== "");
    const address = `${form.action}?${new URLSearchParams(fields)}`.replace(/\?$/, "");
    try {
      const answer = await fetch(address, { signal: running.signal, cache: "no-store" });
      if (answer.redirected || !answer.ok) return location.assign(address);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("#results");
      document.querySelector("#results").replaceWith(fresh);
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(pending);
    pending = setTimeout(search, TYPING_PAUSE_MS);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(pending);
    search();
  });
  form.querySelector("button").hidden = true;
}

showLocalTimes(document);
new MutationObserver(() => showLocalTimes(document)).observe(document.querySelector("main"), {
  childList: true,
  subtree: true,
});
const filters = document.querySelector(".filters");
if (filters) searchWhileTyping(filters);
