// Keeps the page up to date: asks for it again, and puts what is new into what is on the screen, so that focus,
// scroll position and whatever is being typed stay where they are.

const INTERVAL = 5000;
const PATIENCE = 10000;
const TYPING = 200;

const form = document.getElementById("filters"); // only the list of campaigns has it
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const reached = document.getElementById("reached");

let known = { address: "", etag: "" };
let asking = null;
let timer = 0;
let skew = null;
let lostSince = null;

async function refresh() {
  clearTimeout(timer);
  asking?.abort();
  const mine = new AbortController();
  asking = mine;
  const impatience = setTimeout(() => mine.abort(), PATIENCE);
  const address = location.pathname + location.search;
  try {
    const headers = known.address === address && known.etag ? { "If-None-Match": known.etag } : {};
    const response = await fetch(address, { headers, cache: "no-store", signal: mine.signal });
    if (response.status !== 304) {
      // A campaign that has gone is answered with 404 and a page that says so.
      if (!response.ok && response.status !== 404) throw new Error(`it answers ${response.status}`);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (asking !== mine) return;
      show(page);
      known = { address, etag: response.headers.get("ETag") ?? "" };
    }
    if (asking !== mine) return;
    found(response.headers.get("Date"));
  } catch (error) {
    if (asking !== mine) return;
    lose(error);
  } finally {
    clearTimeout(impatience);
    if (asking === mine && !document.hidden) timer = setTimeout(refresh, INTERVAL);
  }
}

function show(page) {
  const fresh = page.getElementById("live");
  if (!fresh) throw new Error("another program answers");
  if (page.documentElement.dataset.assets !== document.documentElement.dataset.assets) {
    location.reload(); // another version, with another script
    return;
  }
  const focused = document.activeElement;
  morph(live, fresh);
  for (const name of form ? ["provider", "account"] : []) {
    offer(form.elements[name], page.querySelector(`#filters [name=${name}]`));
  }
  if (focused !== document.activeElement && live.contains(focused)) focused.focus({ preventScroll: true });
}

// Make one element like another, keeping every node that can be kept. Rows are known by their key, the rest by place.
function morph(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // Whether details are open is the reader's choice.
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  if (old.localName === "time") return; // its text is the clock's

  const wanted = new Set([...fresh.children].map((child) => child.dataset.key));
  const kept = new Map();
  for (const child of [...old.children]) {
    const { key } = child.dataset;
    if (key === undefined) continue;
    if (wanted.has(key)) kept.set(key, child);
    else child.remove();
  }
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const key = child.dataset?.key;
    const same = key === undefined ? place : kept.get(key);
    if (!same || same.nodeName !== child.nodeName || same.dataset?.key !== key) {
      old.insertBefore(document.importNode(child, true), place);
      continue;
    }
    if (same === place) place = place.nextSibling;
    else if (old.moveBefore) old.moveBefore(same, place); // keeps focus and state
    else old.insertBefore(same, place);
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, child);
    else if (same.data !== child.data) same.data = child.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

// Offer the values that there are now; the chosen one stays chosen.
function offer(select, fresh) {
  const values = (of) => [...of.options].map((option) => option.value).join("\n");
  if (values(select) === values(fresh)) return;
  const chosen = select.value;
  select.replaceChildren(...[...fresh.options].map((option) => document.importNode(option, true)));
  choose(select, chosen);
}

function choose(field, value) {
  field.value = value;
  if (field.value === value || !(field instanceof HTMLSelectElement)) return;
  field.add(new Option(value, value)); // an address may name what there is not
  field.value = value;
}

function found(date) {
  if (date) skew = Date.parse(date) - Date.now();
  lostSince = null;
  if (!lost.hidden) lost.hidden = true; // what is set is announced as changed, even to what it was
  if (reached.hidden) reached.hidden = false;
  document.documentElement.classList.remove("lost");
  tick();
}

function lose(error) {
  lostSince ??= new Date();
  const why = error.message.startsWith("it answers") || error.message.startsWith("another") ? ` (${error.message})` : "";
  const words =
    `The exporter can’t be reached since ${lostSince.toLocaleTimeString()}${why}. ` +
    `What is shown may be out of date. The page tries again every ${INTERVAL / 1000} seconds.`;
  // The same words again would be read out again.
  if (lost.textContent !== words) lost.textContent = words;
  lost.hidden = false;
  reached.hidden = true;
  document.documentElement.classList.add("lost");
}

// Ages go on by the exporter's clock, which is known once it has answered.
function tick() {
  if (skew === null) return;
  const now = Date.now() + skew;
  for (const time of live.querySelectorAll("time")) {
    const words = age((now - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== words) time.textContent = words;
  }
}

function age(seconds) {
  seconds = Math.max(0, Math.floor(seconds));
  if (seconds >= 2 * 86400) return `${Math.floor(seconds / 86400)} d ago`;
  if (seconds >= 2 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds >= 60) return `${Math.floor(seconds / 60)} min ago`;
  return `${seconds} s ago`;
}

function follow(address, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  refresh();
}

function fill() {
  const asked = new URLSearchParams(location.search);
  for (const name of ["q", "provider", "account", "state", "sort"]) choose(form.elements[name], asked.get(name) ?? "");
}

function filter() {
  const asked = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...asked]) if (!value) asked.delete(name);
  follow(asked.size ? `?${asked}` : location.pathname, true);
}

function steer() {
  let typing = 0;
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(filter, event.target.name === "q" ? TYPING : 0);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    filter();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-nav]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    clearTimeout(typing);
    follow(link.href);
    fill();
  });
  addEventListener("popstate", () => {
    fill();
    refresh();
  });
  fill();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) refresh();
});

if (form) steer();
setInterval(tick, 1000);
timer = setTimeout(refresh, 1000);
