"use strict";
// Every text of the data is shown with textContent: prompts, answers and names are never read as HTML.
(async () => {
  const PAGE = 25, MOST_LISTED = 12;
  const $ = (id) => document.getElementById("example-" + id);
  const packed = Uint8Array.from(atob($("data").textContent.trim()), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(unpacked).json();
  let part = null, lower = null, found = [], start = 0, cell = "";

  function make(tag, text, classes) {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (classes) made.className = classes;
    return made;
  }

  function choose(id, entries, wanted) {
    $(id).replaceChildren(...entries.map(([value, text]) => Object.assign(make("option", text), { value })));
    if (entries.some(([value]) => value === wanted)) $(id).value = wanted;
    $(id).parentElement.hidden = entries.length < 2;
  }

  const model = (id) => part.models[$(id).value];
  const choices = (row) => (part.options ? part.options[row] : part.choices);

  function answer(own, row) {
    if (!part.choices) return own.answers[row];
    return own.answers[row] < 0 ? "no vote" : choices(row)[own.answers[row]];
  }

  // 1 for right, 0 for wrong, null where nobody knows.
  function right(own, row) {
    if (!own) return null;
    if (!part.choices) return own.scores && part.binary ? own.scores[row] : null;
    return part.gold[row] < 0 || own.answers[row] < 0 ? null : Number(own.answers[row] === part.gold[row]);
  }

  // The larger, the less the model's answer was to be expected.
  function surprise(own, row) {
    if (!own) return 0;
    if (!part.choices) return own.scores ? -own.scores[row] : 0;
    const target = part.gold[row] < 0 && model("label") ? model("label").answers[row] : part.gold[row];
    if (target < 0) return 0;
    return -(own.probs ? own.probs[row][target] : 100 * (own.answers[row] === target));
  }

  function doubt(row) {
    const own = model("label");
    return own && own.probs ? -Math.max(...own.probs[row]) : 0;
  }

  function open(which) {
    part = data.parts[which];
    lower = null;
    part.binary = part.models.every((own) => !own.scores || own.scores.every((score) => score === 0 || score === 1));
    const of = (...roles) => part.models.map((own, index) => [own, index]).filter(([own]) => roles.includes(own.role))
      .map(([own, index]) => [String(index), roles.length > 1 ? `${own.name} (${own.role})` : own.name]);
    const best = (entries) => (entries.find(([value]) => data.best.includes(part.models[value].name)) || [])[0];
    const students = of("student"), weak = of("supervisor");
    choose("student", students, best(students));
    choose("weak", weak, best(weak));
    const labels = of("refined", "label", "combined");
    choose("label", labels, best(labels));
    choose("verdict", labels.length && part.gold.some((gold) => gold >= 0) ? [["", "any"], ["r", "right"], ["w", "wrong"]] : []);
    choose("sort", [["surprise", "surprise"], ["doubt", "doubt of the label"], ["order", "order of the rows"]]);
    cell = "";
    refresh();
  }

  const verdict = (id, row) => ({ 1: "r", 0: "w" })[right(model(id), row)] || "-"; // right, wrong, unknown

  function refresh() {
    const asked = $("search").value.trim().toLowerCase();
    if (asked) lower = lower || part.prompts.map((prompt, row) => (part.ids[row] + "\n" + prompt).toLowerCase());
    const wanted = $("verdict").value, cells = part.ids.map((_, row) => verdict("weak", row) + verdict("student", row));
    const rows = part.ids.map((_, row) => row)
      .filter((row) => (!asked || lower[row].includes(asked)) && (!wanted || verdict("label", row) === wanted));
    buttons(rows, cells);
    found = rows.filter((row) => !cell || cells[row] === cell);
    const own = model("student"), by = $("sort").value;
    const keys = new Map(found.map((row) => [row, by === "surprise" ? surprise(own, row) : by === "doubt" ? doubt(row) : -row]));
    found.sort((one, other) => keys.get(other) - keys.get(one) || one - other);
    start = 0;
    list();
  }

  function buttons(rows, cells) {
    const word = { r: "right", w: "wrong", "-": "silent" }, entries = [["", "all"]];
    for (const weak of "rw-") for (const student of "rw") entries.push([weak + student, `weak ${word[weak]}, student ${word[student]}`]);
    const counted = entries.map(([value, text]) => [value, text, rows.filter((row) => !value || cells[row] === value).length]);
    const known = counted.filter(([value, , count]) => !value || count || value === cell);
    $("cells").hidden = known.length < 2;
    $("cells").replaceChildren($("cells").firstElementChild, ...known.map(([value, text, count]) => {
      const entry = make("label"), input = Object.assign(make("input"), { type: "radio", name: "cell", value, checked: value === cell });
      input.addEventListener("change", () => { cell = value; refresh(); $("cells").querySelector("input:checked").focus(); });
      entry.append(input, ` ${text} (${count.toLocaleString("en")})`);
      return entry;
    }));
  }

  function mark(own, row) {
    const is = right(own, row);
    return is === null ? "" : is ? " ✓" : " ✗";
  }

  function list() {
    const shown = found.slice(start, start + PAGE);
    $("list").start = start + 1;
    $("list").replaceChildren(...shown.map((row) => {
      const entry = make("li"), details = make("details"), summary = make("summary");
      const prompt = make("span", part.prompts[row].slice(0, 300), "prompt");
      prompt.dir = "auto";
      summary.append(prompt);
      for (const id of ["student", "weak", "label"]) if (model(id)) {
        const chip = make("span", undefined, "chip " + model(id).role), said = make("bdi", answer(model(id), row).slice(0, 60));
        chip.append(id + ": ", said, mark(model(id), row));
        summary.append(chip);
      }
      details.append(summary);
      details.addEventListener("toggle", () => { if (details.open && details.children.length < 2) details.append(whole(row)); });
      entry.append(details);
      return entry;
    }));
    const last = start + shown.length, many = (count) => count.toLocaleString("en");
    $("count").textContent = found.length ? `Rows ${many(start + 1)} to ${many(last)} of ${many(found.length)}` : "No row is like that.";
    $("pager").hidden = found.length <= PAGE;
    $("back").disabled = !start;
    $("next").disabled = last >= found.length;
  }

  function percent(own, row) {
    if (!part.choices) return own.scores ? String(own.scores[row]) : "";
    return own.probs && own.answers[row] >= 0 ? choices(row).map((_, k) => own.probs[row][k]).join(" / ") : "";
  }

  function whole(row) {
    const box = make("div"), prompt = make("div", part.prompts[row], "text"), table = make("table"), body = make("tbody");
    prompt.dir = "auto";
    prompt.tabIndex = 0;
    box.append(make("p", "Row " + part.ids[row], "id"), prompt);
    const line = (who, role, said, number, after, names = "") => {
      const entry = make("tr", undefined, role), cell = make("td"), name = make("th", who);
      name.scope = "row";
      if (names) name.append(make("small", names));
      cell.append(make("bdi", said, "said"), after);
      entry.append(name, make("td", role, "role"), cell, make("td", number));
      body.append(entry);
    };
    const gold = part.gold[row], known = part.choices ? gold >= 0 : gold !== null;
    if (known) line("gold answer", "", part.choices ? choices(row)[gold] : gold, "", "");
    const others = part.models.filter((own) => own.role !== "supervisor");
    const supervisors = part.models.filter((own) => own.role === "supervisor");
    for (const own of others) line(own.name, own.role, answer(own, row), percent(own, row), mark(own, row));
    if (supervisors.length <= MOST_LISTED) {
      for (const own of supervisors) line(own.name, own.role, answer(own, row), percent(own, row), mark(own, row));
    } else {
      const by = new Map();
      for (const own of supervisors) by.set(answer(own, row), [...(by.get(answer(own, row)) || []), own]);
      for (const [said, own] of by) {
        const silent = said === "no vote", names = silent ? "" : own.map((each) => each.name).join(", ");
        line(own.length.toLocaleString("en") + (own.length > 1 ? " supervisors" : " supervisor"), "supervisor", said, "", silent ? "" : mark(own[0], row), names);
      }
    }
    const head = make("tr");
    for (const title of ["model", "role", "answer", !part.choices ? part.metric : "% " + choices(row).join(" / ").slice(0, 60)]) {
      head.append(Object.assign(make("th", title), { scope: "col" }));
    }
    const top = make("thead");
    top.append(head);
    table.className = "wrapped";
    table.append(make("caption", "Answers to row " + part.ids[row]), top, body);
    box.append(table);
    return box;
  }

  function turn(by) {
    start += by;
    list();
    const first = $("list").querySelector("summary");
    if (first) first.focus();
  }

  $("back").addEventListener("click", () => turn(-PAGE));
  $("next").addEventListener("click", () => turn(PAGE));
  $("part").addEventListener("change", () => open(Number($("part").value)));
  for (const id of ["student", "weak", "label", "verdict", "sort"]) $(id).addEventListener("change", refresh);
  $("search").addEventListener("input", refresh);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("list").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (!step || event.target.tagName !== "SUMMARY") return;
    const all = [...$("list").querySelectorAll("summary")], next = all[all.indexOf(event.target) + step];
    if (next) next.focus();
    event.preventDefault();
  });
  choose("part", data.parts.map((own, index) => [String(index), own.name]));
  open(0);
  $("filters").hidden = false;
})();
