
"use strict";
const { buttons, examples } = JSON.parse(document.getElementById("pictures").textContent);
const picturesOf = (key) => Object.entries(examples[buttons[key].example]);
const isMap = (title) => title !== "Image";

function pictureOf(title, address, alternative) {
  const image = document.createElement("img");
  image.src = address;
  image.alt = alternative;
  image.classList.toggle("map", isMap(title));
  return image;
}

for (const button of document.querySelectorAll(".example")) {
  const strip = button.querySelector(".strip");
  for (const [title, address] of picturesOf(button.dataset.open)) {
    strip.append(pictureOf(title, address, title));
  }
}

// The viewer: an example at full size; arrow keys go through the examples of the same section.
const viewer = document.getElementById("viewer");
let group = [];
let current = 0;

function show(index) {
  current = (index + group.length) % group.length;
  const key = group[current];
  document.getElementById("viewer-title").textContent = buttons[key].title;
  document.getElementById("viewer-caption").textContent = buttons[key].caption;
  const figures = picturesOf(key).map(([title, address]) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    figure.append(caption, pictureOf(title, address, `${title} of ${buttons[key].title}`));
    return figure;
  });
  document.getElementById("viewer-pictures").replaceChildren(...figures);
}

function open(key) {
  const list = document.querySelector(`.example[data-open="${key}"]`).closest("[data-group]");
  group = [...list.querySelectorAll(".example")].map((button) => button.dataset.open);
  show(group.indexOf(key));
  viewer.showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-open]");
  if (button) open(button.dataset.open);
  if (event.target === viewer) viewer.close();
});
document.getElementById("previous").addEventListener("click", () => show(current - 1));
document.getElementById("next").addEventListener("click", () => show(current + 1));
document.getElementById("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") show(current - 1);
  if (event.key === "ArrowRight") show(current + 1);
});

// Tables: a button in each heading sorts; cells without a value come last.
function sort(heading) {
  const table = heading.closest("table");
  const column = [...heading.parentNode.children].indexOf(heading);
  const first = heading.dataset.first;
  const other = first === "ascending" ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  for (const each of table.tHead.querySelectorAll("th[aria-sort]")) each.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === "" || right === "") return (left === "") - (right === "");
    const difference = left - right;
    return sign * (Number.isNaN(difference) ? left.localeCompare(right, undefined, { numeric: true }) : difference);
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
}

for (const heading of document.querySelectorAll("th[aria-sort]")) {
  heading.querySelector("button").addEventListener("click", () => sort(heading));
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const rows = document.getElementById(input.dataset.filter).tBodies[0].rows;
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

document.getElementById("theme").addEventListener("click", () => {
  const style = document.documentElement.style;
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!style.colorScheme && matchMedia("(prefers-color-scheme: dark)").matches);
  style.colorScheme = isDark ? "light" : "dark";
});
