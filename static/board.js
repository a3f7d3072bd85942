// The board works without this file. It adds the keyboard.

const WAIT_FOR_SECOND_KEY_MS = 1500;
const PLACES = { h: "/", d: "/devices", e: "/enrollment", c: "/certificates", a: "/activity" };

let pendingUntil = 0;

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const place = PLACES[event.key];
  if (place && Date.now() < pendingUntil) {
    location.assign(place);
  } else if (event.key === "g") {
    pendingUntil = Date.now() + WAIT_FOR_SECOND_KEY_MS;
    return;
  } else if (event.key === "/") {
    event.preventDefault();
    const search = document.querySelector("input[type=search]");
    if (search) search.focus();
    else location.assign("/devices");
  }
  pendingUntil = 0;
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
