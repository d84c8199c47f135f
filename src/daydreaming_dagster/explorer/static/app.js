// Keys, theme, copying of commands, file pickers and drawings. Every page can be read without it.
"use strict";

const root = document.documentElement;

function isDark() {
  const theme = root.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function nameTheme(button) {
  const next = isDark() ? "light" : "dark";
  button.setAttribute("aria-label", `Use the ${next} theme`);
  button.title = `Use the ${next} theme`;
}

function setUpTheme() {
  const button = document.querySelector("[data-theme-toggle]");
  if (!button) return;
  button.hidden = false;
  nameTheme(button);
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch (error) {
      // Without storage the choice lasts as long as the page.
    }
    nameTheme(button);
    drawPlots();
  });
}

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)
    && !/^(radio|checkbox|button|submit)$/.test(target.type || ""));
}

function step(direction) {
  const link = document.querySelector(`a[rel="${direction > 0 ? "next" : "prev"}"][data-step]`);
  if (link) {
    link.click();
    return;
  }
  const rows = [...document.querySelectorAll("a[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const row = rows[Math.min(Math.max(at + direction, 0), rows.length - 1)];
  row.focus();
  row.scrollIntoView({ block: "nearest" });
}

function rate(key) {
  const form = document.querySelector("form[data-rating]");
  if (!form) return false;
  if (key === "s" || key === "u") {
    const button = document.querySelector(`button[value="${key === "s" ? "skip" : "undo"}"]`);
    if (button) button.click();
    return Boolean(button);
  }
  const choice = /^[0-9]$/.test(key) && form.querySelector(`input[data-key="${key}"]`);
  if (!choice) return false;
  choice.checked = true;
  choice.focus();
  return true;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && isTyping(event.target)) event.target.blur();
  if (isTyping(event.target)) return;
  if (event.key === "Enter" && event.target.matches?.("form[data-rating] input[type=radio]")) {
    event.preventDefault();
    event.target.form.querySelector('button[value="rate"]').click();
    return;
  }
  if (rate(event.key)) {
    event.preventDefault();
    return;
  }
  const help = document.querySelector("dialog[data-help]");
  const actions = {
    j: () => step(1),
    k: () => step(-1),
    "/": () => document.querySelector("input[data-search]")?.focus(),
    "?": () => help && (help.open ? help.close() : help.showModal()),
    c: () => document.querySelector("[data-compare]")?.click(),
    u: () => document.querySelector("a[data-up]")?.click(),
  };
  if (actions[event.key]) {
    event.preventDefault();
    actions[event.key]();
  }
}

function setUpCopying() {
  const show = () => { for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false; };
  show();
  document.addEventListener("htmx:afterSwap", show);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const text = button.dataset.copy || button.closest(".command").querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
      if (!button.dataset.copy) button.textContent = "Copied";
      button.classList.add("done");
    } catch (error) {
      if (!button.dataset.copy) button.textContent = "Select it and copy";
    }
  });
}

