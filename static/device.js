// The pages of a device work without this file. It counts down, copies, and speaks local time.

const SECOND_MS = 1000;

function localize(root) {
  for (const clock of root.querySelectorAll("time.clock:not([data-local])")) {
    const moment = new Date(clock.dateTime);
    const today = moment.toDateString() === new Date().toDateString();
    clock.title = [moment.toLocaleString(), clock.title && `(${clock.title})`].join(" ").trim();
    clock.textContent = today
      ? moment.toLocaleTimeString(document.documentElement.lang, { hour12: false })
      : moment.toLocaleDateString(document.documentElement.lang, { month: "short", day: "numeric" });
    clock.dataset.local = "";
  }
}

// "Sent in 7 s": the number in the server's sentence is replaced, so it stays in its language. The
// seconds are the server's and the stopwatch ours: the clock of this computer may be wrong.
const ends = new WeakMap();

function countDown() {
  for (const hold of document.querySelectorAll(".hold:not(.over)")) {
    if (!ends.has(hold)) ends.set(hold, performance.now() + hold.dataset.left * SECOND_MS);
    const left = Math.ceil((ends.get(hold) - performance.now()) / SECOND_MS);
    const text = hold.querySelector("p");
    const next = left > 0 ? text.textContent.replace(/\d+/, String(left)) : hold.dataset.over;
    if (next !== text.textContent) text.textContent = next;
    if (left > 0) continue;
    hold.classList.add("over");
    document.dispatchEvent(new Event("hold-over")); // what became of it, the server knows
  }
}

function enableCopying(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.closest(".copy").querySelector("pre").textContent);
      button.textContent = `${button.textContent.replace(" ✓", "")} ✓`;
    });
  }
}

// Search as you type in the list of commands; the form beside it does the same by the server.
for (const field of document.querySelectorAll("[data-filter]")) {
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    for (const group of document.querySelectorAll(field.dataset.filter)) {
      let found = false;
      for (const entry of group.querySelectorAll("li")) {
        entry.hidden = !entry.textContent.toLowerCase().includes(wanted);
        found ||= !entry.hidden;
      }
      group.hidden = !found;
    }
  });
}

function refresh() {
  localize(document);
  enableCopying(document);
  countDown();
}

refresh();
setInterval(countDown, SECOND_MS);
new MutationObserver(refresh).observe(document.querySelector("main"), { childList: true, subtree: true });

const wrong = document.querySelector("[aria-invalid]");
if (wrong) wrong.focus();
