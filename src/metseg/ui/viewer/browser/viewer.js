// The viewer: its state, its pictures, and what pointer and keys do. Slices, window and keys never ask the page.

import { connectControls, keyList, showControls } from "./controls.js";
import { Frame, draw, fitScale } from "./planes.js";
import { createRendering } from "./rendering3d.js";
import { connect, report, setHeight } from "./streamlit.js";
import { PLANES, keepOnly, load, valueAt } from "./volumes.js";

const MOST_SHOWN = 4, LARGEST_ZOOM = 16, PAGE_SLICES = 10, NOTCH = 50, REPORT_AFTER_MS = 400, FINEST = 4, NARROW = 360;
const root = document.getElementById("viewer"), cells = document.getElementById("cells");
const state = {
  study: null, // the arguments of the page
  images: new Map(), // volume, matrix and fineness of each sequence that is loaded, by name
  overlays: {}, // volumes: labels, lesions, brain
  maps: new Map(), // volume of each map that is loaded, by name
  map: "", // name of the map over the images; empty: none
  layout: "planes", plane: "axial",
  active: "", // name of the sequence that controls and keys change
  windows: {}, preset: "",
  overlay: "outline", shownOverlay: "outline", opacity: 0.8, brain: true,
  point: null, selected: null, zoom: 1, centre: null,
};
const reported = { count: 0, all: false, timer: 0, place: "" };
let pictures = []; // {cell, canvas, plane, name of its sequence or null, frame, cache}
let rendering = null;
let scheduled = 0;

// ---- what the page says

connect(async (study, theme) => {
  useTheme(theme);
  setHeight(study.height);
  const isFirst = state.study === null;
  const hasMore = !isFirst && study.images.length > state.study.images.length;
  const isMoved = isFirst || study.serial !== state.study.serial;
  state.study = study;
  for (const image of study.images) state.windows[image.name] ??= presetOf(image, state.preset || study.preset);
  if (isFirst) Object.assign(state, { preset: study.preset, active: study.reference });
  if (isMoved) {
    state.point = study.point;
    state.selected = study.selected;
    state.centre = state.zoom > 1 ? study.point : middle();
    reported.place = placeOf();
  }
  if (isFirst || (state.layout === "sequences" && hasMore)) arrange();
  update();
  await loadVolumes(study);
  if (!reported.all) {
    reported.all = true;
    sendReport("ready");
  }
});

async function loadVolumes(study) {
  const overlays = ["labels", "lesions", "brain"].filter((name) => study[name]);
  keepOnly([...study.images, ...study.maps, ...overlays.map((name) => study[name])].map(({ url }) => url));
  try {
    await loadImage(activeImage());
    for (const name of overlays) {
      const volume = await load(study[name].url);
      if (study !== state.study) return; // the page has sent others in the meantime
      state.overlays[name] = volume;
    }
    update();
    for (const image of study.images) await loadImage(image);
    for (const { name, url } of study.maps) state.maps.set(name, await load(url));
  } catch (error) {
    say(`The images could not be shown: ${error.message}.`);
  }
  update();
}

async function loadImage(image) {
  const volume = await load(image.url);
  const { matrix } = image;
  // A sequence with smaller voxels than the reference is drawn with its own detail.
  const fine = matrix ? Math.ceil(Math.max(...[0, 1, 2].map((axis) => longest(matrix, axis))) - 0.01) : 1;
  state.images.set(image.name, { volume, matrix, fine: Math.min(Math.max(fine, 1), FINEST) });
}

// Return how many voxels of an image lie along one voxel of the study, in the direction that has most.
function longest(matrix, axis) {
  return Math.max(...matrix.map((line) => Math.abs(line[axis])));
}

function useTheme(theme) {
  if (!theme) return;
  const style = document.documentElement.style;
  style.colorScheme = theme.base === "dark" ? "dark" : "light";
  style.setProperty("--text", theme.textColor);
  style.setProperty("--page", theme.backgroundColor);
  style.setProperty("--second", theme.secondaryBackgroundColor);
  style.setProperty("--primary", theme.primaryColor);
}

