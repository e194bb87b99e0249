// Light or dark as chosen, set before the first paint; a module would come after it.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("api-key-lb.theme");
  } catch {
    // Storage may be forbidden: then the system decides.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
