// The sign-in and setup pages work without this file, except for the codes of `appliance open`.

const CODE_CHARACTERS = /^[0-9A-Za-z-]{8,64}$/;
const ASK_MS = 5000;

// `/login#CODE`, `/setup#CODE`: what follows the # is sent to no server and kept in no log.
function takeCode() {
  const code = location.hash.slice(1);
  if (code) history.replaceState(null, "", location.pathname + location.search);
  return CODE_CHARACTERS.test(code) ? code : "";
}

function useCode(code) {
  const form = document.querySelector("#by-code");
  if (form) {
    form.elements.code.value = code;
    form.submit();
    return;
  }
  document.querySelector("#code").value = code;
  document.querySelector("#name").focus();
}

// The session cookie does not come along when a link of another site leads here. It does with a
// request of our own: whoever has signed in goes straight on.
async function goOnIfSignedIn() {
  const wanted = document.querySelector("#by-code")?.elements.next.value;
  if (!wanted) return;
  const options = { method: "HEAD", redirect: "manual", signal: AbortSignal.timeout(ASK_MS) };
  try {
    const answer = await fetch("/login", options);
    if (answer.type === "opaqueredirect") location.replace(wanted);
  } catch {
    // Without an answer the form still works.
  }
}

function offerToShowPasswords() {
  for (const tick of document.querySelectorAll("[data-shows]")) {
    tick.parentElement.hidden = false;
    tick.addEventListener("change", () => {
      for (const id of tick.dataset.shows.split(" ")) {
        document.getElementById(id).type = tick.checked ? "text" : "password";
      }
    });
  }
}

offerToShowPasswords();
// The address with a code, opened where this page is open already, loads nothing anew.
addEventListener("hashchange", () => {
  const code = takeCode();
  if (code) useCode(code);
});
const code = takeCode();
if (code) useCode(code);
else goOnIfSignedIn();
