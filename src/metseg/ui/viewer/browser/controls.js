// The controls above the pictures. They show the state of the viewer, and change it through `actions`.

import { PLANES } from "./volumes.js";

const LAYOUTS = { planes: "3 planes", one: "1 plane", sequences: "Side by side", rendering: "3D" };
const OVERLAYS = { outline: "Outline", filled: "Filled", hidden: "Hidden" };
const KEYS = [
  ["↑ ↓, wheel", "next, previous slice"],
  ["PgUp, PgDn", "ten slices"],
  ["n, p", "next, previous lesion"],
  ["1 to 4", "sequence"],
  ["w, s", "window wider, narrower"],
  ["e, d", "level up, down"],
  ["right drag", "level and width"],
  ["o, b", "lesions, brain outline"],
  ["+, −, Ctrl+wheel", "zoom"],
  ["Alt+drag", "move the picture"],
  ["r, f", "reset, full screen"],
];

const element = (id) => document.getElementById(id);

function option(value, title) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = title;
  return made;
}

function button(title, onClick) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = title;
  made.onclick = onClick;
  return made;
}

// Connect the controls once.
export function connectControls(actions) {
  element("plane").append(...Object.entries(PLANES).map(([name, plane]) => option(name, plane.title)));
  element("overlay").append(...Object.entries(OVERLAYS).map(([name, title]) => option(name, title)));
  element("plane").onchange = (event) => actions.set({ plane: event.target.value });
  element("overlay").onchange = (event) => actions.set({ overlay: event.target.value });
  element("opacity").oninput = (event) => actions.set({ opacity: Number(event.target.value) });
  element("map").onchange = (event) => actions.set({ map: event.target.value });
  element("brain").onchange = (event) => actions.set({ brain: event.target.checked });
  element("preset").onchange = (event) => actions.usePreset(event.target.value);
  element("level").oninput = (event) => actions.setWindow(Number(event.target.value), null);
  element("width").oninput = (event) => actions.setWindow(null, Number(event.target.value));
  element("fullscreen").onclick = actions.toggleFullScreen;
  for (const select of document.querySelectorAll("select, input")) {
    // The keys of the viewer work at once after a choice, instead of changing it.
    select.addEventListener("change", () => element("viewer").focus());
  }
}

let shown = "";

// Show the state in the controls, if it has changed: controls that are in use must not be replaced.
export function showControls(state, actions) {
  const { images, brain, classes, maps } = state.study;
  const now = JSON.stringify([
    images.map(({ name }) => name), classes, brain, state.active, state.layout, state.plane, state.overlay,
    state.opacity, state.brain, state.preset, state.windows[state.active], state.selected,
    maps.map(({ name }) => name), state.map,
  ]);
  if (now === shown) return;
  shown = now;
  const names = images.length > 1 ? images : [];
  element("sequences").replaceChildren(
    ...names.map(({ name, title, shortTitle }, place) => {
      const made = button(`${place + 1} ${shortTitle}`, () => actions.set({ active: name }));
      made.title = title;
      made.setAttribute("aria-pressed", String(name === state.active));
      return made;
    }),
  );
  element("layouts").replaceChildren(
    ...Object.entries(LAYOUTS)
      .filter(([name]) => name !== "sequences" || images.length > 1)
      .map(([name, title]) => {
        const made = button(title, () => actions.set({ layout: name }));
        made.setAttribute("aria-pressed", String(name === state.layout));
        return made;
      }),
  );
  element("plane").value = state.plane;
  element("plane").style.display = ["one", "sequences"].includes(state.layout) ? "" : "none";
  element("overlay").value = state.overlay;
  element("opacity").value = state.opacity;
  element("map").replaceChildren(option("", "None"), ...maps.map(({ name, title }) => option(name, title)));
  element("map").value = state.map;
  element("map-label").style.display = maps.length ? "" : "none";
  element("brain").checked = state.brain;
  element("brain-label").style.display = brain ? "" : "none";
  showWindow(state);
  showLegend(state);
}

function showWindow(state) {
  const image = state.study.images.find(({ name }) => name === state.active);
  const presets = element("preset"), names = Object.keys(image.presets);
  presets.replaceChildren(...names.map((name) => option(name, name)), option("", "Own"));
  presets.value = state.preset;
  const { low, high } = state.windows[image.name];
  const round = (value) => (Math.abs(value) >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(3));
  element("level").value = (low + high) / 2;
  element("width").value = high - low;
  element("level-value").textContent = round(((low + high) / 2) * image.slope + image.intercept);
  element("width-value").textContent = round((high - low) * image.slope);
}

function showLegend(state) {
  const { classes, brain, colours, maps, mapColours } = state.study;
  const shownMaps = maps.filter(({ name }) => name === state.map);
  const entry = (kind, property, colour, title) => {
    const sign = document.createElement("span");
    sign.className = kind;
    sign.style[property] = colour;
    const made = document.createElement("span");
    made.append(sign, title);
    return made;
  };
  element("legend").replaceChildren(
    ...classes.map(({ colour, title }) => entry("square", "background", colour, title)),
    ...(state.selected ? [entry("square", "background", colours.selected, `lesion ${state.selected}, selected`)] : []),
    ...shownMaps.map(({ legend }) => entry("gradient", "cssText", mapColours.gradient, legend)),
    ...(brain && state.brain ? [entry("line", "borderColor", colours.brain, "brain outline")] : []),
  );
}

// Return a cell with the list of keys.
export function keyList() {
  const cell = document.createElement("div");
  cell.className = "cell keys";
  const words = document.createElement("p");
  words.textContent = "Keys, after a click in a picture:";
  const table = document.createElement("table");
  for (const texts of KEYS) {
    const row = table.insertRow();
    for (const text of texts) row.insertCell().textContent = text;
  }
  cell.append(words, table);
  return cell;
}
