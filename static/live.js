// Keeps regions marked `data-live="noun noun"` up to date: when an event of such a noun comes, the
// page is fetched again and the region with the same id takes its place, at most once a second.

const PAUSE = 1000;
let waiting = new Set();
let timer = 0;

function busy(region) {
  return region.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
}

async function refresh() {
  timer = 0;
  const nouns = waiting;
  waiting = new Set();
  const regions = [...document.querySelectorAll("[data-live][id]")].filter(
    (region) => !busy(region) && region.dataset.live.split(" ").some((noun) => nouns.has(noun)),
  );
  if (regions.length === 0 || document.hidden) return;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!response?.ok || response.redirected) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const region of regions) {
    const next = fresh.getElementById(region.id);
    if (!next) continue;
    const opened = new Set([...region.querySelectorAll("details[open][id]")].map((one) => one.id));
    for (const one of next.querySelectorAll("details[id]")) if (opened.has(one.id)) one.open = true;
    region.replaceWith(next);
  }
}

function changed(noun) {
  waiting.add(noun);
  timer ||= setTimeout(refresh, PAUSE);
}

const nouns = new Set(
  [...document.querySelectorAll("[data-live]")].flatMap((region) => region.dataset.live.split(" ")),
);
if (nouns.size > 0) {
  const all = () => nouns.forEach(changed);
  const source = new EventSource("/api/v1/events");
  for (const noun of nouns) source.addEventListener(noun, () => changed(noun));
  source.addEventListener("reset", all);
  source.addEventListener("open", all); // what happened between the page and the stream
  document.addEventListener("visibilitychange", () => document.hidden || all());
}