// ---- what the page is told

function sendReport(by) {
  reported.count += 1;
  reported.place = placeOf();
  report({ voxel: state.point, lesion: state.selected, by, count: reported.count, all: reported.all });
}

function placeOf() {
  return JSON.stringify([state.point, state.selected]);
}

function reportSoon(by) {
  clearTimeout(reported.timer);
  reported.timer = setTimeout(() => sendReport(by), REPORT_AFTER_MS);
}

// Slices passed through by keys and wheel are reported when the pointer leaves: controls of the page need the place then.
// The pointer often leaves for a row of the table, so this report must change no selection.
function reportLeaving() {
  if (state.study && placeOf() !== reported.place) sendReport("place");
}
root.addEventListener("pointerleave", reportLeaving);
window.addEventListener("blur", reportLeaving);

// ---- state

function middle() {
  return state.study.grid.shape.map((size) => (size - 1) / 2);
}

function presetOf(image, name) {
  const [low, high] = image.presets[name] ?? image.presets[state.study.preset];
  return { low, high };
}

function move(point) {
  state.point = point.map((value, axis) => Math.min(Math.max(value, 0), state.study.grid.shape[axis] - 1));
  update();
}

function step(name, slices) {
  const point = [...state.point];
  point[PLANES[name].axis] += slices;
  move(point);
}

function stepLesion(by) {
  const list = state.study.lesionList;
  if (!list.length) return;
  const now = list.findIndex(({ id }) => id === state.selected);
  const next = now < 0 ? (by > 0 ? 0 : list.length - 1) : (now + by + list.length) % list.length;
  state.selected = list[next].id;
  if (state.zoom > 1) state.centre = list[next].voxel;
  move(list[next].voxel);
  reportSoon("lesion");
}

function selectAt(point) {
  const found = state.overlays.lesions ? valueAt(state.overlays.lesions, point) : 0;
  if (found) state.selected = found;
}

function zoomBy(factor) {
  const zoom = Math.min(Math.max(state.zoom * factor, 1), LARGEST_ZOOM);
  if (zoom === 1) state.centre = middle();
  else if (state.zoom === 1) state.centre = state.point;
  state.zoom = zoom;
  update();
}

function activeImage() {
  return state.study.images.find(({ name }) => name === state.active);
}

const actions = {
  set(changes) {
    const wasArranged = `${state.layout} ${state.plane}`;
    Object.assign(state, changes);
    if (state.overlay !== "hidden") state.shownOverlay = state.overlay;
    if (`${state.layout} ${state.plane}` !== wasArranged) arrange();
    update();
  },
  usePreset(name) {
    if (!name) return;
    state.preset = name;
    for (const image of state.study.images) state.windows[image.name] = presetOf(image, name);
    update();
  },
  // Change level and width of the active sequence, in grey steps; null: unchanged.
  setWindow(level, width) {
    const { low, high } = state.windows[activeImage().name];
    const wide = Math.min(Math.max(width ?? high - low, 1), 255);
    const centre = Math.min(Math.max(level ?? (low + high) / 2, 0), 255);
    state.windows[activeImage().name] = { low: centre - wide / 2, high: centre + wide / 2 };
    state.preset = "";
    update();
  },
  toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else root.requestFullscreen();
  },
};

function changeWindow(level, width) {
  const { low, high } = state.windows[activeImage().name];
  actions.setWindow((low + high) / 2 + level, (high - low) * width);
}

// ---- pictures

