// Asks for the live part of the page again every two seconds and changes what has changed, so that the focus, the place to which
// it was scrolled and a selection stay. While the page is hidden it asks for nothing. Without it the page is the same, and stands still.
"use strict";
(() => {
  const EVERY = 2000;
  const PATIENCE = 10000;
  const live = document.querySelector("[data-live]");
  const fresh = document.getElementById("fresh");
  if (!live || !fresh) return;

  let heard = Date.now();
  let late = false;
  let waiting = 0;
  let asking = false;

  const clock = (at) => new Date(at).toLocaleTimeString();
  const say = (text, isLate) => {
    if (fresh.textContent !== text) fresh.textContent = text;
    fresh.classList.toggle("late", isLate);
  };
  // It is read aloud when the connection is lost and when it is back, and not every two seconds.
  const quiet = () => fresh.setAttribute("aria-live", "off");
  const loud = () => fresh.setAttribute("aria-live", "polite");
  const age = () => {
    const seconds = Math.round((Date.now() - heard) / 1000);
    if (late) say(`No answer for ${seconds} s: this is from ${clock(heard)}`, true);
  };

  const key = (node) => (node.nodeType === 1 ? node.id || node.getAttribute("data-key") : null);
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

  function attributes(from, to) {
    for (const { name, value } of [...to.attributes]) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name)) from.removeAttribute(name);
  }

  // Makes `from` what `to` is. Children with a key are found again wherever they are, others by their order.
  function change(from, to) {
    const keyed = new Map();
    for (const child of from.childNodes) if (key(child)) keyed.set(key(child), child);
    let place = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      const known = key(wanted) && keyed.get(key(wanted));
      if (known && known !== place && alike(known, wanted)) from.insertBefore(known, place);
      else if (!place || !alike(place, wanted)) {
        from.insertBefore(wanted, place);
        continue;
      }
      const own = known && alike(known, wanted) ? known : place;
      place = own.nextSibling;
      if (own.nodeType !== 1) {
        if (own.nodeValue !== wanted.nodeValue) own.nodeValue = wanted.nodeValue;
      } else if (!own.isEqualNode(wanted)) {
        attributes(own, wanted);
        change(own, wanted);
      }
    }
    while (place) {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }
  }

  async function ask() {
    clearTimeout(waiting);
    if (document.hidden || asking) return;
    asking = true;
    try {
      const headers = { Accept: "text/html", "X-Rolegate-Part": "live" };
      const answer = await fetch(location.href, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok && answer.status !== 404) throw new Error(`status ${answer.status}`);
      const part = document.createElement("template");
      part.innerHTML = await answer.text();
      const focused = document.activeElement;
      change(live, part.content);
      // A row that has moved to another place has lost it.
      if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
      heard = Date.now();
      if (late) loud();
      late = false;
      say(`Live, ${clock(heard)}`, false);
      setTimeout(quiet, 1000);
    } catch {
      if (!late) loud();
      late = true;
      age();
      setTimeout(quiet, 1000);
    }
    asking = false;
    waiting = setTimeout(ask, EVERY);
  }

  quiet();
  setInterval(age, 1000);
  document.addEventListener("visibilitychange", ask);
  waiting = setTimeout(ask, EVERY);
})();
