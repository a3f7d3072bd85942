// Tells whoever enrolls a device how far it has come: asks every two seconds, then less and less.

const SOON_MS = 2000;
const SLOWEST_MS = 30_000;
const SLOWER = 1.15;
const TIMEOUT_MS = 10_000;
const GIVE_UP_MS = 60 * 60_000;
const STAGES = ["downloaded", "certified", "enrolled", "answered"];

const section = document.querySelector("[data-progress]");
const list = section.querySelector(".journeys");
const address = section.dataset.progress;
const { visit } = section.dataset;
const startedAt = Date.now();
let wait = SOON_MS;
let timer = 0;
let shown = "";

function journey(device) {
  const one = section.querySelector("template").content.cloneNode(true).firstElementChild;
  const reached = STAGES.indexOf(device.stage);
  const model = device.model && device.name !== device.model ? device.model : "";
  const whose = one.querySelector(".whose");
  whose.textContent = [device.name, model].filter(Boolean).join(" · ");
  whose.hidden = !device.name;
  for (const [place, tick] of [...one.querySelectorAll("[data-stage]")].entries()) {
    tick.classList.toggle("done", place <= reached);
    tick.classList.toggle("next", place === reached + 1 && !device.refused);
    // Nobody waits at the phone until somebody sends it a command.
    if (tick.dataset.stage === "answered") tick.hidden = place > reached;
  }
  one.querySelector(".refusal").hidden = !device.refused;
  one.querySelector(".arrived").hidden = reached < STAGES.indexOf("enrolled");
  return one;
}

// A profile that was downloaded twice is one device: what nobody used is not worth a line.
function worthShowing(devices) {
  const begun = devices.filter((device) => device.stage !== "downloaded" || device.refused);
  return begun.length > 0 ? begun.slice(0, 5) : devices.slice(0, 1);
}

async function ask() {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(`${address}?v=${visit}`, { signal, cache: "no-store" });
  if (!response.ok) throw new Error(`${response.status}`);
  const answer = await response.json();
  const text = JSON.stringify(answer.devices);
  if (text !== shown) {
    wait = SOON_MS;
    const devices = worthShowing(answer.devices);
    section.hidden = devices.length === 0;
    list.replaceChildren(...devices.map(journey));
  }
  shown = text;
  const all = answer.devices;
  return answer.link !== "open" && all.every((device) => device.stage === "answered");
}

async function follow() {
  clearTimeout(timer);
  if (document.hidden || Date.now() - startedAt > GIVE_UP_MS) return;
  const isOver = await ask().catch(() => false);
  if (isOver) return;
  clearTimeout(timer); // another call may have set one while this one waited
  timer = setTimeout(follow, wait);
  wait = Math.min(wait * SLOWER, SLOWEST_MS);
}

document.querySelector("#unscripted").hidden = true;
if (visit) {
  // Safari may load the page anew when the person returns from Settings: it is the same visit.
  const here = new URL(location.href);
  here.searchParams.set("v", visit);
  history.replaceState(null, "", here);
  document.addEventListener("visibilitychange", () => {
    wait = SOON_MS;
    if (!document.hidden) follow();
  });
  document.querySelector("#management-profile")?.addEventListener("click", () => {
    clearTimeout(timer);
    wait = SOON_MS;
    timer = setTimeout(follow, SOON_MS);
  });
  follow();
}
