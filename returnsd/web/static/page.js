// What the pages do in the browser: review (and audit) with the keyboard, the mouse or a finger, and a dashboard that
// keeps itself up to date. Whatever a person decides is shown as done at once; if it was not taken, it comes back.

const $ = (id) => document.getElementById(id);
const KEPT_UNDOS = 10, LOOK_MS = 3000, LOST_LOOK_MS = 1500, ANSWER_MS = 20_000, TOAST_MS = 7000, AHEAD = 6, MOST_KEYS = 9;
const LOAD = 200, MOST_SHOWN = 1000, REFILL_BELOW = 80, MOST_AT_ONCE = 500, MOST_TOLD = 200;
const MOVES = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

const store = {
  get(key, otherwise = "") { try { return localStorage.getItem(key) ?? otherwise; } catch { return otherwise; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* private windows may forbid it */ } },
};

class NoAnswer extends Error {
  constructor() { super("the service does not answer"); }
}

// Return what the service says; NoAnswer if it says nothing, or if something in between answers for it.
async function ask(address, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), keepalive: true,
  };
  let answer, document;
  try {
    answer = await fetch(address, { ...options, signal: AbortSignal.timeout(ANSWER_MS) });
    document = await answer.json();
  } catch { throw new NoAnswer(); }
  if (answer.status === 401) { location.href = "/login?next=" + encodeURIComponent(location.pathname); }
  if (!answer.ok && !document.title) { throw new NoAnswer(); }
  return { ok: answer.ok, status: answer.status, document };
}

// What a problem document says, for people.
function inWords({ title, detail }) {
  const text = detail ? `${title}: ${detail}` : title;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) { made[name] = value; } else { made.setAttribute(name, value); }
  }
  made.append(...children);
  return made;
}

function drawing(...paths) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

const percent = (share) => share === null || share === undefined ? "" : `${share < 1 ? Math.min(99, Math.round(share * 100)) : 100} %`;
const preview = (id, px) => `/v1/items/${id}/preview?px=${px}`;
// the service's own time, as all pages show it: what stands before the offset
const when = (text) => text.slice(0, 19).replace("T", " ");
// what the ledger calls those who gave no name
const NAMELESS = "page";
const named = (by) => ({ [NAMELESS]: "Someone at the page", folder: "Someone with a file manager" })[by] ?? by;
const pictures = (count) => count === 1 ? "1 picture" : `${count} pictures`;

// --- review

class Review {
  constructor(setup) {
    this.setup = setup;
    this.cards = new Map();      // item id -> {item, card, section}
    this.chosen = new Set();     // selected item ids
    this.auto = null;            // the section that was selected by itself
    this.quiet = null;           // the section that is not to be selected by itself
    this.here = null;            // the item where the keys are
    this.anchor = null;          // where a range begins
    this.skipped = new Set();
    this.leaving = new Set();    // decided here, perhaps not yet recorded
    this.left = new Set();       // recorded since the last loading began
    this.done = [];              // what can be undone, newest last
    this.sending = Promise.resolve();
    this.lost = false;           // the service does not answer
    this.waiters = [];           // what goes on when it answers again
    this.known = false;          // what waits was loaded
    this.version = 0;
    this.count = 0;
    this.others = {};
    this.client = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
    this.grid = $("grid");
    this.together = $("together");
    this.hands = $("hands");
    this.listen();
    this.begin();
    this.looking();
  }

  by() { return $("by").value.trim(); }
  order() { return $("order")?.value ?? "alike"; }
  zooms() { return $("zoom").open; }

  // --- loading and drawing

  async begin() {
    await this.load(true);
    if (!this.here) { this.focus(this.first(), { take: document.activeElement === document.body }); }
  }

  async load(anew = false) {
    if (this.loading && !anew) { return; }
    const turn = this.turn = (this.turn ?? 0) + 1;
    this.loading = true;
    this.left.clear();
    try {
      const leave = [...this.skipped, ...this.leaving].slice(-400).map((id) => `&skip=${id}`).join("");
      const limit = Math.min(MOST_SHOWN, LOAD + (anew ? 0 : this.cards.size));
      const { ok, document: found } = await ask(`${this.setup.queue}?order=${this.order()}&limit=${limit}${leave}`);
      if (turn !== this.turn) { return; }
      if (!ok) { this.trouble(`${inWords(found)}. Trying again…`); return; }
      this.found();
      if (anew) { this.clear(); }
      for (const section of found.sections) { this.admit(section); }
      this.version = found.version;
      this.count = found.count;
      this.known = true;
    } catch (error) {
      if (turn === this.turn) { this.lose(error); }
    } finally {
      if (turn === this.turn) {
        this.loading = false;
        this.grid.setAttribute("aria-busy", "false");
        this.tell();
      }
    }
  }

  // load more when few are left behind the place where one is or looks
  async refill() {
    const more = this.count > this.cards.size + this.skipped.size + this.leaving.size && this.cards.size < MOST_SHOWN;
    if (!more || this.loading || this.lost) { return; }
    const tray = $("tray"), below = tray.scrollHeight - tray.scrollTop - tray.clientHeight;
    const ids = this.ids(), behind = ids.length - ids.indexOf(this.here);
    if (behind > REFILL_BELOW && below > 2 * tray.clientHeight) { return; }
    await this.load();
    if (!this.here) { this.focus(this.first(), { take: document.activeElement === document.body }); }
  }

  clear() {
    this.grid.replaceChildren();
    this.cards.clear();
    this.chosen.clear();
    this.auto = this.quiet = this.here = null;
  }

