// What the pages do in the browser: review (and audit) with the keyboard, the mouse or a finger, and a dashboard that
// keeps itself up to date. Whatever a person decides is shown as done at once; if it was not taken, it comes back.

const $ = (id) => document.getElementById(id);
const KEPT_UNDOS = 10, LOAD = 200, REFILL_BELOW = 80, LOOK_MS = 3000, TOAST_MS = 7000, AHEAD = 6, MOST_KEYS = 9;

const store = {
  get(key, otherwise = "") { try { return localStorage.getItem(key) ?? otherwise; } catch { return otherwise; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* private windows may forbid it */ } },
};

async function ask(address, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const answer = await fetch(address, options);
  if (answer.status === 401) { location.href = "/login?next=" + encodeURIComponent(location.pathname); }
  const document = await answer.json();
  return { ok: answer.ok, status: answer.status, document };
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
const when = (text) => new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
const pictures = (count) => count === 1 ? "1 picture" : `${count} pictures`;

// --- review

class Review {
  constructor(setup) {
    this.setup = setup;
    this.cards = new Map();      // item id -> {item, card, section}
    this.chosen = new Set();     // selected item ids
    this.auto = null;            // the section that was selected by itself
    this.here = null;            // the item in the panel
    this.anchor = null;          // where a range begins
    this.skipped = new Set();
    this.leaving = new Set();    // decided here, perhaps not yet recorded
    this.done = [];              // what can be undone, newest last
    this.sending = Promise.resolve();
    this.version = 0;
    this.count = 0;
    this.others = {};
    this.client = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);
    this.grid = $("grid");
    this.together = $("together");
    this.listen();
    this.load(true).then(() => this.focus(this.first(), { take: true }));
    this.looking();
  }

  by() { return $("by").value.trim(); }
  order() { return $("order")?.value ?? "alike"; }

  // --- loading and drawing

  async load(anew = false) {
    if (this.loading) { return; }
    this.loading = true;
    try {
      const leave = [...this.skipped, ...this.leaving].slice(-400).map((id) => `&skip=${id}`).join("");
      const { ok, document } = await ask(`${this.setup.queue}?order=${this.order()}&limit=${LOAD}${leave}`);
      if (!ok) { throw new Error(document.detail); }
      this.trouble("");
      if (anew) { this.clear(); }
      for (const section of document.sections) { this.admit(section); }
      this.version = document.version;
      this.count = document.count;
    } catch {
      this.trouble("The service does not answer. Trying again…");
    } finally {
      this.loading = false;
      this.grid.setAttribute("aria-busy", "false");
      this.tell();
    }
  }

  clear() {
    this.grid.replaceChildren();
    this.cards.clear();
    this.chosen.clear();
    this.auto = null;
  }

  admit(section) {
    const fresh = section.items.filter((item) =>
      !this.cards.has(item.item_id) && !this.leaving.has(item.item_id) && !this.skipped.has(item.item_id));
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
    const group = element("div", { className: section.alike ? "group alike" : "group", role: "group" },
      head, element("div", { className: "cards" }));
    group.setAttribute("role", "group");
    group.setAttribute("aria-labelledby", id);
    group.alike = section.alike;
    group.category = section.category;
    head.querySelector("button").addEventListener("click", () => this.chooseGroup(group));
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
      all.textContent = "Select all";
    } else {
      group.classList.remove("alike");
      name.textContent = group.title || (group.category && !group.alike ? group.category : this.orderName(group));
      about.textContent = group.alike ? "" : pictures(count);
      all.textContent = count > 1 ? "Select all" : "";
    }
    all.hidden = count < 2;
  }

  orderName(group) {
    if (group.alike) { return group.category ? `probably ${group.category}` : "One"; }
    return { oldest: "Oldest first", unsure: "Least sure first" }[this.order()] ?? "Others";
  }

  drawCard(item) {
    const image = element("img", { alt: "", loading: "lazy", decoding: "async", draggable: false, src: preview(item.item_id, 320) });
    const shot = element("div", { className: "shot" }, image);
    image.addEventListener("error", () => shot.replaceChildren(element("p", { className: "broken", textContent: "no preview" })));
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

  tell() {
    const left = this.cards.size;
    const beyond = Math.max(left, this.count - this.leaving.size);
    $("count").textContent = beyond;
    const badge = $("nav-waiting");
    if (badge && this.setup.mode === "review") { badge.textContent = beyond; badge.hidden = !beyond; }
    $("done").hidden = left > 0;
    $("panel").hidden = left === 0 && !this.done.length;
    $("skipped-note").hidden = !this.skipped.size;
    if (left === 0) { this.here = null; }
    this.panel();
  }

  // --- moving and selecting

  ids() { return [...this.grid.querySelectorAll(".card")].map((card) => card.dataset.item); }
  first() { return this.grid.querySelector(".card")?.dataset.item ?? null; }

  focus(id, { take = false, keep = false } = {}) {
    if (!id || !this.cards.has(id)) { this.tell(); return; }
    if (this.here && this.cards.has(this.here)) { this.cards.get(this.here).card.classList.remove("here"); this.cards.get(this.here).card.tabIndex = -1; }
    const { card, section } = this.cards.get(id);
    this.here = id;
    card.classList.add("here");
    card.tabIndex = 0;
    if (take) { card.focus({ preventScroll: true }); }
    card.scrollIntoView({ block: "nearest" });
    if (!keep) { this.anchor = id; this.selectTogether(section); }
    this.panel();
    this.prefetch();
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

  members(section) { return [...section.querySelectorAll(".card")].map((card) => card.dataset.item); }

  choose(ids, chosen) {
    for (const id of ids) {
      const entry = this.cards.get(id);
      if (!entry) { this.chosen.delete(id); continue; }
      chosen ? this.chosen.add(id) : this.chosen.delete(id);
      entry.card.setAttribute("aria-selected", String(chosen));
    }
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

  chooseGroup(group) {
    const ids = this.members(group), all = ids.every((id) => this.chosen.has(id));
    if (this.auto && this.auto !== group) { this.choose([...this.chosen], false); }
    this.auto = null;
    this.choose(all && this.grid.querySelectorAll(".group").length > 1 ? this.ids() : ids, true);
    group.classList.add("chosen");
    if (!group.contains(document.activeElement)) { this.focus(ids[0], { take: true, keep: true }); }
    this.panel();
    this.say(`${pictures(this.chosen.size)} selected`);
  }

  chooseNone() {
    if (this.here) { this.quiet = this.cards.get(this.here)?.section; }
    this.choose([...this.chosen], false);
    this.auto = null;
    this.panel();
  }

  move(key, extend) {
    const ids = this.ids();
    let at = ids.indexOf(this.here);
    if (at < 0) { this.focus(ids[0], { take: true }); return; }
    if (key === "ArrowLeft") { at -= 1; } else if (key === "ArrowRight") { at += 1; } else if (key === "Home") { at = 0; } else if (key === "End") { at = ids.length - 1; } else { at = this.vertical(ids, at, key === "ArrowDown" ? 1 : -1); }
    if (at < 0 || at >= ids.length) { return; }
    extend ? this.range(ids[at]) : this.focus(ids[at], { take: true });
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

  // --- the panel

  targets() { return this.chosen.size ? [...this.chosen].filter((id) => this.cards.has(id)) : this.here ? [this.here] : []; }

  likely() {
    // what most of the pictures have high on their certified lists comes first
    const points = new Map();
    for (const id of this.targets()) {
      this.cards.get(id).item.shortlist.forEach((category, rank) => points.set(category, (points.get(category) ?? 0) + 1 / (rank + 1)));
    }
    return [...points].sort((a, b) => b[1] - a[1]).slice(0, MOST_KEYS).map(([category]) => category);
  }

  panel() {
    const entry = this.here ? this.cards.get(this.here) : null;
    const targets = this.targets(), many = targets.length > 1;
    for (const id of ["not-product", "retake", "skip"]) { $(id).disabled = !targets.length; }
    $("undo").disabled = !this.done.length;
    $("choices").replaceChildren();
    $("big").hidden = !entry;
    if (!entry) { $("says").textContent = ""; $("about").textContent = ""; $("what").textContent = ""; return; }
    const item = entry.item;
    this.show($("big-image"), item, 800);
    $("says").replaceChildren("Looks like ", element("b", { textContent: item.category ?? "nothing known" }), item.confidence === null ? "" : `, ${percent(item.confidence)} sure`);
    const about = [item.file_name, item.return_id && `return ${item.return_id}`, when(item.received_at)].filter(Boolean).join(" · ");
    $("about").replaceChildren(about);
    if (item.duplicate_of) { $("about").append(element("span", { className: "dup", textContent: " · seen before" })); }
    if (this.others[item.item_id]) { $("about").append(element("span", { className: "dup", textContent: ` · ${this.others[item.item_id]} looks at it too` })); }
    $("what").textContent = many ? `What are these ${targets.length}?` : "What is it?";
    this.drawChoices($("choices"), item, many);
    if ($("zoom").open) { this.zoomed(); }
  }

  drawChoices(place, item, many) {
    place.replaceChildren(...this.likely().map((category, index) => {
      const button = element("button", { type: "button" }, element("kbd", { textContent: index + 1 }), category);
      if (!many && category === item.category) { button.append(element("span", { textContent: percent(item.confidence) })); }
      button.addEventListener("click", () => this.decide({ category }));
      return button;
    }));
  }

  show(image, item, px) {
    const wanted = preview(item.item_id, px);
    if (image.getAttribute("src") === wanted) { return; }
    image.src = wanted;
    image.alt = `${item.file_name}, probably ${item.category ?? "unknown"}`;
  }

  prefetch() {
    const ids = this.ids(), leaving = new Set(this.targets());
    const next = ids.slice(ids.indexOf(this.here) + 1).filter((id) => !leaving.has(id)).slice(0, AHEAD);
    this.ahead = next.map((id) => { const image = new Image(); image.src = preview(id, 800); return image; });
  }

  // --- deciding

  take(ids, grab) {
    // take cards away, remembering where they were; then go to the next one (grab: with the keyboard's focus)
    const order = this.ids(), gone = new Set(ids);
    const last = Math.max(...ids.map((id) => order.indexOf(id)));
    const next = order.slice(last + 1).find((id) => !gone.has(id)) ?? order.slice(0, last).reverse().find((id) => !gone.has(id));
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
    if (ids.includes(this.here) || this.here === null) { this.here = null; this.auto = this.chosen.size ? this.auto : null; }
    const stay = this.here ?? next ?? null;
    this.tell();
    this.focus(stay, { take: grab && !$("zoom").open });
    return taken;
  }

  putBack(taken, title = "") {
    let group = null;
    for (const entry of [...taken].reverse()) {
      const { item } = entry;
      if (this.cards.has(item.item_id)) { continue; }
      let section = entry.section;
      if (!section.isConnected) {
        group ??= this.drawSection({ alike: taken.length > 1, category: item.category }, true);
        group.title = title;
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

  decide(choice) {
    const ids = this.targets();
    if (!ids.length) { return; }
    const began = performance.now();
    const what = choice.category ?? choice.name;
    ids.forEach((id) => this.leaving.add(id));
    const taken = this.take(ids, true);
    const action = { taken, what, decided: null };
    this.done.push(action);
    if (this.done.length > KEPT_UNDOS) { this.done.shift(); }
    this.closeOther();
    this.toast(`${pictures(ids.length)} → ${what}`, { undo: true });
    this.say(`${pictures(ids.length)} decided: ${what}. ${this.cards.size} left here.`);
    this.panel();
    requestAnimationFrame(() => performance.measure("returnsd-next", { start: began, end: performance.now() }));
    this.sending = this.sending.then(() => this.send(action, ids, choice));
    if (this.cards.size < REFILL_BELOW && this.count > this.cards.size + this.leaving.size) { this.sending.then(() => this.load()).then(() => this.here ?? this.focus(this.first(), { take: true })); }
  }

  async send(action, ids, choice) {
    const body = { item_ids: ids, by: this.by(), ...(choice.category ? { category: choice.category } : { reject: choice.reject }) };
    let answer;
    try {
      answer = await ask("/v1/decisions", body);
      if (!answer.ok && answer.status !== 409 && answer.status !== 404) { throw new Error(answer.document.detail); }
    } catch (error) {
      this.drop(action);
      ids.forEach((id) => this.leaving.delete(id));
      this.putBack(action.taken);
      this.toast(`Not recorded, it is back: ${error.message}`, { bad: true });
      return;
    }
    action.decided = answer.document.decided ?? [];
    const recorded = new Set(action.decided.map((one) => one.item_id));
    action.taken = action.taken.filter((entry) => recorded.has(entry.item.item_id));
    this.count = Math.max(0, this.count - ids.length);
    ids.forEach((id) => this.leaving.delete(id));
    if (!action.taken.length) { this.drop(action); }
    this.refused(answer.document.refused ?? []);
    this.tell();
  }

  refused(refused) {
    if (!refused.length) { return; }
    const [first] = refused;
    const who = first.decided_by ? `${first.decided_by} was first: ${first.category ?? "rejected"}, ${when(first.decided_at)}` : first.detail;
    this.toast(refused.length === 1 ? `Decided already. ${who}` : `${refused.length} were decided already. ${who}`, { bad: true });
    this.say(`Decided already. ${who}`);
  }

  drop(action) { this.done = this.done.filter((one) => one !== action); $("undo").disabled = !this.done.length; }

  undo() {
    const action = this.done.pop();
    if (!action) { return; }
    this.hideToast();
    this.sending = this.sending.then(() => this.takeBack(action));
    $("undo").disabled = !this.done.length;
  }

  async takeBack(action) {
    if (!action.decided?.length) { return; }
    const ids = action.decided.map((one) => one.item_id);
    try {
      const answer = await ask("/v1/decisions/withdrawals", { item_ids: ids, by: this.by(), decided_at: action.decided[0].decided_at });
      if (!answer.ok && answer.status !== 409) { throw new Error(answer.document.detail); }
      const back = new Set((answer.document.decided ?? []).map((one) => one.item_id));
      const entries = action.taken.filter((entry) => back.has(entry.item.item_id));
      this.count += entries.length;
      this.chooseNone();
      this.putBack(entries, "Taken back");
      this.refused(answer.document.refused ?? []);
      if (entries.length) {
        const ids = entries.map((entry) => entry.item.item_id);
        if (ids.length > 1) { this.choose(ids, true); }
        this.focus(ids[0], { take: true, keep: true });
        this.anchor = ids[0];
        this.quiet = this.cards.get(ids[0]).section;
        this.say(`Taken back: ${pictures(entries.length)}`);
      }
    } catch (error) {
      this.done.push(action);
      this.toast(`Not taken back: ${error.message}`, { bad: true });
    }
    this.panel();
  }

  skip() {
    const ids = this.targets();
    if (!ids.length) { return; }
    ids.forEach((id) => this.skipped.add(id));
    this.take(ids, true);
    this.say(`${pictures(ids.length)} skipped`);
    if (this.cards.size < REFILL_BELOW) { this.load(); }
  }

  // --- another category, by typing

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
    const found = this.matches(), list = $("matches"), input = $("other");
    this.pick = Math.min(this.pick ?? 0, Math.max(0, found.length - 1));
    list.replaceChildren(...found.map((category, index) => {
      const option = element("li", { id: `m${index}`, textContent: category });
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(index === this.pick));
      option.addEventListener("pointerdown", (event) => { event.preventDefault(); this.decide({ category }); });
      return option;
    }));
    list.hidden = !found.length;
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

  back() { this.here ? this.cards.get(this.here)?.card.focus({ preventScroll: true }) : $("other").blur(); }

  otherKey(event) {
    const found = this.matches();
    if (event.key === "Enter" && found.length) { this.decide({ category: found[this.pick] }); } else if (event.key === "Escape") { this.closeOther(); } else if (event.key === "ArrowDown") { this.pick = Math.min(this.pick + 1, found.length - 1); this.showMatches(); } else if (event.key === "ArrowUp") { this.pick = Math.max(this.pick - 1, 0); this.showMatches(); } else { return; }
    event.preventDefault();
    event.stopPropagation();
  }

  // --- zoom

  zoom() {
    if (!this.here) { return; }
    $("zoom").showModal();
    this.zoomed();
  }

  zoomed() {
    const entry = this.cards.get(this.here);
    if (!entry) { $("zoom").close(); return; }
    $("zoom").querySelector(".zoom-stage").classList.remove("full");
    this.show($("zoom-image"), entry.item, 1600);
    const many = this.targets().length;
    $("zoom-says").textContent = `${entry.item.category ?? ""} ${percent(entry.item.confidence)}` + (many > 1 ? ` · ${many} selected` : "");
    this.drawChoices($("zoom-choices"), entry.item, many > 1);
  }

  // --- what others do

  async looking() {
    for (;;) {
      await new Promise((resume) => setTimeout(resume, LOOK_MS));
      if (document.hidden) { continue; }
      try { await this.look(); } catch { this.trouble("The service does not answer. Trying again…"); }
    }
  }

  async look() {
    const items = [...new Set([this.here, ...this.chosen])].filter(Boolean).slice(0, 200);
    const { ok, document: glance } = await ask("/v1/review/looks", { version: this.version, client: this.client, by: this.by(), items });
    if (!ok) { return; }
    this.trouble("");
    if (this.setup.mode !== "review") { return; }
    const gone = glance.gone.filter((id) => this.cards.has(id));
    if (gone.length) {
      this.take(gone, this.grid.contains(document.activeElement));
      this.say(`${pictures(gone.length)} decided by others`);
    }
    this.version = glance.version;
    this.count = glance.count;
    this.markOthers(glance.others);
    if (this.cards.size < REFILL_BELOW && glance.count > this.cards.size + this.skipped.size + this.leaving.size) {
      await this.load();
      if (!this.here) { this.focus(this.first()); }
    }
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

  // --- telling

  say(text) { $("status").textContent = text; }

  toast(text, { undo = false, bad = false } = {}) {
    const toast = $("toast");
    toast.className = bad ? "toast bad" : "toast";
    toast.replaceChildren(text);
    if (undo) {
      const button = element("button", { type: "button", textContent: "Undo" });
      button.addEventListener("click", () => this.undo());
      toast.append(button);
    }
    toast.hidden = false;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => this.hideToast(), TOAST_MS);
  }

  hideToast() { $("toast").hidden = true; }
  trouble(text) { $("trouble").textContent = text; $("trouble").hidden = !text; }

  // --- hands

  listen() {
    document.querySelector(".keys").open = matchMedia("(min-height: 780px)").matches;
    $("by").value = store.get("returnsd-by");
    $("by").addEventListener("input", () => store.set("returnsd-by", $("by").value));
    this.together.checked = store.get("returnsd-together", "yes") === "yes";
    this.together.addEventListener("change", () => {
      store.set("returnsd-together", this.together.checked ? "yes" : "no");
      this.chooseNone();
      this.quiet = null;
      this.focus(this.here);
    });
    if ($("order")) {
      $("order").value = store.get("returnsd-order", "alike");
      $("order").addEventListener("change", () => {
        store.set("returnsd-order", this.order());
        this.load(true).then(() => this.focus(this.first()));
      });
    }
    this.grid.addEventListener("click", (event) => this.click(event));
    this.grid.addEventListener("dblclick", (event) => { if (event.target.closest(".card")) { this.zoom(); } });
    $("big").addEventListener("click", () => this.zoom());
    $("not-product").addEventListener("click", () => this.decide({ reject: "not_a_product", name: "not a product" }));
    $("retake").addEventListener("click", () => this.decide({ reject: "retake", name: "retake the picture" }));
    $("skip").addEventListener("click", () => this.skip());
    $("undo").addEventListener("click", () => this.undo());
    $("unskip").addEventListener("click", () => { this.skipped.clear(); this.load().then(() => this.focus(this.first(), { take: true })); });
    $("other").addEventListener("input", () => { this.pick = 0; this.showMatches(); });
    $("other").addEventListener("keydown", (event) => this.otherKey(event));
    $("other").addEventListener("blur", () => setTimeout(() => { $("matches").hidden = true; }, 100));
    $("zoom-close").addEventListener("click", () => $("zoom").close());
    $("zoom").addEventListener("close", () => this.back());
    $("zoom").querySelector(".zoom-stage").addEventListener("click", (event) => event.currentTarget.classList.toggle("full"));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  click(event) {
    const card = event.target.closest(".card");
    if (!card) { return; }
    const id = card.dataset.item;
    if (event.target.closest(".loupe")) { this.focus(id, { keep: true }); this.zoom(); return; }
    if (event.shiftKey) { this.range(id); } else { this.toggle(id); }
    this.panel();
  }

  key(event) {
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (typing || event.altKey || event.isComposing) { return; }
    const control = event.ctrlKey || event.metaKey;
    const key = event.key;
    const pressing = event.target.matches("button, summary, a, input") && (key === "Enter" || key === " ");
    if (pressing) { return; }
    if (control && key.toLowerCase() === "a" && this.here) { this.chooseGroup(this.cards.get(this.here).section); } else if (control && key.toLowerCase() === "z") { this.undo(); } else if (control) { return; } else if (/^[1-9]$/.test(key)) {
      const category = this.likely()[Number(key) - 1];
      if (category) { this.decide({ category }); }
    } else if (key === "0") { $("not-product").click(); } else if (key === ".") { $("retake").click(); } else if (key === "-") { this.skip(); } else if (key === "Backspace") { this.undo(); } else if (key.startsWith("Arrow") || key === "Home" || key === "End") { this.move(key, event.shiftKey); } else if (key === " " && this.here) { this.toggle(this.here); this.panel(); } else if (key === "Enter") { $("zoom").open ? $("zoom").close() : this.zoom(); } else if (key === "Escape") {
      if ($("zoom").open) { return; }
      this.chooseNone();
    } else if (/^\p{L}$/u.test(key) && this.here && !$("zoom").open) {
      $("other").focus();
      return; // the letter goes into the field
    } else { return; }
    event.preventDefault();
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
  let problem = "the service does not answer";
  try {
    const { ok, document: answer } = await ask(button.dataset.post, { ...body, by: store.get("returnsd-by").trim() });
    if (ok) { location.reload(); return; }
    problem = answer.detail;
  } catch { /* told below */ }
  button.disabled = false;
  button.closest("[data-acts]").querySelector("[role=alert]").textContent = problem;
}

const setup = $("setup");
if (setup) { window.review = new Review(JSON.parse(setup.textContent)); }
document.querySelectorAll("[data-refresh]").forEach(refreshing);
document.querySelectorAll("[data-post]").forEach((button) => button.addEventListener("click", () => act(button)));
