"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const essays = [...document.querySelectorAll("[data-essay]")];
const form = document.getElementById("rating");
const comment = document.getElementById("comment");
const key = `daydreaming-pack-${facts.pack}`;
let at = 0;
let opened = Date.now();
let ratings = {};
try {
  ratings = JSON.parse(localStorage.getItem(key)) || {};
} catch (error) {
  // Some browsers keep nothing for files: the ratings then last as long as the page.
}

function keep() {
  const chosen = form.elements.score.value;
  if (chosen === "") return;
  const before = ratings[facts.essays[at]];
  if (before && before.score === chosen && before.comment === comment.value) return;
  const seconds = Math.round((Date.now() - opened) / 1000);
  ratings[facts.essays[at]] = { score: chosen, comment: comment.value, rated_at: new Date().toISOString(), seconds };
  try {
    localStorage.setItem(key, JSON.stringify(ratings));
  } catch (error) {
    // See above.
  }
}

function show() {
  essays.forEach((essay, place) => { essay.hidden = place !== at; });
  const said = ratings[facts.essays[at]];
  for (const choice of form.elements.score) choice.checked = Boolean(said) && choice.value === said.score;
  comment.value = said ? said.comment : "";
  const rated = Object.keys(ratings).length;
  document.getElementById("state").textContent = rated === essays.length
    ? "All are rated: save the table and send it back." : `${rated} of ${essays.length} rated`;
  opened = Date.now();
  window.scrollTo(0, 0);
}

function go(step) {
  keep();
  at = Math.min(Math.max(at + step, 0), essays.length - 1);
  show();
}

function quote(text) {
  return `"${String(text).replaceAll('"', '""')}"`;
}

// What a spreadsheet would take for a formula begins with a quote, which the import takes away again.
function shield(comment) {
  return /^[=+\-@\t\r]/.test(comment) ? `'${comment}` : comment;
}

function save() {
  keep();
  const columns = "rating_id,rater,essay_gen_id,evaluation_template,kind,score,rated_at,seconds,comment,source";
  const rows = facts.essays.filter((essay) => ratings[essay]).map((essay) => {
    const said = ratings[essay];
    return ["", facts.rater, essay, facts.rubric, "rating", said.score, said.rated_at, said.seconds, shield(said.comment), "pack"].map(quote).join(",");
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[columns, ...rows, ""].join("\n")], { type: "text/csv" }));
  link.download = `ratings_${facts.rubric}.csv`;
  link.click();
  show();
}

form.addEventListener("submit", (event) => { event.preventDefault(); go(1); });
document.getElementById("back").addEventListener("click", () => go(-1));
document.getElementById("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if (event.target === comment || event.ctrlKey || event.metaKey || event.altKey) return;
  const choice = /^[0-9]$/.test(event.key) && form.querySelector(`input[value="${event.key}"]`);
  if (choice) choice.checked = true;
  if (event.key === "Enter" && event.target.tagName !== "BUTTON") { event.preventDefault(); go(1); }
});
if (essays.length) show();