  admit(section) {
    const fresh = section.items.filter(({ item_id: id }) =>
      !this.cards.has(id) && !this.leaving.has(id) && !this.left.has(id) && !this.skipped.has(id));
    if (!fresh.length) { return; }
    const known = section.items.map((item) => this.cards.get(item.item_id)).find(Boolean);
    const group = known ? known.section : this.drawSection(section);
    for (const item of fresh) {
      const card = this.drawCard(item);
      this.cards.set(item.item_id, { item, card, section: group });
      group.querySelector(".cards").append(card);
    }
    this.head(group);
  }

  drawSection(section, first = false) {
    const id = `s${this.sections = (this.sections ?? 0) + 1}`;
    const head = element("div", { className: "group-head" },
      element("h3", { id }), element("span"), element("button", { type: "button", className: "quiet", tabIndex: -1 }));
    const list = element("div", { className: "cards" });
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-multiselectable", "true");
    const group = element("section", { className: section.alike ? "group alike" : "group" }, head, list);
    group.setAttribute("aria-labelledby", id);
    group.alike = section.alike;
    group.category = section.category;
    head.querySelector("button").addEventListener("click", () => this.isChosen(group) ? this.chooseNone(group) : this.chooseGroup(group));
    first ? this.grid.prepend(group) : this.grid.append(group);
    return group;
  }

  head(group) {
    const count = group.querySelectorAll(".card").length;
    const [name, about, all] = group.querySelector(".group-head").children;
    const probably = group.category ? `probably ${group.category}` : "";
    if (group.alike && count > 1) {
      name.textContent = `${count} alike`;
      about.textContent = probably;
    } else {
      group.classList.remove("alike");
      name.textContent = group.named || (group.category && !group.alike ? group.category : this.orderName(group));
      about.textContent = group.alike ? "" : pictures(count);
    }
    all.hidden = count < 2;
    this.headButton(group);
    group.querySelector(".cards").setAttribute("aria-label", [name.textContent, about.textContent].filter(Boolean).join(", "));
  }

  headButton(group) {
    const all = group.querySelector(".group-head button"), count = group.querySelectorAll(".card").length;
    const verb = this.isChosen(group) ? "Select none" : "Select all";
    all.textContent = verb;
    all.setAttribute("aria-label", `${verb} of ${count}: ${group.category ?? group.querySelector("h3").textContent}`.replace("all of", "all"));
  }

  orderName(group) {
    if (group.alike) { return group.category ? `probably ${group.category}` : "One"; }
    return { oldest: "Oldest first", unsure: "Least sure first" }[this.order()] ?? "Others";
  }

  drawCard(item) {
    const shot = element("div", { className: "shot" });
    this.drawShot(shot, item);
    const tick = element("span", { className: "tick" }, drawing("m5 12.5 4.5 4.5L19 7.5"));
    const loupe = element("button", { type: "button", className: "loupe", tabIndex: -1, title: "Zoom" },
      drawing("M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 20 20"));
    loupe.setAttribute("aria-hidden", "true");
    const meter = element("i");
    meter.style.width = `${Math.round((item.confidence ?? 0) * 100)}%`;
    const card = element("div", { className: "card", id: `i${item.item_id}`, tabIndex: -1 }, shot, tick, loupe,
      element("div", { className: "label" },
        element("div", { className: "label-line" },
          element("b", { textContent: item.category ?? "?" }), element("span", { textContent: percent(item.confidence) })),
        element("div", { className: "meter" }, meter)));
    card.setAttribute("role", "option");
    card.setAttribute("aria-selected", "false");
    const sure = item.confidence === null ? "" : `, ${percent(item.confidence)} sure`;
    card.setAttribute("aria-label", `${item.file_name}: probably ${item.category ?? "unknown"}${sure}`);
    card.dataset.item = item.item_id;
    return card;
  }

  drawShot(shot, item) {
    const image = element("img", { alt: "", loading: "lazy", decoding: "async", draggable: false, src: preview(item.item_id, 320) });
    image.addEventListener("error", () => shot.replaceChildren(element("p", { className: "broken", textContent: "no preview" })));
    shot.replaceChildren(image);
  }

  redrawBroken() {
    for (const { card, item } of this.cards.values()) {
      if (card.querySelector(".broken")) { this.drawShot(card.querySelector(".shot"), item); }
    }
    for (const image of [$("big-image"), $("zoom-image")]) {
      if (image.getAttribute("src") && image.complete && !image.naturalWidth) { image.src = image.getAttribute("src"); }
    }
  }

  tell() {
    const left = this.cards.size, skipped = this.skipped.size, waiting = Math.max(left, this.count - this.leaving.size);
    $("count").textContent = waiting;
    $("shown").textContent = !left ? "" : waiting - skipped > left ? `first ${left} shown` : skipped ? `${skipped} skipped` : "";
    const badge = $("nav-waiting");
    if (badge && this.setup.mode === "review") { badge.textContent = waiting; badge.hidden = !waiting; }
    $("done").hidden = left > 0 || !this.known || Boolean(this.loading);
    $("done-all").hidden = skipped > 0;
    $("done-skipped").hidden = !skipped;
    $("skipped-count").textContent = `You skipped ${pictures(skipped)}`;
    $("unskip").textContent = skipped === 1 ? "Show it again" : "Show them again";
    $("done-undo").hidden = !this.done.length;
    $("panel").hidden = left === 0;
    if (left === 0) { this.here = null; }
    this.panel();
  }

  // --- moving and selecting

  ids() { return [...this.grid.querySelectorAll(".card")].map((card) => card.dataset.item); }
  first() { return this.grid.querySelector(".card")?.dataset.item ?? null; }
  members(section) { return [...section.querySelectorAll(".card")].map((card) => card.dataset.item); }

