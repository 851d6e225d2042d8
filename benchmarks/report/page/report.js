"use strict";
// Every text from the log goes through textContent: memories and answers are data, never markup.

const PER_PAGE = 25;
const STATES = {
  all: "all questions", wrong: "below 0.5", right: "0.5 and more", failed: "failed",
  unscored: "unscored", differ: "rows differ by 0.5", missed: "evidence not recalled",
};
const MATCHES = {
  contained: "named in the reply", closest: "nearest to the reply",
  miss: "the reply fits no command", unchecked: "not checked",
};

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

function append(parent, ...children) {
  for (const child of children) if (child) parent.append(child);
  return parent;
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Marks where the search text stands; the pieces are text nodes.
function marked(className, text, query) {
  const element = make("span", className);
  if (!query) return append(element, document.createTextNode(text));
  const lower = text.toLowerCase();
  let start = 0;
  // Characters whose lower case is longer would shift the places.
  const isSafe = lower.length === text.length;
  for (let at = isSafe ? lower.indexOf(query) : -1; at >= 0; at = lower.indexOf(query, start)) {
    element.append(text.slice(start, at), make("mark", "", text.slice(at, at + query.length)));
    start = at + query.length;
  }
  element.append(text.slice(start));
  return element;
}

const shown = (score) => (score === null || score === undefined ? "–" : score.toFixed(3));

class Explorer {
  constructor(data) {
    // A memory without a text is its span, word for word.
    for (const memory of data.memories) memory[0] ??= data.spans[memory[2][0]]?.[0] ?? "";
    this.data = data;
    this.page = 0;
    this.found = [];
    this.inputs = Object.fromEntries(
      ["search", "sample", "category", "row", "state"].map((id) => [id, document.getElementById(id)]),
    );
    this.fill();
    let waiting = 0;
    for (const input of Object.values(this.inputs)) {
      input.addEventListener("input", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => this.filter(), input.id === "search" ? 150 : 0);
      });
    }
    for (const [id, step] of [["previous", -1], ["next", 1]]) {
      document.getElementById(id).addEventListener("click", () => this.turn(step));
    }
    this.filter();
  }

  fill() {
    const unique = (name) => [...new Set(this.data.items.map((item) => item[name]))];
    const options = (id, all, names) => {
      for (const [value, label] of [["", all], ...names]) {
        this.inputs[id].append(Object.assign(make("option", "", label), { value }));
      }
    };
    options("sample", "all samples", unique("sample").map((name) => [name, name]));
    options("category", "all categories",
      unique("category").sort().map((name) => [name, name || "(none)"]));
    options("row", "any row", this.data.rows.map((name, index) => [String(index), name]));
    const { all, ...others } = STATES;
    options("state", all, Object.entries(others));
  }

  filter() {
    const value = (id) => this.inputs[id].value;
    this.query = value("search").trim().toLowerCase();
    this.row = value("row") === "" ? null : Number(value("row"));
    const memories = this.query ? this.matching() : null;
    this.found = this.data.items.filter((item) =>
      (value("sample") === "" || item.sample === value("sample"))
      && (value("category") === "" || item.category === value("category"))
      && (this.row === null || item.rows.some((played) => played.row === this.row))
      && this.isInState(item, value("state"))
      && (!memories || this.holds(item, memories)));
    this.page = 0;
    this.show();
  }

  matching() {
    const found = new Set();
    this.data.memories.forEach(([text], index) => {
      if (text.toLowerCase().includes(this.query)) found.add(index);
    });
    return found;
  }

  holds(item, memories) {
    const played = this.looked(item);
    const texts = [item.text, item.id, item.sample, ...item.gold,
      ...played.flatMap((one) => [one.answer ?? "", one.error ?? "",
        ...(one.steps ?? []).flatMap(([seen, done, thought]) => [seen, done, thought])])];
    return texts.some((text) => text.toLowerCase().includes(this.query))
      || played.some((one) => one.recalled.some(([memory]) => memories.has(memory)));
  }

  looked(item) {
    return this.row === null ? item.rows : item.rows.filter((played) => played.row === this.row);
  }

  isInState(item, state) {
    const played = this.looked(item);
    const scores = played.map((one) => one.scores[0]).filter((score) => score !== null);
    switch (state) {
      case "wrong": return scores.some((score) => score < 0.5);
      case "right": return scores.some((score) => score >= 0.5);
      case "failed": return played.some((one) => one.error !== undefined);
      case "unscored": return played.some((one) => Object.keys(one.problems).length > 0);
      case "differ": {
        const all = item.rows.map((one) => one.scores[0]).filter((score) => score !== null);
        return all.length > 1 && Math.max(...all) - Math.min(...all) >= 0.5;
      }
      case "missed": return item.evidence.length > 0
        && played.some((one) => this.data.searches[one.row] && one.error === undefined
          && !one.recalled.some(([memory]) => this.isHit(item, memory)));
      default: return true;
    }
  }

  isHit(item, memory) {
    return this.data.memories[memory][3].some((name) => item.evidence.includes(name));
  }

  turn(step) {
    this.page += step;
    this.show();
    document.getElementById("filters").scrollIntoView();
  }

  show() {
    const pages = Math.max(1, Math.ceil(this.found.length / PER_PAGE));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const first = this.page * PER_PAGE;
    document.getElementById("count").textContent =
      `${this.found.length} of ${this.data.items.length} questions`;
    document.getElementById("page").textContent = `page ${this.page + 1} of ${pages}`;
    document.getElementById("previous").disabled = this.page === 0;
    document.getElementById("next").disabled = this.page + 1 >= pages;
    document.getElementById("items").replaceChildren(
      ...this.found.slice(first, first + PER_PAGE).map((item) => this.item(item)));
  }

  item(item) {
    const element = make("details", "item");
    element.dataset.id = item.id;
    const head = append(make("div"),
      append(make("div"), marked("", item.text, this.query)),
      append(make("div", "faint"), document.createTextNode(
        [item.id, item.category, item.date].filter(Boolean).join(" · ")
        + (item.gold.length ? " · gold: " : "")), marked("", item.gold.join(" | "), this.query)));
    const chips = make("div", "chips");
    for (const played of item.rows) {
      const failed = played.error !== undefined;
      const chip = make("span", failed ? "chip bad" : "chip",
        failed ? "failed" : shown(played.scores[0]));
      chip.title = this.data.rows[played.row];
      chips.append(chip);
    }
    element.append(append(make("summary"), head, chips));
    element.addEventListener("toggle", () => {
      if (element.open && element.childElementCount === 1) {
        element.append(...item.rows.map((played) => this.played(item, played)));
      }
    });
    return element;
  }

  played(item, played) {
    const element = make("div", played.row === this.row ? "played chosen" : "played");
    element.dataset.row = this.data.rows[played.row];
    const scores = this.data.metrics
      .map((metric, index) => [metric, played.scores[index]])
      .filter(([metric, score]) => score !== null || played.problems[metric])
      .map(([metric, score]) => `${metric} ${shown(score)}`);
    append(element, append(make("div"), make("b", "", this.data.rows[played.row]),
      make("span", "faint", ` · ${scores.join(" · ")} · ${played.tokens.toLocaleString("en")} tokens`
        + ` · ${played.seconds.toFixed(2)} s`)));
    if (played.error !== undefined) element.append(make("div", "bad", played.error));
    for (const [metric, problem] of Object.entries(played.problems)) {
      element.append(make("div", "bad", `${metric}: ${problem}`));
    }
    if (played.answer !== null) {
      element.append(append(make("div", "answer"), marked("", played.answer, this.query)));
    }
    if (item.evidence.length) {
      element.append(make("div", "faint", `evidence: ${item.evidence.join(", ")}`));
    }
    if (played.steps) element.append(this.steps(played.steps));
    if (played.recalled.length) element.append(this.memories(item, played.recalled));
    return element;
  }

  // The content of a closed element is made when it is opened for the first time.
  folded(title, contents) {
    const element = append(make("details"), make("summary", "", title));
    element.addEventListener("toggle", () => {
      if (element.open && element.childElementCount === 1) element.append(...contents());
    });
    return element;
  }

  memories(item, recalled) {
    const hits = recalled.filter(([memory]) => this.isHit(item, memory)).length;
    const title = `${recalled.length} memories`
      + (item.evidence.length ? `, ${hits} from the evidence` : "");
    return this.folded(title, () => recalled.map(([memory, score], rank) =>
      this.memory(item, memory, score, rank + 1)));
  }

  memory(item, index, score, rank) {
    const [text, skills, spans, evidence] = this.data.memories[index];
    const element = make("div", this.isHit(item, index) ? "memory hit" : "memory");
    const facts = [score === null ? "" : `similarity ${score.toFixed(3)}`,
      skills.map((skill) => this.data.skills[skill]).join(", "), evidence.join(", ")];
    append(element, append(make("div", "text"), document.createTextNode(`${rank}. `),
      marked("", text, this.query)), make("div", "faint", facts.filter(Boolean).join(" · ")));
    for (const span of spans) {
      const [spanText, session, time] = this.data.spans[span];
      const title = ["source span", session, time].filter(Boolean).join(" · ");
      element.append(this.folded(title, () => [marked("span text", spanText, this.query)]
        .map((inner) => append(make("div"), inner))));
    }
    return element;
  }

  steps(steps) {
    return this.folded(`${steps.length} steps`, () =>
      steps.map(([observation, action, thought, reward, match], index) => {
        const element = make("div", "step");
        if (thought) element.append(make("div", "faint text", thought));
        append(element, append(make("div"), make("b", "", `${index + 1}. > ${action}`),
          make("span", "faint", match ? ` · ${MATCHES[match] ?? match}` : ""),
          make("span", "faint", reward === null ? "" : ` · reward ${reward}`)),
        make("div", "text", observation));
        return element;
      }));
  }
}

function chartColours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = { labelColor: colour("--ink"), titleColor: colour("--faint") };
  return {
    background: "transparent", view: { stroke: null },
    axis: { ...text, gridColor: colour("--line"), domainColor: colour("--line"),
      tickColor: colour("--line"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
    header: { ...text, labelFontSize: 12, labelFontWeight: "bold" },
    legend: { ...text, labelFontSize: 12 }, text: { color: colour("--ink") },
  };
}

async function drawCharts() {
  for (const [id, spec] of Object.entries(CHARTS)) {
    await vegaEmbed(`#${id}`, spec, { actions: false, renderer: "svg", config: chartColours() });
  }
  for (const place of document.querySelectorAll(".chart")) {
    if (!(place.id in CHARTS)) place.closest("section").remove();
  }
}

async function start() {
  const store = document.getElementById("data");
  const data = await unpack(store.textContent);
  store.remove();
  window.explorer = new Explorer(data);
  await drawCharts();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  document.body.dataset.ready = "true";
}

start();
