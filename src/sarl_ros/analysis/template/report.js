"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    heads.forEach((head, index) => {
      head.tabIndex = 0;
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => {
          const text = row.cells[index].textContent.trim();
          if (head.dataset.kind !== "number") return text;
          const number = parseFloat(text);
          return Number.isNaN(number) ? -Infinity : number;
        };
        const body = table.tBodies[0];
        const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1);
        [...body.rows]
          .map((row) => [value(row), row])
          .sort((one, other) => order(one[0], other[0]))
          .forEach(([, row]) => body.append(row));
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          sort();
        }
      });
    });
  }

  const filter = document.getElementById("filter");
  const rows = all("#overview tbody tr");
  const toggles = all(".toggle");
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const off = new Set(toggles.filter((button) => button.getAttribute("aria-pressed") === "false").map((button) => button.dataset.outcome));
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const visible = !off.has(row.dataset.outcome) && words.every((word) => text.includes(word));
      row.classList.toggle("hidden", !visible);
      document.getElementById("episode-" + row.dataset.episode).classList.toggle("hidden", !visible);
      count += visible;
    }
    document.getElementById("shown").textContent = count === rows.length ? "" : count + " of " + rows.length;
  };
  filter.addEventListener("input", show);
  for (const button of toggles) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") === "false"));
      show();
    });
  }

  for (const row of rows) {
    row.addEventListener("click", (event) => {
      if (!event.target.closest("a")) location.hash = "episode-" + row.dataset.episode;
    });
  }

  const episodes = all("details.episode");
  const openAll = (open) => episodes.forEach((episode) => { if (!episode.classList.contains("hidden")) episode.open = open; });
  document.getElementById("unfold").addEventListener("click", () => openAll(true));
  document.getElementById("fold").addEventListener("click", () => openAll(false));

  const follow = () => {
    const target = location.hash.startsWith("#episode-") && document.getElementById(location.hash.slice(1));
    if (target) {
      target.classList.remove("hidden");
      target.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", follow);
  follow();
})();
