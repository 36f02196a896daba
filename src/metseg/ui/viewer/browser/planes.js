// Draws one plane on a canvas: grey image, lesions, brain outline, crosshair, and the marks that make it readable alone.

import { PLANES, cut, sample } from "./volumes.js";

const LINE = "#78be82", TEXT = "#ebebeb", THICKEST = 2;
const scratch = document.createElement("canvas");

// Return the pixels per millimetre at which a plane fits into a box.
export function fitScale(grid, plane, width, height) {
  const across = grid.shape[plane.across] * grid.spacing[plane.across];
  const up = grid.shape[plane.up] * grid.spacing[plane.up];
  return Math.min(width / across, height / up);
}

// Positions on the canvas of voxels of the study, and back. `centre` is the voxel in the middle of the picture.
export class Frame {
  constructor(grid, name, width, height, scale, centre) {
    Object.assign(this, { grid, width, height, plane: PLANES[name] });
    this.size = [grid.spacing[this.plane.across] * scale, grid.spacing[this.plane.up] * scale]; // pixels per voxel
    this.middle = [centre[this.plane.across], centre[this.plane.up]];
    this.scale = scale;
  }
  left(x) {
    return this.width / 2 + (this.middle[0] - x) * this.size[0];
  }
  top(y) {
    return this.height / 2 + (this.middle[1] - y) * this.size[1];
  }
  // Return the voxel at a position on the canvas, in the slice of `point`; null outside the volume.
  voxel(left, top, point) {
    const found = [...point];
    found[this.plane.across] = Math.round(this.middle[0] - (left - this.width / 2) / this.size[0]);
    found[this.plane.up] = Math.round(this.middle[1] - (top - this.height / 2) / this.size[1]);
    return found.every((value, axis) => value >= 0 && value < this.grid.shape[axis]) ? found : null;
  }
  // Return left, top, width and height of the whole plane on the canvas.
  get box() {
    const columns = this.grid.shape[this.plane.across], rows = this.grid.shape[this.plane.up];
    return [this.left(columns - 0.5), this.top(rows - 0.5), columns * this.size[0], rows * this.size[1]];
  }
}

// Draw a picture: {canvas, frame, cache}. `scene`: {image, map, labels, lesions, brain} volumes, missing until they are
// loaded; `look`: see viewer.js.
export function draw({ canvas, frame, cache }, scene, look) {
  const context = canvas.getContext("2d");
  const ratio = canvas.width / frame.width;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, frame.width, frame.height);
  const index = look.point[frame.plane.axis];
  const planeOf = (name) =>
    remember(cache, name, [scene[name], index], () => cut(scene[name], frame.plane, index));
  if (scene.image) drawGrey(context, frame, cache, scene.image, index, look.window);
  if (scene.map) drawMap(context, frame, planeOf("map"), look.mapTable);
  if (scene.brain && look.brain) outline(context, frame, planeOf("brain"), 1, look.brainColour, 1, 0);
  if (scene.labels && look.overlay === "filled") fill(context, frame, planeOf("labels"), look);
  if (scene.labels && look.overlay === "outline") {
    for (const { value, colour } of look.classes) {
      outline(context, frame, planeOf("labels"), value, colour, lineWidth(frame), 0.5, look.opacity);
    }
  }
  if (scene.lesions && look.selected && look.overlay !== "hidden") {
    outline(context, frame, planeOf("lesions"), look.selected, look.selectedColour, lineWidth(frame), -0.75);
  }
  drawCrosshair(context, frame, look.point);
  drawMarks(context, frame, look, index);
}

// Return what was made for the same key before, or make it: a step through one plane leaves the others as they are.
function remember(cache, name, key, make) {
  const known = cache.get(name);
  if (known && known.key.every((part, place) => part === key[place])) return known.value;
  const value = make();
  cache.set(name, { key, value });
  return value;
}

// Return the width of outlines: thinner where voxels are small on the screen.
function lineWidth(frame) {
  return Math.min(Math.max(0.6 * Math.min(...frame.size), 1), THICKEST);
}

function drawGrey(context, frame, cache, image, index, window) {
  const { volume, matrix, fine } = image;
  const plane = remember(cache, "image", [volume, index], () =>
    matrix
      ? sample(volume, matrix, frame.grid.shape, frame.plane, index, fine)
      : cut(volume, frame.plane, index),
  );
  const pixels = remember(cache, "grey", [plane, window.low, window.high], () => {
    const table = greyTable(window);
    return coloured(plane, (value) => table[value]);
  });
  paint(context, frame, pixels, true);
}

