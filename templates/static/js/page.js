// What every page gains where there is JavaScript. Nothing here is needed to use it.
import { enableCharts } from "./chart.js";
import { enableTips } from "./tip.js";

const YEAR_SECONDS = 365 * 24 * 3600;

/** Copy buttons appear, and copy the code beside them. */
function enableCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = button.closest("figure, [data-copy-scope]")?.querySelector("code");
    if (!source || !navigator.clipboard) continue;
    button.hidden = false;
    const label = button.getAttribute("aria-label");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.classList.add("is-done");
      button.setAttribute("aria-label", button.dataset.done);
      setTimeout(() => {
        button.classList.remove("is-done");
        button.setAttribute("aria-label", label);
      }, 1600);
    });
  }
}

/** The language chosen in one example is chosen in all, on later pages too. */
function enableTabs() {
  const all = [...document.querySelectorAll("[data-tabs] input")];
  const choose = (value) => {
    for (const input of all) if (input.value === value) input.checked = true;
  };
  const stored = localStorage.getItem("language");
  if (stored) choose(stored);
  for (const input of all) {
    input.addEventListener("change", () => {
      const before = input.getBoundingClientRect().top;
      choose(input.value);
      localStorage.setItem("language", input.value);
      scrollBy(0, input.getBoundingClientRect().top - before);
    });
  }
}

/** The theme changes in place; the cookie makes the next page come in it. */
function enableThemes() {
  for (const form of document.querySelectorAll("[data-themes]")) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const theme = event.submitter.value;
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `theme=${theme}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Lax${secure}`;
      if (theme === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = theme;
      for (const button of document.querySelectorAll("[data-themes] button")) {
        button.setAttribute("aria-pressed", String(button.value === theme));
      }
    });
  }
}

/** Menus close on Escape and on a click elsewhere. */
function enableMenus() {
  const menus = [...document.querySelectorAll("[data-menu]")];
  document.addEventListener("click", (event) => {
    for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of menus) {
      if (menu.open) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
  });
}

/** The date is asked for only where it is the chosen expiry. */
function enableKeyForm() {
  const form = document.querySelector("[data-key-form]");
  if (!form) return;
  const row = form.querySelector("[data-expires-on]");
  const show = () => (row.hidden = form.elements.expires.value !== "date");
  form.elements.expires.addEventListener("change", show);
  show();
}

/** The docs' list marks the section being read. */
function enableDocsNav() {
  const links = new Map(
    [...document.querySelectorAll(".docs-here a")].map((link) => [decodeURIComponent(link.hash.slice(1)), link]),
  );
  const sections = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  if (!sections.length) return;
  const mark = () => {
    const here = sections.filter((one) => one.getBoundingClientRect().top < 140).pop() ?? sections[0];
    for (const [id, link] of links) link.classList.toggle("is-here", id === here.id);
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
}

/** Where a row of links is wider than the window, the one of this page is in it. */
function showCurrentLink() {
  for (const row of document.querySelectorAll(".subnav, .docs-links")) {
    const link = row.querySelector("[aria-current]");
    if (link) row.scrollLeft = link.offsetLeft - row.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
  }
}

enableCopying();
enableTabs();
enableThemes();
enableMenus();
enableKeyForm();
enableDocsNav();
showCurrentLink();
enableTips();
enableCharts();