  focus(id, { take = false, keep = false } = {}) {
    if (!id || !this.cards.has(id)) { this.tell(); return; }
    const before = this.cards.get(this.here)?.card;
    before?.classList.remove("here");
    if (before) { before.tabIndex = -1; }
    const { card, section } = this.cards.get(id);
    this.here = id;
    card.classList.add("here");
    card.tabIndex = 0;
    if (this.zooms()) { keep = true; } else if (take) { card.focus({ preventScroll: true }); }
    card.scrollIntoView({ block: "nearest" });
    if (!keep) { this.anchor = id; this.selectTogether(section); }
    this.panel();
    this.prefetch();
    this.refill();
  }

  selectTogether(section) {
    const byHand = this.chosen.size && !this.auto;
    if (byHand || this.auto === section || this.quiet === section) { return; }
    this.quiet = null;
    this.choose([...this.chosen], false);
    this.auto = null;
    if (this.together.checked && section.alike && section.querySelectorAll(".card").length > 1) {
      this.choose(this.members(section), true);
      this.auto = section;
      section.classList.add("chosen");
    }
  }

  isChosen(group) { return this.members(group).every((id) => this.chosen.has(id)); }

  choose(ids, chosen) {
    const groups = new Set();
    for (const id of ids) {
      const entry = this.cards.get(id);
      if (!entry) { this.chosen.delete(id); continue; }
      chosen ? this.chosen.add(id) : this.chosen.delete(id);
      entry.card.setAttribute("aria-selected", String(chosen));
      groups.add(entry.section);
    }
    groups.forEach((group) => this.headButton(group));
    for (const group of this.grid.querySelectorAll(".group.chosen")) {
      if (!group.querySelector(".card[aria-selected=true]")) { group.classList.remove("chosen"); }
    }
  }

  toggle(id) {
    const { section } = this.cards.get(id);
    if (this.auto && this.auto !== section) { this.choose([...this.chosen], false); }
    if (this.auto !== section) { this.auto = null; }
    this.choose([id], !this.chosen.has(id));
    this.anchor = id;
    if (!this.chosen.size) { this.auto = null; this.quiet = section; }
    this.focus(id, { take: true, keep: true });
  }

  range(to) {
    const ids = this.ids(), from = Math.max(0, ids.indexOf(this.anchor)), until = ids.indexOf(to);
    if (this.auto) { this.choose([...this.chosen], false); this.auto = null; }
    this.choose(ids.slice(Math.min(from, until), Math.max(from, until) + 1), true);
    this.focus(to, { take: true, keep: true });
  }

  // select a group; `widen`: everything shown, if a person selected all of the group before
  chooseGroup(group, { widen = false } = {}) {
    const ids = this.members(group), all = this.isChosen(group) && !this.auto;
    if (this.auto && this.auto !== group) { this.choose([...this.chosen], false); }
    this.auto = null;
    this.choose(widen && all ? this.ids() : ids, true);
    group.classList.add("chosen");
    if (!group.contains(document.activeElement)) { this.focus(ids[0], { take: true, keep: true }); }
    this.panel();
    this.say(`${pictures(this.chosen.size)} selected`);
  }

  chooseNone(group = null) {
    this.quiet = group ?? this.cards.get(this.here)?.section ?? this.quiet;
    this.choose(group ? this.members(group) : [...this.chosen], false);
    this.auto = null;
    this.anchor = this.here;
    this.panel();
  }

  move(key, extend) {
    const ids = this.ids();
    let at = ids.indexOf(this.here);
    if (at < 0) { this.focus(ids[0], { take: true }); return; }
    if (key === "Home") { at = 0; } else if (key === "End") { at = ids.length - 1; } else if (key === "ArrowLeft") { at -= 1; } else if (key === "ArrowRight") { at += 1; } else if (this.zooms()) { at += key === "ArrowDown" ? 1 : -1; } else { at = this.vertical(ids, at, key === "ArrowDown" ? 1 : -1); }
    if (at < 0 || at >= ids.length) { return; }
    extend && !this.zooms() ? this.range(ids[at]) : this.focus(ids[at], { take: true });
  }

  vertical(ids, at, step) {
    const place = (i) => this.cards.get(ids[i]).card.getBoundingClientRect();
    const from = place(at), middle = from.left + from.width / 2;
    let row = null, best = -1, nearest = Infinity;
    for (let i = at + step; i >= 0 && i < ids.length; i += step) {
      const to = place(i);
      if (Math.abs(to.top - from.top) < 4) { continue; }
      if (row === null) { row = to.top; } else if (Math.abs(to.top - row) > 4) { break; }
      const far = Math.abs(to.left + to.width / 2 - middle);
      if (far < nearest) { nearest = far; best = i; }
    }
    return best;
  }

  // --- what is about to be decided: the selected pictures, or the one where the keys are; zoomed, the shown one alone

  targets() {
    if (this.chosen.size && !this.zooms()) { return [...this.chosen].filter((id) => this.cards.has(id)); }
    return this.here ? [this.here] : [];
  }

  // the picture in the panel: where the keys are, or else the nearest one that is about to be decided
  shown(targets) {
    const about = new Set(targets);
    if (about.has(this.here)) { return this.here; }
    const ids = this.ids(), at = ids.indexOf(this.here);
    return ids.slice(at + 1).find((id) => about.has(id)) ?? ids.slice(0, Math.max(0, at)).reverse().find((id) => about.has(id)) ?? null;
  }

  likely() {
    // what most of the pictures have high on their certified lists comes first
    const points = new Map();
    for (const id of this.targets()) {
      this.cards.get(id).item.shortlist.forEach((category, rank) => points.set(category, (points.get(category) ?? 0) + 1 / (rank + 1)));
    }
    return [...points].sort((a, b) => b[1] - a[1]).slice(0, MOST_KEYS).map(([category]) => category);
  }

