// Keeps regions marked `data-live="noun noun"` up to date: when an event of such a noun comes, the
// page is fetched again and the region with the same id takes its place. While the stream cannot be
// had, the regions are fetched with every attempt to get it back. The masthead tells which it is.

const GATHER_MS = 1000; // what happens within it costs one fetch
const RETRY_MS = [500, 2000, 5000, 10_000];
const OPEN_MS = 10_000; // a proxy that holds the stream back neither opens nor refuses it
const FETCH_MS = 15_000;
const OVER_MS = 60_000; // "2 minutes ago", "silent": what changes by time alone

const pill = document.querySelector("#live");
const stale = new Set(); // ids of regions
let lastEvent = document.querySelector("meta[name=last-event]")?.content ?? "0";
let timer = 0;
let source = null;
let opening = 0;
let failures = 0;

function regions() {
  return [...document.querySelectorAll("[data-live][id]")];
}

function nounsOf(region) {
  return region.dataset.live.split(" ");
}

function show(state) {
  if (!pill || pill.dataset.state === state) return;
  const before = pill.dataset.state;
  pill.dataset.state = state;
  pill.hidden = false;
  for (const one of pill.querySelectorAll("[data-when]")) one.hidden = one.dataset.when !== state;
  const word = pill.querySelector(`[data-when=${state}]`);
  // That all is well is not worth a word when the page opens.
  if (before || state !== "live") document.querySelector("#live-said").textContent = word.textContent;
}

// What a person has typed, or is about to, stays as it is until it is sent or emptied.
function isBusy(region) {
  return [...region.querySelectorAll("input, select, textarea")].some(
    (field) => field === document.activeElement || (field.defaultValue ?? field.value) !== field.value,
  );
}

function replace(region, fresh) {
  const next = fresh.getElementById(region.id);
  if (!next) return;
  const opened = new Set([...region.querySelectorAll("details[open][id]")].map((one) => one.id));
  for (const one of next.querySelectorAll("details[id]")) if (opened.has(one.id)) one.open = true;
  const active = region.contains(document.activeElement) ? document.activeElement : null;
  const place = [...region.querySelectorAll("a, button, summary")].indexOf(active);
  region.replaceWith(next);
  if (place >= 0) next.querySelectorAll("a, button, summary")[place]?.focus({ preventScroll: true });
}

async function fetchPage() {
  const signal = AbortSignal.timeout(FETCH_MS);
  // Nobody may be there: this keeps no session from ending.
  const headers = { Accept: "text/html", "X-Unattended": "1" };
  const response = await fetch(location.href, { headers, signal });
  // The session is over, or what the page was about is gone: the page itself says it best.
  if (response.redirected) location.replace(response.url);
  else if (response.status === 404) location.reload();
  if (response.redirected || !response.ok) throw new Error(`${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

async function refresh() {
  timer = 0;
  if (document.hidden) return; // its return makes all of them stale
  const due = regions().filter((region) => stale.has(region.id) && !isBusy(region));
  try {
    if (due.length > 0) {
      for (const region of due) stale.delete(region.id);
      const fresh = await fetchPage();
      for (const region of due) if (region.isConnected) replace(region, fresh);
    }
    if (stale.size > 0) timer ||= setTimeout(refresh, GATHER_MS);
  } catch {
    for (const region of due) stale.add(region.id);
    failures = RETRY_MS.length;
    fail();
    show("offline");
  }
}

function mark(noun) {
  for (const region of regions()) {
    if (noun === undefined || nounsOf(region).includes(noun)) stale.add(region.id);
  }
  if (stale.size > 0) timer ||= setTimeout(refresh, GATHER_MS);
}

function close() {
  clearTimeout(opening);
  source?.close();
  source = null;
}

function fail() {
  close();
  const wait = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)];
  failures += 1;
  if (failures > 1) show(navigator.onLine ? "reconnecting" : "offline"); // a blink is no news
  opening = setTimeout(() => {
    if (failures > 2) mark();
    open();
  }, wait);
}

function open() {
  close();
  if (document.hidden) return;
  const nouns = new Set(regions().flatMap(nounsOf));
  const query = new URLSearchParams({ last_event_id: lastEvent, types: [...nouns].join(",") });
  source = new EventSource(`/api/v1/events?${query}`);
  opening = setTimeout(fail, OPEN_MS);
  source.onopen = () => {
    clearTimeout(opening);
    failures = 0;
    show("live");
    // That Apple accepted a push, or that a device connected, is told once and replayed to nobody.
    if (document.querySelector("[data-live] .stages .next")) mark("command");
    if (stale.size > 0) timer ||= setTimeout(refresh, GATHER_MS);
  };
  source.onerror = fail;
  source.addEventListener("reset", () => mark());
  for (const noun of nouns) {
    source.addEventListener(noun, (event) => {
      if (event.lastEventId) lastEvent = event.lastEventId;
      mark(noun);
    });
  }
}

if (regions().length > 0) {
  open();
  setInterval(mark, OVER_MS);
  // A browser lets a server have six connections: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return close();
    mark();
    open();
  });
  document.addEventListener("hold-over", () => mark("command"));
  addEventListener("online", open);
  addEventListener("offline", () => show("offline"));
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
}