function arrange() {
  const { images } = state.study;
  const shown = images.slice(0, MOST_SHOWN);
  rendering = null;
  pictures = [];
  const boxes = {
    planes: () => [...Object.keys(PLANES).map((plane) => addPicture(plane, null)), keyList()],
    one: () => [addPicture(state.plane, null)],
    sequences: () => shown.map((image) => addPicture(state.plane, image.name)),
    rendering: () => [addRendering()],
  }[state.layout]();
  const columns = boxes.length > 1 ? 2 : 1;
  cells.style.gridTemplate = `repeat(${Math.ceil(boxes.length / columns)}, 1fr) / repeat(${columns}, 1fr)`;
  cells.replaceChildren(...boxes);
}

function addPicture(plane, name) {
  const cell = document.createElement("div"), canvas = document.createElement("canvas");
  cell.className = "cell";
  canvas.setAttribute("role", "img");
  cell.append(canvas);
  const picture = { cell, canvas, plane, name, frame: null, cache: new Map() };
  pictures.push(picture);
  connectPointer(picture);
  return cell;
}

function addRendering() {
  const cell = document.createElement("div"), canvas = document.createElement("canvas");
  const words = document.createElement("div");
  cell.className = "cell";
  words.className = "words";
  words.textContent = `${state.study.caseLabel}, ${state.study.notice}`;
  cell.append(canvas, words);
  rendering = createRendering(canvas).catch((error) => say(`No 3D rendering: ${error.message}.`));
  return cell;
}

function say(text) {
  const message = document.createElement("div");
  message.className = "message";
  message.textContent = text;
  cells.firstElementChild.append(message);
}

// Draw everything at the next frame of the screen, once.
function update() {
  cancelAnimationFrame(scheduled);
  scheduled = requestAnimationFrame(() => {
    const start = performance.now();
    showControls(state, actions);
    if (rendering) drawRendering();
    for (const picture of pictures) drawPicture(picture);
    root.dataset.drawMs = (performance.now() - start).toFixed(2);
    root.dataset.point = state.point.join(" ");
  });
}
new ResizeObserver(() => state.study && update()).observe(cells);

function drawPicture(picture) {
  const { study, overlays } = state;
  const image = study.images.find(({ name }) => name === picture.name) ?? activeImage();
  const { width, height } = picture.cell.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  // Setting a size clears the canvas and allocates it anew, even if it is the same size.
  if (picture.canvas.width !== size.width || picture.canvas.height !== size.height) Object.assign(picture.canvas, size);
  const fits = pictures.map(({ plane }) => fitScale(study.grid, PLANES[plane], width, height));
  const scale = Math.min(...fits) * state.zoom; // the same in all pictures
  picture.frame = new Frame(study.grid, picture.plane, width, height, scale, state.centre);
  const scene = { image: state.images.get(image.name), labels: overlays.labels, lesions: overlays.lesions };
  if (study.brain) scene.brain = overlays.brain;
  scene.map = state.maps.get(state.map);
  draw(picture, scene, {
    point: state.point,
    window: state.windows[image.name],
    overlay: state.overlay,
    opacity: state.opacity,
    brain: state.brain,
    brainColour: study.colours.brain,
    mapTable: study.mapColours.table,
    classes: study.classes,
    selected: state.selected,
    selectedColour: study.colours.selected,
    title: `${width < NARROW ? image.shortTitle : image.title}${scene.image ? "" : " …"}`,
    caseLabel: study.caseLabel,
    notice: study.notice,
    bar: study.bar,
  });
  const { title, axis } = PLANES[picture.plane];
  const slice = `${title} ${state.point[axis] + 1} of ${study.grid.shape[axis]}`;
  picture.canvas.setAttribute("aria-label", `${slice}, ${image.title}`);
  picture.cell.classList.toggle("active", picture.name !== null && image.name === activeImage().name);
}

async function drawRendering() {
  const viewer = await rendering, image = state.images.get(activeImage().name), { labels, brain } = state.overlays;
  if (!viewer || !image || !labels) return;
  await viewer.show({
    key: `${activeImage().url} ${state.study.labels.url}`,
    image: image.volume,
    brain: image.matrix ? null : brain,
    labels,
    window: state.windows[activeImage().name],
    classes: state.study.classes,
    opacity: state.overlay === "hidden" ? 0 : state.opacity,
  });
}