  panel() {
    const targets = this.targets(), many = targets.length > 1, entry = this.cards.get(this.shown(targets));
    for (const id of ["not-product", "retake", "skip"]) { $(id).disabled = !targets.length; }
    $("undo").disabled = !this.done.length;
    $("big").hidden = !entry;
    if (!entry) {
      for (const id of ["says", "about", "what"]) { $(id).textContent = ""; }
      this.drawChoices([], null);
      if (this.zooms()) { this.unzoom(); }
      return;
    }
    const item = entry.item;
    if (this.zooms()) { this.drawZoom(item); } else { this.show($("big-image"), item, 800); }
    $("big").classList.toggle("many", many);
    $("big-of").textContent = many ? `1 of ${targets.length}` : "";
    $("says").replaceChildren(...this.opinion(item));
    const about = [item.file_name, item.return_id && `return ${item.return_id}`, when(item.received_at)].filter(Boolean).join(" · ");
    $("about").replaceChildren(about);
    if (item.duplicate_of) { $("about").append(element("span", { className: "dup", textContent: " · seen before" })); }
    if (this.others[item.item_id]) { $("about").append(element("span", { className: "dup", textContent: ` · ${this.others[item.item_id]} looks at it too` })); }
    $("what").textContent = many ? `What are these ${targets.length}?` : "What is it?";
    $("what").classList.toggle("many", many);
    this.drawChoices(this.likely(), many ? null : item);
  }

  opinion(item) {
    const sure = item.confidence === null ? "" : element("span", { className: "nowrap", textContent: `${percent(item.confidence)} sure` });
    return ["Looks like ", element("b", { textContent: item.category ?? "nothing known" }), sure && ", ", sure];
  }

  // the same buttons stay while they say the same, so that a finger or the focus on one is not lost
  drawChoices(categories, one) {
    const rows = categories.map((category) => [category, one && category === one.category ? percent(one.confidence) : ""]);
    const drawn = JSON.stringify(rows);
    if (this.drawnChoices === drawn) { return; }
    this.drawnChoices = drawn;
    $("choices").replaceChildren(...rows.map(([category, sure], index) => {
      const button = element("button", { type: "button" }, element("kbd", { textContent: index + 1 }), element("span", { className: "category", textContent: category }));
      if (sure) { button.append(element("span", { className: "sure", textContent: sure })); }
      button.addEventListener("click", () => this.decide({ category }));
      return button;
    }));
  }

  show(image, item, px) {
    const wanted = preview(item.item_id, px);
    if (image.getAttribute("src") === wanted) { return false; }
    image.src = wanted;
    image.alt = `${item.file_name}, probably ${item.category ?? "unknown"}`;
    return true;
  }

  prefetch() {
    const ids = this.ids(), leaving = new Set(this.targets()), px = this.zooms() ? 1600 : 800;
    const next = ids.slice(ids.indexOf(this.here) + 1).filter((id) => !leaving.has(id)).slice(0, AHEAD);
    this.ahead = next.map((id) => { const image = new Image(); image.src = preview(id, px); return image; });
  }

  // --- deciding

  take(ids, grab) {
    // take cards away, remembering where they were; then go to the next one (grab: with the keyboard's focus)
    const order = this.ids(), gone = new Set(ids);
    const last = Math.max(...ids.map((id) => order.indexOf(id)));
    const nextOf = (may) => order.slice(last + 1).find((id) => !gone.has(id) && may(id)) ?? order.slice(0, last).reverse().find((id) => !gone.has(id) && may(id));
    if (this.zooms() && gone.has(this.here)) { // zoom goes through the group; at its end, back to the page
      const { section } = this.cards.get(this.here);
      const next = nextOf((id) => this.cards.get(id).section === section);
      if (next) { this.focus(next); $("stage").focus(); } else { this.unzoom(); }
    }
    const next = nextOf(() => true);
    const taken = ids.map((id) => {
      const entry = this.cards.get(id);
      entry.before = order.slice(order.indexOf(id) + 1).find((later) => !gone.has(later) && this.cards.get(later).section === entry.section) ?? null;
      return entry;
    });
    for (const entry of taken) {
      entry.card.remove();
      entry.card.classList.remove("here");
      this.cards.delete(entry.item.item_id);
      this.chosen.delete(entry.item.item_id);
    }
    for (const section of new Set(taken.map((entry) => entry.section))) {
      section.querySelector(".card") ? this.head(section) : section.remove();
    }
    if (gone.has(this.here) || this.here === null) { this.here = null; this.auto = this.chosen.size ? this.auto : null; }
    const stay = this.here ?? next ?? null;
    this.tell();
    this.focus(stay, { take: grab });
    return taken;
  }

  putBack(taken, named = "") {
    let group = null;
    for (const entry of [...taken].reverse()) {
      const { item } = entry;
      if (this.cards.has(item.item_id)) { continue; }
      let section = entry.section;
      if (!section.isConnected) {
        group ??= this.drawSection({ alike: taken.length > 1, category: item.category }, true);
        group.named = named;
        section = group;
      }
      const before = entry.before && this.cards.get(entry.before)?.section === section ? this.cards.get(entry.before).card : null;
      entry.card.setAttribute("aria-selected", "false");
      section.querySelector(".cards").insertBefore(entry.card, before ?? (section === group ? section.querySelector(".card") : null));
      this.cards.set(item.item_id, { ...entry, section });
      this.head(section);
    }
    this.tell();
  }

