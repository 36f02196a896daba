// Draws one plane on a canvas: grey image, lesions, brain outline, crosshair, and the marks that make it readable alone.

import { PLANES, cut, sample } from "./volumes.js";

const LINE = "#78be82", TEXT = "#ebebeb", OUTLINE_PIXELS = 1.6;
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

// Draw a plane. `scene`: {image, labels, lesions, brain} volumes, null until they are loaded; `look`: see viewer.js.
export function draw(canvas, frame, scene, look) {
  const context = canvas.getContext("2d");
  const ratio = canvas.width / frame.width;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, frame.width, frame.height);
  const index = look.point[frame.plane.axis];
  if (scene.image) drawGrey(context, frame, scene.image, index, look.window);
  if (scene.brain && look.brain) {
    outline(context, frame, cut(scene.brain, frame.plane, index), 1, look.brainColour, 1, 0);
  }
  if (look.overlay !== "hidden") drawLesions(context, frame, scene, index, look);
  drawCrosshair(context, frame, look.point);
  drawMarks(context, frame, look, index);
}

function drawGrey(context, frame, image, index, window) {
  const { volume, matrix, fine } = image;
  const plane = matrix
    ? sample(volume, matrix, frame.grid.shape, frame.plane, index, fine)
    : cut(volume, frame.plane, index);
  const table = new Uint32Array(256);
  const width = Math.max(window.high - window.low, 1e-6);
  for (let value = 0; value < 256; value++) {
    const grey = Math.max(0, Math.min(255, Math.round((255 * (value - window.low)) / width)));
    table[value] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  paint(context, frame, plane, (value) => table[value], true);
}

// Draw the pixels of a plane, enlarged to the box of the frame.
function paint(context, frame, plane, colourOf, smooth) {
  scratch.width = plane.columns;
  scratch.height = plane.rows;
  const pixels = new ImageData(plane.columns, plane.rows);
  const words = new Uint32Array(pixels.data.buffer);
  for (let place = 0; place < words.length; place++) words[place] = colourOf(plane.values[place]);
  scratch.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(scratch, ...frame.box);
}

function drawLesions(context, frame, scene, index, look) {
  const labels = scene.labels && cut(scene.labels, frame.plane, index);
  if (labels && labels.values.some((value) => value > 0)) {
    if (look.overlay === "filled") {
      const alpha = Math.round(255 * look.opacity) << 24;
      const words = new Map(look.classes.map(({ value, rgb: [r, g, b] }) => [value, alpha | (b << 16) | (g << 8) | r]));
      paint(context, frame, labels, (value) => words.get(value) ?? 0, false);
    } else {
      for (const { value, colour } of look.classes) {
        outline(context, frame, labels, value, colour, OUTLINE_PIXELS, 0.5, look.opacity);
      }
    }
  }
  if (scene.lesions && look.selected) {
    const lesions = cut(scene.lesions, frame.plane, index);
    outline(context, frame, lesions, look.selected, look.selectedColour, OUTLINE_PIXELS, -0.75);
  }
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