// ---- pointer and keys

let pointed = "axial"; // the plane that keys step through

function connectPointer(picture) {
  const { canvas } = picture;
  let drag = null, turned = 0;
  const pointAt = (event) => picture.frame?.voxel(event.offsetX, event.offsetY, state.point);
  canvas.oncontextmenu = (event) => event.preventDefault();
  canvas.onpointerenter = () => {
    pointed = picture.plane;
  };
  canvas.onpointerdown = (event) => {
    event.preventDefault();
    root.focus();
    canvas.setPointerCapture(event.pointerId);
    if (picture.name) state.active = picture.name;
    const kind = event.button === 2 || event.shiftKey ? "window" : event.button === 1 || event.altKey ? "pan" : "point";
    drag = { kind, x: event.clientX, y: event.clientY };
    const point = kind === "point" && pointAt(event);
    if (point) move(point);
    update();
  };
  canvas.onpointermove = (event) => {
    if (!drag) return;
    const across = event.clientX - drag.x, down = event.clientY - drag.y;
    Object.assign(drag, { x: event.clientX, y: event.clientY });
    if (drag.kind === "window") changeWindow(-down / 3, 1 + across / 200);
    else if (drag.kind === "pan") pan(picture, across, down);
    else move(pointAt(event) ?? state.point);
  };
  canvas.onpointerup = () => {
    if (drag?.kind === "point") {
      selectAt(state.point);
      update();
      sendReport("click");
    }
    drag = null;
  };
  canvas.onwheel = (event) => {
    event.preventDefault();
    if (event.ctrlKey) return zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    turned += event.deltaMode ? NOTCH * Math.sign(event.deltaY) : event.deltaY;
    if (Math.abs(turned) < NOTCH) return;
    step(picture.plane, turned < 0 ? 1 : -1);
    turned = 0;
  };
}

function pan(picture, across, down) {
  const centre = [...state.centre], { plane, size } = picture.frame;
  centre[plane.across] += across / size[0];
  centre[plane.up] += down / size[1];
  state.centre = centre;
  update();
}

const KEY_ACTIONS = {
  ArrowUp: () => step(keyPlane(), 1),
  ArrowRight: () => step(keyPlane(), 1),
  ArrowDown: () => step(keyPlane(), -1),
  ArrowLeft: () => step(keyPlane(), -1),
  PageUp: () => step(keyPlane(), PAGE_SLICES),
  PageDown: () => step(keyPlane(), -PAGE_SLICES),
  n: () => stepLesion(1),
  p: () => stepLesion(-1),
  w: () => changeWindow(0, 1.1),
  s: () => changeWindow(0, 1 / 1.1),
  e: () => changeWindow(4, 1),
  d: () => changeWindow(-4, 1),
  o: () => actions.set({ overlay: state.overlay === "hidden" ? state.shownOverlay : "hidden" }),
  b: () => actions.set({ brain: !state.brain }),
  "+": () => zoomBy(1.25),
  "=": () => zoomBy(1.25),
  "-": () => zoomBy(1 / 1.25),
  r: () => {
    state.zoom = 1;
    state.centre = middle();
    actions.usePreset(state.study.preset);
  },
  f: () => actions.toggleFullScreen(),
};

function keyPlane() {
  return ["one", "sequences"].includes(state.layout) ? state.plane : pointed;
}

root.addEventListener("keydown", (event) => {
  if (!state.study || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const image = state.study.images.slice(0, MOST_SHOWN)[Number(key) - 1];
  if (image) actions.set({ active: image.name });
  else if (KEY_ACTIONS[key]) KEY_ACTIONS[key]();
  else return;
  event.preventDefault();
});

connectControls(actions);