  // put cards back as they were: selected if they were many, and the keys at the first
  restore(entries, named) {
    if (!entries.length) { return; }
    this.chooseNone();
    this.putBack(entries, named);
    const ids = entries.map((entry) => entry.item.item_id);
    if (ids.length > 1) { this.choose(ids, true); }
    this.focus(ids[0], { take: true, keep: true });
    this.anchor = ids[0];
    this.quiet = this.cards.get(ids[0]).section;
  }

  decide(choice) {
    const ids = this.targets();
    if (!ids.length) { return; }
    if (this.lost) { this.toast("Nothing can be decided until the service answers again.", { bad: true }); return; }
    const began = performance.now();
    const what = choice.category ?? choice.name;
    ids.forEach((id) => this.leaving.add(id));
    const taken = this.take(ids, true);
    const action = { taken, what, decided: null };
    this.remember(action);
    this.closeOther();
    this.toast(`${pictures(ids.length)} → ${what}`, { undo: true });
    this.say(`${pictures(ids.length)} decided: ${what}. ${this.cards.size} left here.`);
    this.panel();
    requestAnimationFrame(() => performance.measure("returnsd-next", { start: began, end: performance.now() }));
    this.sending = this.sending.then(() => this.send(action, choice)).then(() => this.refill());
  }

  remember(action) {
    this.done.push(action);
    if (this.done.length > KEPT_UNDOS) { this.done.shift(); }
  }

  async send(action, choice) {
    const ids = action.taken.map((entry) => entry.item.item_id), by = this.by();
    const outcome = { decided: [], pending: [], refused: [], failed: [], why: "" };
    for (let from = 0; from < ids.length; from += MOST_AT_ONCE) {
      await this.record(ids.slice(from, from + MOST_AT_ONCE), choice, by, outcome);
    }
    const recorded = new Set(outcome.decided.map((one) => one.item_id)), failed = new Set(outcome.failed);
    const back = action.taken.filter((entry) => failed.has(entry.item.item_id));
    action.decided = outcome.decided;
    action.taken = action.taken.filter((entry) => recorded.has(entry.item.item_id));
    this.count = Math.max(0, this.count - ids.length + back.length);
    for (const id of ids) {
      this.leaving.delete(id);
      if (!failed.has(id)) { this.left.add(id); }
    }
    if (!action.taken.length) { this.drop(action); }
    if (back.length) {
      this.putBack(back, "Not recorded");
      if (!this.here) { this.focus(this.first(), { take: true }); }
      this.toast(`Not recorded, ${back.length === 1 ? "it is" : `${back.length} are`} back. ${outcome.why}.`, { bad: true });
    }
    if (outcome.pending.length) {
      this.toast(`Recorded. ${pictures(outcome.pending.length)} moved a little later: ${outcome.pending[0].detail}`, { undo: true });
    }
    this.refused(outcome.refused);
    this.tell();
  }

  // Have a decision recorded. After a failure no one knows whether it was: then the service is asked what became of
  // the items, as often as it takes, and what still waits is sent once more if it was the network.
  async record(ids, choice, by, outcome) {
    const rest = choice.category ? { category: choice.category } : { reject: choice.reject };
    const ours = (one) => one.decided_by === (by || NAMELESS) && one.category === (choice.category ?? null);
    for (let again = false; ; again = true) {
      let silent = false;
      try {
        const { ok, status, document: answer } = await ask("/v1/decisions", { item_ids: ids, by, ...rest });
        if (ok || status === 409 || status === 404) {
          outcome.decided.push(...(answer.decided ?? []));
          outcome.pending.push(...(answer.pending ?? []));
          for (const one of answer.refused ?? []) { again && ours(one) ? outcome.decided.push(one) : outcome.refused.push(one); }
          return;
        }
        outcome.why = inWords(answer);
      } catch (error) {
        silent = true;
        outcome.why = "The service did not answer";
      }
      ids = await this.stillWaiting(ids, ours, outcome);
      if (!ids.length) { return; }
      if (again || !silent) { outcome.failed.push(...ids); return; }
    }
  }

  async stillWaiting(ids, ours, outcome) {
    const waiting = [];
    for (const id of ids) {
      const decision = (await this.insist(`/v1/items/${id}`)).item?.decision;
      if (!decision) { waiting.push(id); } else if (ours(decision)) { outcome.decided.push(decision); } else { outcome.refused.push(decision); }
    }
    return waiting;
  }

  // ask until the service answers
  async insist(address) {
    for (;;) {
      try {
        const { status, document: answer } = await ask(address);
        if (status < 500) { return answer; }
        this.lose(new Error(inWords(answer)));
      } catch (error) { this.lose(error); }
      await new Promise((resume) => this.waiters.push(resume));
    }
  }

  refused(refused) {
    if (!refused.length) { return; }
    const [first] = refused;
    const who = first.decided_by ? `${named(first.decided_by)} was first: ${first.category ?? "rejected"}, ${when(first.decided_at)}` : first.detail;
    this.toast(refused.length === 1 ? `Decided already. ${who}` : `${refused.length} were decided already. ${who}`, { bad: true });
    this.say(`Decided already. ${who}`);
  }

  drop(action) { this.done = this.done.filter((one) => one !== action); $("undo").disabled = !this.done.length; }

  undo() {
    const action = this.done.at(-1);
    if (!action) { this.toast("There is nothing to undo."); return; }
    if (this.lost && !action.skipped) { this.toast("Nothing can be undone until the service answers again.", { bad: true }); return; }
    this.done.pop();
    this.hideToast();
    if (action.skipped) { this.unskip(action); } else { this.sending = this.sending.then(() => this.takeBack(action)); }
    this.panel();
  }

