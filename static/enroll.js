// The enroll page works without this file. It adds what only the device itself can know.

const MINUTES_UNTIL_DELETED = 8;
const PROBE_EVERY_MS = 3000;
const STARTED_AT = "enroll.downloaded_at";

const steps = document.querySelector("[data-platform]");

// Safari on an iPad calls itself a Mac; a Mac has no touch screen.
function correctPlatform() {
  const address = new URL(location.href);
  const mistaken = steps?.dataset.platform === "mac" && navigator.maxTouchPoints > 1;
  if (mistaken && !address.searchParams.has("device")) {
    address.searchParams.set("device", "ipad");
    location.replace(address);
  }
}

function showLocalTimes() {
  // Sweden writes dates as ISO 8601 does: 2026-11-24 14:05, the form of all our pages.
  const format = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
  for (const time of document.querySelectorAll("time")) {
    time.textContent = format.format(new Date(time.dateTime));
  }
}

// On an https page a fetch to the same host proves nothing: the person may have told the browser
// to visit it anyway. Another name of the server, or an http page, has no such exception.
async function proveTrust(status) {
  const probe = new URL(status.dataset.probe, location.href);
  const proves = probe.protocol === "https:" &&
    (location.protocol === "http:" || probe.hostname !== location.hostname);
  if (!proves) return;
  for (;;) {
    if (document.visibilityState === "visible") {
      try {
        const signal = AbortSignal.timeout(PROBE_EVERY_MS);
        await fetch(probe, { mode: "no-cors", cache: "no-store", credentials: "omit", signal });
        break;
      } catch {
        status.textContent = status.dataset.waiting;
      }
    }
    await new Promise((resume) => setTimeout(resume, PROBE_EVERY_MS));
  }
  status.textContent = status.dataset.trusted;
  status.closest(".step").classList.add("done");
}

function countDown(timer, startedAt) {
  const left = startedAt + MINUTES_UNTIL_DELETED * 60_000 - Date.now();
  timer.hidden = false;
  timer.classList.toggle("over", left <= 0);
  if (left <= 0) {
    timer.textContent = timer.dataset.over;
    return;
  }
  const seconds = Math.ceil(left / 1000);
  const clock = [Math.floor(seconds / 60), seconds % 60].map((part) => `${part}`.padStart(2, "0"));
  timer.textContent = timer.dataset.left.replace("{time}", clock.join(":"));
  timer.pending = setTimeout(countDown, 500, timer, startedAt);
}

function watchDownload(link, timer) {
  // The page may be loaded anew when the person returns from Settings.
  const before = Number(sessionStorage.getItem(STARTED_AT));
  if (before) countDown(timer, before);
  link.addEventListener("click", () => {
    clearTimeout(timer.pending);
    const now = Date.now();
    sessionStorage.setItem(STARTED_AT, `${now}`);
    countDown(timer, now);
  });
}

correctPlatform();
showLocalTimes();
const status = document.querySelector("[data-probe]");
if (status) proveTrust(status);
const timer = document.querySelector("[data-left]");
if (timer) watchDownload(document.querySelector("#management-profile"), timer);
