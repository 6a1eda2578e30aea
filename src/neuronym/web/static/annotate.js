// One key per answer, and completion of words. Without it the buttons do the same.

const form = document.getElementById("answer");
if (form) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const blind = document.getElementById("blind");
    if (event.key === "b") document.getElementById("back")?.click();
    else if (event.key === "o") { event.preventDefault(); document.getElementById("own").focus(); }
    else if (event.key === "s" && blind) blind.open = !blind.open;
    else if (/^[123nuz]$/.test(event.key) && !(blind && !blind.open && /[123]/.test(event.key))) document.querySelector(`[data-key="${event.key}"]`)?.click();
  });
  const own = document.getElementById("own"), words = document.getElementById("words");
  let asked = 0;
  own.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); form.requestSubmit(form.querySelector("button[value=own]")); }
  });
  own.addEventListener("input", async () => {
    const mine = ++asked;
    let found = [];
    try { found = await (await fetch(`${form.dataset.complete}.json?q=${encodeURIComponent(own.value)}`)).json(); } catch { /* the server is gone: the form says so */ }
    if (mine === asked) words.replaceChildren(...found.map((word) => Object.assign(document.createElement("option"), { value: word })));
  });
}