  async takeBack(action) {
    if (!action.decided?.length) { return; }
    const back = new Set(), refused = [];
    let why = "";
    for (const [decidedAt, ids] of this.byMoment(action.decided)) {
      try {
        const { ok, status, document: answer } = await ask("/v1/decisions/withdrawals", { item_ids: ids, by: this.by(), decided_at: decidedAt });
        (answer.decided ?? []).forEach((one) => back.add(one.item_id));
        refused.push(...(answer.refused ?? []));
        if (!ok && status !== 409 && status !== 404) { throw new Error(inWords(answer)); }
      } catch (error) {
        why = error instanceof NoAnswer ? "The service did not answer" : error.message;
        for (const id of ids) {
          if (!(await this.insist(`/v1/items/${id}`)).item?.decision) { back.add(id); }
        }
      }
    }
    const entries = action.taken.filter((entry) => back.has(entry.item.item_id));
    back.forEach((id) => this.left.delete(id));
    this.count += entries.length;
    this.restore(entries, "Taken back");
    if (entries.length) { this.say(`Taken back: ${pictures(entries.length)}`); }
    this.refused(refused);
    const kept = action.decided.filter((one) => !back.has(one.item_id));
    if (why && kept.length) {
      this.done.push({ ...action, decided: kept, taken: action.taken.filter((entry) => !back.has(entry.item.item_id)) });
      this.toast(`Not taken back: ${pictures(kept.length)}. ${why}.`, { bad: true });
    }
    this.tell();
  }

  // ids by when they were decided, at most so many in one: what was decided at one time is taken back as one
  byMoment(decided) {
    const parts = [];
    for (const { item_id: id, decided_at: at } of decided) {
      let part = parts.find(([moment, ids]) => moment === at && ids.length < MOST_AT_ONCE);
      if (!part) { parts.push(part = [at, []]); }
      part[1].push(id);
    }
    return parts;
  }

  skip() {
    const ids = this.targets();
    if (!ids.length) { return; }
    ids.forEach((id) => this.skipped.add(id));
    this.remember({ skipped: true, taken: this.take(ids, true) });
    this.tell();
    const [what, them] = ids.length === 1 ? ["Skipped", "it"] : [`${pictures(ids.length)} skipped`, "them"];
    this.toast(matchMedia("(pointer: coarse)").matches ? what : `${what}; Backspace brings ${them} back`, { undo: true });
    this.say(`${pictures(ids.length)} skipped`);
    this.refill();
  }

  unskip(action) {
    const entries = action.taken.filter((entry) => this.skipped.delete(entry.item.item_id));
    this.restore(entries, "Skipped before");
    this.say(`Back: ${pictures(entries.length)}`);
  }

  async unskipAll() {
    this.skipped.clear();
    this.done = this.done.filter((action) => !action.skipped);
    await this.load();
    this.focus(this.first(), { take: true });
  }

  // --- another category: by its number, or by typing

  number(digit) {
    const likely = this.likely(), category = likely[digit - 1];
    if (category) { this.decide({ category }); } else if (this.here) {
      this.toast(`There is no category ${digit} here${likely.length ? `, only 1 to ${likely.length}` : ""}. Any other: begin to type its name.`);
    }
  }

