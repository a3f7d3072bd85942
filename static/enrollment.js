// The page of a link works without this file. It copies, prints, counts down, and tells local time.

const SECOND_MS = 1000;
const SAID_MS = 4000;

function countDown(clock) {
  const left = Math.max(new Date(clock.dataset.until) - Date.now(), 0);
  if (left === 0) {
    clock.textContent = clock.dataset.over;
    return;
  }
  const seconds = Math.floor(left / SECOND_MS);
  const days = Math.floor(seconds / 86400);
  const parts = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const time = parts.map((part) => `${part}`.padStart(2, "0")).join(":");
  const language = document.documentElement.lang;
  const unit = { style: "unit", unit: "day", unitDisplay: "long" };
  const shown = days ? `${new Intl.NumberFormat(language, unit).format(days)} ${time}` : time;
  clock.textContent = clock.dataset.left.replace("{time}", shown);
}

function tick() {
  for (const clock of document.querySelectorAll("[data-until]")) countDown(clock);
}

// The clipboard may be forbidden; the address can be selected in any case.
async function copy(button) {
  const field = document.getElementById(button.dataset.copies);
  const said = document.querySelector(".copy-said");
  try {
    await navigator.clipboard.writeText(field.value);
    said.textContent = button.dataset.copied;
    setTimeout(() => { said.textContent = ""; }, SAID_MS);
  } catch {
    field.focus();
    field.select();
    said.textContent = button.dataset.selected;
  }
}

function enable() {
  for (const button of document.querySelectorAll("[data-copies][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
  for (const button of document.querySelectorAll("[data-prints][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }
  // Sweden writes times as ISO 8601 does: 14:05, the form of all our pages.
  const format = new Intl.DateTimeFormat("sv-SE", { timeStyle: "short" });
  for (const time of document.querySelectorAll("time.clock:not([data-local])")) {
    time.textContent = format.format(new Date(time.dateTime));
    time.dataset.local = "";
  }
  tick();
}

enable();
setInterval(tick, SECOND_MS);
new MutationObserver(enable).observe(document.querySelector("main"), { childList: true });