function greyTable({ low, high }) {
  const width = Math.max(high - low, 1e-6);
  return Uint32Array.from({ length: 256 }, (_, value) => {
    const grey = Math.max(0, Math.min(255, Math.round((255 * (value - low)) / width)));
    return (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0;
  });
}

function fill(context, frame, labels, { classes, opacity }) {
  if (!labels.values.some((value) => value > 0)) return;
  const alpha = Math.round(255 * opacity) << 24;
  const words = new Map(classes.map(({ value, rgb: [r, g, b] }) => [value, alpha | (b << 16) | (g << 8) | r]));
  paint(context, frame, coloured(labels, (value) => words.get(value) ?? 0), false);
}

// Draw a map over the image. `table`: red, green, blue and opacity of each value.
function drawMap(context, frame, values, table) {
  const words = table.map(([r, g, b, a]) => ((a << 24) | (b << 16) | (g << 8) | r) >>> 0);
  paint(context, frame, coloured(values, (value) => words[value]), true);
}

// Return the pixels of a plane; `colourOf` gives alpha, blue, green and red of a value as one number.
function coloured({ values, columns, rows }, colourOf) {
  const pixels = new ImageData(columns, rows);
  const words = new Uint32Array(pixels.data.buffer);
  for (let place = 0; place < words.length; place++) words[place] = colourOf(values[place]);
  return pixels;
}

// Draw pixels, enlarged to the box of the frame.
function paint(context, frame, pixels, isSmooth) {
  scratch.width = pixels.width;
  scratch.height = pixels.height;
  scratch.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = isSmooth;
  context.imageSmoothingQuality = "medium";
  context.drawImage(scratch, ...frame.box);
}

// Draw a line along the edges of the pixels with a value. `inset`: how far inside, in line widths; negative: outside.
function outline(context, frame, plane, value, colour, width, inset, opacity = 1) {
  const { values, columns, rows } = plane;
  if (!values.includes(value)) return;
  const [left, top] = frame.box, [across, down] = frame.size, shift = inset * width;
  const is = (column, row) =>
    column >= 0 && row >= 0 && column < columns && row < rows && values[row * columns + column] === value;
  context.beginPath();
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      if (values[row * columns + column] !== value) continue;
      const x0 = left + column * across, x1 = x0 + across, y0 = top + row * down, y1 = y0 + down;
      const line = (ax, ay, bx, by) => (context.moveTo(ax, ay), context.lineTo(bx, by));
      if (!is(column - 1, row)) line(x0 + shift, y0, x0 + shift, y1);
      if (!is(column + 1, row)) line(x1 - shift, y0, x1 - shift, y1);
      if (!is(column, row - 1)) line(x0, y0 + shift, x1, y0 + shift);
      if (!is(column, row + 1)) line(x0, y1 - shift, x1, y1 - shift);
    }
  }
  context.globalAlpha = opacity;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineCap = "square";
  context.stroke();
  context.globalAlpha = 1;
}

// Draw the crosshair with a gap, so that it never covers what it points at.
function drawCrosshair(context, frame, point) {
  const x = frame.left(point[frame.plane.across]), y = frame.top(point[frame.plane.up]);
  const gap = Math.max(12, 5 * frame.scale);
  context.beginPath();
  context.moveTo(0, y), context.lineTo(x - gap, y);
  context.moveTo(x + gap, y), context.lineTo(frame.width, y);
  context.moveTo(x, 0), context.lineTo(x, y - gap);
  context.moveTo(x, y + gap), context.lineTo(x, frame.height);
  context.strokeStyle = LINE;
  context.lineWidth = 1;
  context.globalAlpha = 0.75;
  context.stroke();
  context.globalAlpha = 1;
}

function drawMarks(context, frame, look, index) {
  const { width, height, plane } = frame;
  const [left, right, top, bottom] = plane.marks;
  const large = "600 15px sans-serif", small = "12px sans-serif";
  write(context, left, 8, height / 2, large, "left", "middle");
  write(context, right, width - 8, height / 2, large, "right", "middle");
  write(context, top, width / 2, 6, large, "center", "top");
  write(context, bottom, width / 2, height - 6, large, "center", "bottom");
  write(context, look.title, 8, 7, "600 13px sans-serif", "left", "top");
  write(context, `${plane.title} ${index + 1} of ${frame.grid.shape[plane.axis]}`, 8, 24, small, "left", "top");
  write(context, look.caseLabel, 8, height - 20, "11px sans-serif", "left", "bottom");
  write(context, look.notice, 8, height - 7, "11px sans-serif", "left", "bottom");
  drawBar(context, frame, look.bar, small);
}

function drawBar(context, frame, bar, font) {
  const field = frame.width / frame.scale; // mm
  const fitting = bar.lengths.filter((length) => length <= bar.share * field);
  const length = fitting.length ? Math.max(...fitting) : bar.lengths[0];
  const right = frame.width - 10, bottom = frame.height - 10, left = right - length * frame.scale;
  for (const [colour, thickness] of [["#000", 5], [TEXT, 3]]) {
    context.fillStyle = colour;
    context.fillRect(left, bottom - thickness / 2, right - left, thickness);
  }
  write(context, `${length} mm`, right, bottom - 5, font, "right", "bottom");
}

function write(context, text, x, y, font, align, baseline) {
  context.font = font;
  context.textAlign = align;
  context.textBaseline = baseline;
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = "#000";
  context.strokeText(text, x, y);
  context.fillStyle = TEXT;
  context.fillText(text, x, y);
}