  matches() {
    const text = $("other").value.trim().toLocaleLowerCase();
    if (!text) { return []; }
    const rank = (name) => {
      const lower = name.toLocaleLowerCase();
      if (lower.startsWith(text)) { return 0; }
      if (lower.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(text))) { return 1; }
      return lower.includes(text) ? 2 : 3;
    };
    return this.setup.categories.filter((name) => rank(name) < 3).sort((a, b) => rank(a) - rank(b));
  }

  showMatches() {
    const found = this.matches(), list = $("matches"), input = $("other"), text = input.value.trim();
    this.pick = Math.min(this.pick ?? 0, Math.max(0, found.length - 1));
    list.replaceChildren(...found.map((category, index) => {
      const option = element("li", { id: `m${index}`, textContent: category });
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(index === this.pick));
      option.addEventListener("pointerdown", (event) => { event.preventDefault(); this.decide({ category }); });
      return option;
    }));
    list.hidden = !found.length;
    $("no-match").hidden = !text || found.length > 0;
    $("no-match").textContent = text && !found.length ? `No category like “${text}”` : "";
    if (text && !found.length) { this.say($("no-match").textContent); }
    input.setAttribute("aria-expanded", String(found.length > 0));
    found.length ? input.setAttribute("aria-activedescendant", `m${this.pick}`) : input.removeAttribute("aria-activedescendant");
    list.children[this.pick]?.scrollIntoView({ block: "nearest" });
  }

  closeOther() {
    $("other").value = "";
    this.pick = 0;
    this.showMatches();
    if (document.activeElement === $("other")) { this.back(); }
  }

  // give the keys back to the pictures
  back() {
    const place = this.zooms() ? $("stage") : this.cards.get(this.here)?.card;
    place ? place.focus({ preventScroll: true }) : document.activeElement?.blur();
  }

  otherKey(event) {
    const found = this.matches();
    if (event.key === "Enter" && !event.repeat && found.length) { this.decide({ category: found[this.pick] }); } else if (event.key === "Enter") { /* nothing is marked */ } else if (event.key === "Escape") { this.closeOther(); } else if (event.key === "ArrowDown") { this.pick = Math.min(this.pick + 1, found.length - 1); this.showMatches(); } else if (event.key === "ArrowUp") { this.pick = Math.max(this.pick - 1, 0); this.showMatches(); } else { return; }
    event.preventDefault();
    event.stopPropagation();
  }

  // --- zoom: one picture, and beside it all that there is beside the grid

  zoom(id = this.here) {
    if (!id) { return; }
    if (id !== this.here) { this.focus(id, { keep: true }); }
    $("zoom-side").append(this.hands);
    $("zoom").append($("voice"));
    $("zoom").prepend($("trouble"));
    $("zoom").showModal();
    this.panel();
    this.prefetch();
  }

  unzoom() {
    $("zoom").close();
    $("panel-foot").before(this.hands);
    $("bench").after($("voice"));
    $("bench").before($("trouble"));
    if (this.cards.has(this.here)) { this.focus(this.here, { take: true }); }
  }

  drawZoom(item) {
    if (this.show($("zoom-image"), item, 1600)) { $("stage").classList.remove("full"); }
    $("zoom-says").replaceChildren(...this.opinion(item));
    const chosen = this.chosen.has(item.item_id), others = this.chosen.size - (chosen ? 1 : 0);
    const rest = others === 1 ? "one other" : `${others} others`;
    $("zoom-note").textContent = !others ? "" : chosen
      ? `Selected with ${rest}. Here, you decide this picture alone.`
      : `Taken out of the selection of ${rest}. Here, you decide this picture alone.`;
  }

  // --- what others do

  async looking() {
    addEventListener("online", () => this.lookNow?.());
    for (;;) {
      await new Promise((resume) => {
        this.lookNow = resume;
        setTimeout(resume, this.lost ? LOST_LOOK_MS : LOOK_MS);
      });
      if (document.hidden && !this.lost) { continue; }
      try { await this.look(); } catch (error) { this.lose(error); }
    }
  }

  async look() {
    const items = [...new Set([this.here, ...this.chosen])].filter(Boolean).slice(0, MOST_TOLD);
    const { ok, status, document: glance } = await ask("/v1/review/looks", { version: this.version, client: this.client, by: this.by(), items });
    if (!ok) {
      status < 500 ? this.trouble(`${inWords(glance)}.`) : this.lose(new Error(inWords(glance)));
      return;
    }
    this.found();
    if (!this.known) { await this.begin(); return; }
    if (this.setup.mode !== "review") { return; }
    glance.gone.forEach((id) => this.skipped.delete(id));
    const gone = glance.gone.filter((id) => this.cards.has(id));
    if (gone.length) {
      const seen = gone.includes(this.here), told = `${pictures(gone.length)} decided by others`;
      this.take(gone, this.grid.contains(document.activeElement));
      seen ? this.toast(told) : this.say(told);
    }
    this.version = glance.version;
    this.count = glance.count;
    this.markOthers(glance.others);
    await this.refill();
    this.tell();
  }

  markOthers(others) {
    for (const id of new Set([...Object.keys(this.others), ...Object.keys(others)])) {
      const card = this.cards.get(id)?.card;
      card?.querySelector(".watched")?.remove();
      if (card && others[id]) { card.append(element("span", { className: "watched", textContent: others[id] })); }
    }
    this.others = others;
  }

  // --- the service answers, or not

  lose(error) {
    this.lost = true;
    const open = this.leaving.size ? ` Whether your last decision (${pictures(this.leaving.size)}) was recorded will be seen then.` : "";
    const what = error instanceof NoAnswer ? "The service does not answer" : error.message;
    this.trouble(`${what}. Trying again until it does.${open}`);
  }

  found() {
    this.trouble("");
    if (!this.lost) { return; }
    this.lost = false;
    this.redrawBroken();
    this.waiters.splice(0).forEach((resume) => resume());
  }

  // --- telling

  say(text) { $("status").textContent = text; }

  toast(text, { undo = false, bad = false } = {}) {
    const toast = $("toast");
    toast.className = bad ? "toast bad" : "toast";
    toast.replaceChildren(element("span", { textContent: text }));
    if (undo) {
      const button = element("button", { type: "button", textContent: "Undo" });
      button.addEventListener("click", () => this.undo());
      toast.append(button);
    } else { this.say(text); }
    toast.hidden = false;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => this.hideToast(), TOAST_MS);
  }

  hideToast() { $("toast").hidden = true; }

  trouble(text) {
    if ($("trouble").textContent === text) { return; }
    $("trouble").textContent = text;
    $("trouble").hidden = !text;
  }

  // --- hands

  listen() {
    this.listenToSettings();
    this.grid.addEventListener("click", (event) => this.click(event));
    this.grid.addEventListener("dblclick", (event) => { if (event.target.closest(".card")) { this.zoom(); } });
    $("tray").addEventListener("scroll", () => this.refill(), { passive: true });
    $("big").addEventListener("click", () => this.zoom(this.shown(this.targets())));
    $("not-product").addEventListener("click", () => this.decide({ reject: "not_a_product", name: "not a product" }));
    $("retake").addEventListener("click", () => this.decide({ reject: "retake", name: "retake the picture" }));
    $("skip").addEventListener("click", () => this.skip());
    $("undo").addEventListener("click", () => this.undo());
    $("done-undo").addEventListener("click", () => this.undo());
    $("unskip").addEventListener("click", () => this.unskipAll());
    $("more").addEventListener("click", () => this.expand(!document.body.classList.contains("expanded")));
    $("other").addEventListener("input", () => { this.pick = 0; this.showMatches(); });
    $("other").addEventListener("keydown", (event) => this.otherKey(event));
    $("other").addEventListener("blur", () => setTimeout(() => { $("matches").hidden = true; }, 100));
    $("zoom-close").addEventListener("click", () => this.unzoom());
    $("zoom").addEventListener("close", () => { if ($("zoom").contains(this.hands)) { this.unzoom(); } });
    $("stage").addEventListener("click", (event) => event.currentTarget.classList.toggle("full"));
    for (const id of ["help-open", "help-close"]) { $(id).addEventListener("click", () => this.help()); }
    $("help").addEventListener("click", (event) => { if (event.target === $("help")) { this.help(); } });
    document.addEventListener("keydown", (event) => this.key(event));
    addEventListener("beforeunload", (event) => { if (this.lost && this.leaving.size) { event.preventDefault(); } });
  }

  listenToSettings() {
    $("by").value = store.get("returnsd-by");
    $("by").addEventListener("input", () => store.set("returnsd-by", $("by").value));
    this.together.checked = store.get("returnsd-together", "yes") === "yes";
    this.together.addEventListener("change", () => {
      store.set("returnsd-together", this.together.checked ? "yes" : "no");
      this.chooseNone();
      this.quiet = null;
      this.focus(this.here, { take: true });
    });
    if ($("order")) {
      $("order").value = store.get("returnsd-order", "alike");
      $("order").addEventListener("change", async () => {
        store.set("returnsd-order", this.order());
        await this.load(true);
        this.focus(this.first(), { take: true });
      });
    }
    if ($("hint")) {
      $("hint").hidden = store.get("returnsd-hint") === "seen";
      $("hint-close").addEventListener("click", () => { store.set("returnsd-hint", "seen"); $("hint").hidden = true; this.back(); });
    }
    // where there is little room, the name stands with what is seldom needed
    const small = matchMedia("(max-width: 760px), (max-height: 520px)"), home = $("name").parentElement;
    const place = () => small.matches ? $("panel-foot").prepend($("name")) : home.prepend($("name"));
    small.addEventListener("change", place);
    place();
    new ResizeObserver(() => document.documentElement.style.setProperty("--panel", `${$("panel").offsetHeight}px`)).observe($("panel"));
  }

  expand(open) {
    document.body.classList.toggle("expanded", open);
    $("more").setAttribute("aria-expanded", String(open));
    $("more").textContent = open ? "Less" : "More";
  }

  help() { $("help").open ? $("help").close() : $("help").showModal(); }

  click(event) {
    const card = event.target.closest(".card");
    if (!card) { return; }
    const id = card.dataset.item;
    if (event.target.closest(".loupe")) { this.zoom(id); return; }
    if (event.shiftKey) { this.range(id); } else { this.toggle(id); }
    this.panel();
  }

  key(event) {
    const { key, target } = event;
    if (event.altKey || event.isComposing) { return; }
    if (target.matches("input:not([type=checkbox]), select, textarea")) {
      const leaves = key === "Escape" || (key === "Enter" && target === $("by"));
      if (leaves) { event.preventDefault(); this.back(); }
      return;
    }
    if ($("help").open) {
      if (key === "?") { event.preventDefault(); this.help(); }
      return;
    }
    const pressing = target.matches("button, summary, a, input") && (key === "Enter" || key === " ");
    const act = pressing ? null : this.meaning(event);
    if (event.repeat && (pressing || (act && !MOVES.has(key)))) { event.preventDefault(); return; } // a key held down acts once
    if (act) { event.preventDefault(); act(); } else if (!pressing && this.isLetter(event)) {
      this.expand(true);
      $("other").focus(); // the letter goes into the field
    }
  }

  isLetter(event) { return /^\p{L}$/u.test(event.key) && !event.ctrlKey && !event.metaKey && this.here; }

  // what a key does, if it does anything
  meaning(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey) {
      const control = key.toLowerCase();
      if (control === "z") { return () => this.undo(); }
      return control === "a" && this.here && !this.zooms() ? () => this.chooseGroup(this.cards.get(this.here).section, { widen: true }) : null;
    }
    if (/^[1-9]$/.test(key)) { return () => this.number(Number(key)); }
    if (MOVES.has(key)) { return () => this.move(key, event.shiftKey); }
    const meanings = {
      "0": () => $("not-product").click(),
      ".": () => $("retake").click(),
      "-": () => this.skip(),
      "?": () => this.help(),
      " ": () => { if (this.here) { this.toggle(this.here); this.panel(); } },
      Backspace: () => this.undo(),
      Enter: () => this.zooms() ? this.unzoom() : this.zoom(),
    };
    if (!this.zooms()) { meanings.Escape = () => this.chooseNone(); } // else the browser closes the zoom
    return meanings[key] ?? null;
  }
}

