"use strict";

// In the frame of a notebook a link to a section would load the notebook instead.
document.querySelectorAll('a[href^="#"]').forEach((link) => {
  link.addEventListener("click", (event) => {
    const section = document.getElementById(link.getAttribute("href").slice(1));
    if (!section) return;
    event.preventDefault();
    section.scrollIntoView();
    section.focus({ preventScroll: true });
  });
});

// A printed page shows what is folded.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
});

// One map after the other, so that the page answers in between.
document.querySelectorAll(".explorer").forEach((explorer) => setTimeout(explore, 0, explorer));
