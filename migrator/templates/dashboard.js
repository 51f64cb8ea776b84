// Keeps the page as it is now: asks for what changed every few seconds, and for mailboxes whenever somebody looks for others.
"use strict";
(() => {
  const by = (id) => document.getElementById(id);
  const form = by("find");
  const EVERY = 3000;
  let version = document.body.dataset.version;
  let asked = 0;
  let waiting = 0;
  document.body.classList.add("scripted");

  function query() {
    const values = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...values]) if (!value || (name === "page" && value === "1")) values.delete(name);
    return values.toString();
  }

  async function get(what) {
    const answer = await fetch(what, { cache: "no-store", credentials: "omit" });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.status === 204 ? null : answer.json();
  }

  function trouble(text) {
    if (by("trouble").textContent !== text) by("trouble").textContent = text;
  }

  // What was scrolled sideways or has the focus stays so.
  function put(id, html) {
    const place = by(id);
    const scrolled = [...place.querySelectorAll(".wide")].map((one) => one.scrollLeft);
    place.innerHTML = html;
    place.querySelectorAll(".wide").forEach((one, at) => { one.scrollLeft = scrolled[at] || 0; });
  }

  async function mailboxes() {
    const mine = ++asked;
    const told = query();
    const answer = await get("mailboxes?" + told);
    if (mine !== asked) return;  // somebody has asked for something else meanwhile
    by("rows").innerHTML = answer.rows;
    by("found").textContent = answer.found;
    form.elements.page.value = answer.page;
    by("previous").disabled = answer.page <= 1;
    by("next").disabled = answer.page >= answer.pages;
    for (const button of document.querySelectorAll("[data-sort]")) {
      const head = button.parentElement;
      if (button.dataset.sort !== form.elements.sort.value) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", form.elements.dir.value ? "descending" : "ascending");
    }
    history.replaceState(null, "", told ? "?" + told : "./");
  }

  function look(page) {
    form.elements.page.value = page;
    mailboxes().catch(() => trouble(document.body.dataset.stale));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const from = event.submitter;
    if (from && from.dataset.sort) {
      const again = form.elements.sort.value === from.dataset.sort;
      form.elements.dir.value = again && !form.elements.dir.value ? "down" : "";
      form.elements.sort.value = from.dataset.sort;
      look(1);
    } else if (from && from.id === "previous") look(Number(form.elements.page.value) - 1);
    else if (from && from.id === "next") look(Number(form.elements.page.value) + 1);
    else look(1);
  });
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => look(1), 200);
  });

  async function tick() {
    try {
      if (!document.hidden) {
        const news = await get("parts?version=" + encodeURIComponent(version));
        if (news) {
          version = String(news.version);
          for (const [id, html] of Object.entries(news.parts)) put(id, html);
          by("stamp").textContent = news.stamp;
          document.body.dataset.stale = news.stale;
          trouble(news.trouble);
          await mailboxes();
        } else if (by("trouble").dataset.away) trouble("");
        delete by("trouble").dataset.away;
      }
    } catch {
      by("trouble").dataset.away = "1";
      trouble(document.body.dataset.stale);
    }
    setTimeout(tick, EVERY);
  }
  setTimeout(tick, EVERY);
})();