// What has the focus keeps it when a page of progress is renewed.
function setUpRenewal() {
  let href = "";
  document.addEventListener("htmx:beforeSwap", () => {
    href = document.activeElement?.closest("#live a")?.getAttribute("href") ?? "";
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (href) document.querySelector(`#live a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  });
}

// A link to one evaluation opens it.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target || target.tagName !== "DETAILS") return;
  target.open = true;
  target.scrollIntoView({ block: "nearest" });
}

// On narrow screens what is chosen may lie beside what is seen at first.
function showPlace() {
  const chosen = document.querySelector(".graph .chosen rect");
  if (chosen) {
    const view = chosen.closest(".scroll");
    view.scrollLeft = chosen.x.baseVal.value - (view.clientWidth - chosen.width.baseVal.value) / 2;
  }
  for (const here of document.querySelectorAll(".top nav [aria-current], .tabs [aria-current]")) {
    here.scrollIntoView({ block: "nearest", inline: "center" });
  }
}

function setUpFiles() {
  for (const picker of document.querySelectorAll("input[data-fills]")) {
    picker.closest("p").hidden = false;
    picker.addEventListener("change", async () => {
      document.getElementById(picker.dataset.fills).value = await picker.files[0].text();
    });
  }
}

function setUpPicking() {
  const form = document.querySelector("form[data-picking]");
  if (!form) return;
  const boxes = [...document.querySelectorAll("input[name=pick]")];
  const button = form.querySelector("[data-compare]");
  const update = () => {
    const chosen = boxes.filter((box) => box.checked).length;
    for (const box of boxes) box.disabled = chosen >= 2 && !box.checked;
    button.textContent = chosen === 2 ? "Compare the two" : `Compare (${chosen} of 2 chosen)`;
    button.disabled = chosen !== 2;
  };
  for (const box of boxes) box.addEventListener("change", update);
  update();
}

function setUpHelp() {
  const help = document.querySelector("dialog[data-help]");
  const button = document.querySelector("[data-help-open]");
  if (!help || !button) return;
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
}

// Drawings -----------------------------------------------------------------------------------------------------------
function colours() {
  const style = getComputedStyle(root);
  const get = (name) => style.getPropertyValue(name).trim();
  return { ink: get("--ink"), muted: get("--muted"), line: get("--line"), accent: get("--accent"), soft: get("--plot-soft") };
}

function configure() {
  const { ink, muted, line } = colours();
  return {
    background: null,
    view: { stroke: null },
    font: "Inter, system-ui, sans-serif",
    axis: { labelColor: muted, titleColor: muted, labelFont: "Inter, system-ui, sans-serif", titleFont: "Inter, system-ui, sans-serif", gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500 },
    legend: { labelColor: ink, titleColor: muted, orient: "top" },
    header: { labelColor: ink, titleColor: muted, labelFontWeight: 500 },
  };
}

function specifyRanking(data, width) {
  const { accent, ink, soft } = colours();
  const x = { type: "quantitative", scale: { domain: data.scale } };
  const y = { field: "place", type: "ordinal", title: "place in the list", axis: { grid: true } };
  return {
    $schema: "",
    data: { values: data.rows },
    width,
    height: { step: 16 },
    encoding: { y, href: { field: "href" }, tooltip: [{ field: "essay" }, { field: "raw", format: ".2f" },
      { field: "shrunken", format: ".2f" }, { field: "low", format: ".2f" }, { field: "high", format: ".2f" }] },
    layer: [
      { mark: { type: "rule", color: soft, strokeWidth: 5, strokeCap: "round" },
        encoding: { x: { field: "low", ...x, title: data.rubric, axis: { tickCount: 10 } }, x2: { field: "high" } } },
      { mark: { type: "point", filled: false, size: 50, color: ink }, encoding: { x: { field: "raw", ...x } } },
      { transform: [{ filter: "isValid(datum.shrunken)" }],
        mark: { type: "point", filled: true, size: 60, color: accent, opacity: 1 }, encoding: { x: { field: "shrunken", ...x } } },
    ],
    config: configure(),
  };
}

function specifyScores(data, width) {
  const { accent } = colours();
  const judges = new Set(data.rows.map((row) => row.judge)).size;
  const columns = Math.max(1, Math.min(judges, Math.floor(width / 260)));
  return {
    $schema: "",
    data: { values: data.rows },
    facet: { field: "judge", type: "nominal", title: null },
    columns,
    spec: {
      width: Math.min(400, Math.floor(width / columns) - 40),
      height: 90,
      mark: { type: "bar", color: accent, size: 12 },
      encoding: {
        x: { field: "score", type: "quantitative", scale: { domain: [data.scale[0] - 0.5, data.scale[1] + 0.5] }, title: null,
          axis: { tickMinStep: 1, grid: false } },
        y: { field: "n", type: "quantitative", title: null, axis: { tickCount: 3 } },
        tooltip: [{ field: "judge" }, { field: "score" }, { field: "n" }],
      },
    },
    config: configure(),
  };
}

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${address} did not load`));
    document.head.append(script);
  });
}

let library;
function loadLibrary(addresses) {
  library ??= addresses.reduce((before, address) => before.then(() => loadScript(address)), Promise.resolve());
  return library;
}

async function drawPlot(place) {
  const [answer] = await Promise.all([fetch(place.dataset.plot), loadLibrary(place.dataset.scripts.split(" "))]);
  const data = await answer.json();
  if (!data.rows.length) {
    place.textContent = "There is nothing to draw yet.";
    return;
  }
  const specify = { ranking: specifyRanking, scores: specifyScores }[place.dataset.kind];
  const { spec } = vegaLite.compile(specify(data, Math.max(240, place.clientWidth - 90)));
  place.textContent = "";
  const view = new vega.View(vega.parse(spec, null, { ast: true }), {
    expr: vega.expressionInterpreter, renderer: "svg", container: place, hover: true,
  });
  await view.runAsync();
  place.querySelector("svg")?.setAttribute("aria-hidden", "true");
}

function tryToDraw(place) {
  drawPlot(place).catch((error) => {
    place.textContent = `The drawing failed: ${error.message}`;
  });
}

function drawPlots() {
  for (const place of document.querySelectorAll("[data-plot]:has(svg)")) tryToDraw(place);
}

// A drawing is made, and its library loaded, when it is about to be seen.
function setUpPlots() {
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      observer.unobserve(entry.target);
      tryToDraw(entry.target);
    }
  }, { rootMargin: "300px" });
  for (const place of document.querySelectorAll("[data-plot]")) {
    place.textContent = "Drawing …";
    observer.observe(place);
  }
}

document.addEventListener("keydown", onKey);
setUpTheme();
setUpCopying();
setUpRenewal();
openTarget();
showPlace();
window.addEventListener("hashchange", openTarget);
setUpFiles();
setUpPicking();
setUpHelp();
setUpPlots();
