// Volumes in the browser: fetched once, cut into planes.

const TYPES = { 2: Uint8Array, 512: Uint16Array, 768: Uint32Array };
const volumes = new Map();

// The planes as on a light box: the patient's right on the left, the nose on the left in sagittal planes.
// `across` runs from right to left on the screen, `up` from bottom to top. Marks: left, right, top, bottom.
export const PLANES = {
  axial: { title: "Axial", axis: 2, across: 0, up: 1, marks: ["R", "L", "A", "P"] },
  coronal: { title: "Coronal", axis: 1, across: 0, up: 2, marks: ["R", "L", "S", "I"] },
  sagittal: { title: "Sagittal", axis: 0, across: 1, up: 2, marks: ["A", "P", "S", "I"] },
};

// Return a promise of the volume in a gzipped NIfTI file: {data, shape, file}. Each address is fetched once.
export function load(url) {
  if (!volumes.has(url)) volumes.set(url, fetchVolume(url));
  return volumes.get(url);
}

// Forget the volumes that are no longer shown, so that memory stays bounded.
export function keepOnly(urls) {
  for (const url of volumes.keys()) if (!urls.includes(url)) volumes.delete(url);
}

async function fetchVolume(url) {
  // The address begins at the root of the page, which may lie below a path of a proxy; this frame is two folders below.
  const response = await fetch(new URL(`../..${url}`, location.href));
  if (!response.ok) {
    volumes.delete(url);
    throw new Error(`the images could not be fetched (status ${response.status})`);
  }
  const file = await new Response(response.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  const header = new DataView(file);
  const shape = [42, 44, 46].map((place) => header.getInt16(place, true));
  const Type = TYPES[header.getInt16(70, true)];
  const data = new Type(file, header.getFloat32(108, true), shape[0] * shape[1] * shape[2]);
  return { data, shape, file };
}

export function valueAt(volume, point) {
  const [x, y, z] = point;
  return volume.data[x + volume.shape[0] * (y + volume.shape[1] * z)];
}

// Return a plane of a volume on the grid of the study: {values, columns, rows}, as on the screen.
export function cut(volume, plane, index) {
  const { data, shape } = volume;
  const strides = [1, shape[0], shape[0] * shape[1]];
  const columns = shape[plane.across], rows = shape[plane.up];
  const values = new data.constructor(columns * rows);
  const step = strides[plane.across];
  let place = 0;
  for (let row = 0; row < rows; row++) {
    let from = index * strides[plane.axis] + (rows - 1 - row) * strides[plane.up] + (columns - 1) * step;
    for (let column = 0; column < columns; column++, from -= step) values[place++] = data[from];
  }
  return { values, columns, rows };
}

// Return a plane of an image on a grid of its own, interpolated: `matrix` maps voxels of the study (3 x 4) to voxels of
// the image; `fine` is the number of pixels per voxel of the study.
export function sample(volume, matrix, shape, plane, index, fine) {
  const columns = shape[plane.across] * fine, rows = shape[plane.up] * fine;
  const values = new Uint8Array(columns * rows);
  const corner = [0, 0, 0]; // the upper left pixel, in voxels of the study
  corner[plane.axis] = index;
  corner[plane.up] = shape[plane.up] - 0.5 - 0.5 / fine;
  corner[plane.across] = shape[plane.across] - 0.5 - 0.5 / fine;
  const start = matrix.map((line) => line[0] * corner[0] + line[1] * corner[1] + line[2] * corner[2] + line[3]);
  const right = matrix.map((line) => -line[plane.across] / fine);
  const down = matrix.map((line) => -line[plane.up] / fine);
  let place = 0;
  for (let row = 0; row < rows; row++) {
    let x = start[0] + row * down[0], y = start[1] + row * down[1], z = start[2] + row * down[2];
    for (let column = 0; column < columns; column++) {
      values[place++] = interpolate(volume, x, y, z);
      x += right[0], y += right[1], z += right[2];
    }
  }
  return { values, columns, rows };
}

function interpolate(volume, x, y, z) {
  const { data, shape } = volume;
  const [width, height, depth] = shape;
  if (!(x > -0.5 && y > -0.5 && z > -0.5 && x < width - 0.5 && y < height - 0.5 && z < depth - 0.5)) return 0;
  x = Math.max(0, Math.min(x, width - 1));
  y = Math.max(0, Math.min(y, height - 1));
  z = Math.max(0, Math.min(z, depth - 1));
  const left = Math.floor(x), low = Math.floor(y), under = Math.floor(z);
  const right = left + 1 < width ? 1 : 0;
  const high = low + 1 < height ? width : 0;
  const over = under + 1 < depth ? width * height : 0;
  const a = x - left, b = y - low, c = z - under;
  const at = left + width * (low + height * under);
  const line = (from) => data[from] * (1 - a) + data[from + right] * a;
  const face = (from) => line(from) * (1 - b) + line(from + high) * b;
  return face(at) * (1 - c) + face(at + over) * c + 0.5;
}