// --- pages that keep themselves up to date

function refreshing(live) {
  const every = Number(live.dataset.refresh) * 1000;
  setInterval(async () => {
    if (document.hidden || live.contains(document.activeElement)) { return; }
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) { return; }
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-refresh]");
      if (fresh) { live.replaceChildren(...fresh.childNodes); }
    } catch { /* the next round tries again */ }
  }, every);
}

async function act(button) {
  button.disabled = true;
  const body = JSON.parse(button.dataset.body);
  if (button.dataset.with) { body[button.dataset.with] = button.closest("[data-acts]").querySelector("[data-choice]").value; }
  let problem = "";
  try {
    const { ok, document: answer } = await ask(button.dataset.post, { ...body, by: store.get("returnsd-by").trim() });
    if (ok) { location.reload(); return; }
    problem = inWords(answer);
  } catch { problem = "The service does not answer; try again in a moment"; }
  button.disabled = false;
  button.closest("[data-acts]").querySelector("[role=alert]").textContent = problem;
}

const setup = $("setup");
if (setup) { window.review = new Review(JSON.parse(setup.textContent)); }
document.querySelectorAll("[data-refresh]").forEach(refreshing);
document.querySelectorAll("[data-post]").forEach((button) => button.addEventListener("click", () => act(button)));
