// The 3D rendering, by NiiVue and WebGL; its script is loaded when it is first wanted.

let niivue = null;

function loadScript() {
  niivue ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "niivue/niivue.umd.js";
    script.onload = () => resolve(window.niivue);
    script.onerror = () => reject(new Error("the 3D rendering could not be loaded"));
    document.head.append(script);
  });
  return niivue;
}

// Return an object with `show` for a canvas.
export async function createRendering(canvas) {
  const { Niivue, NVImage } = await loadScript();
  const options = { isResizeCanvas: true, dragAndDropEnabled: false, logLevel: "error", backColor: [0, 0, 0, 1] };
  const viewer = new Niivue(options);
  await viewer.attachToCanvas(canvas);
  if (!viewer.gl) throw new Error("this browser has no WebGL");
  viewer.setSliceType(viewer.sliceTypeRender);
  let shown = "";
  return {
    // Show an image and its lesions. Without a brain mask the skull is drawn too; lesions shine through.
    async show({ key, image, brain, labels, window, classes, opacity }) {
      if (key !== shown) {
        shown = key;
        for (const volume of [...viewer.volumes]) viewer.removeVolume(volume);
        viewer.addVolume(await read(NVImage, brain ? inBrain(image, brain) : image.file, "image.nii"));
        viewer.addVolume(await read(NVImage, labels.file, "lesions.nii"));
        viewer.volumes[1].setColormapLabel(labelColours(classes));
      }
      Object.assign(viewer.volumes[0], { cal_min: window.low, cal_max: window.high });
      viewer.volumes[1].opacity = opacity;
      viewer.updateGLVolume();
    },
  };
}

async function read(NVImage, content, name) {
  const url = URL.createObjectURL(new Blob([content]));
  try {
    return await NVImage.loadFromUrl({ url, name });
  } finally {
    URL.revokeObjectURL(url);
  }
}

// Return the file of an image with black outside the brain.
function inBrain(image, brain) {
  const file = image.file.slice(0);
  const data = new Uint8Array(file, image.data.byteOffset, image.data.length);
  for (let place = 0; place < data.length; place++) if (!brain.data[place]) data[place] = 0;
  return file;
}

function labelColours(classes) {
  const all = [{ value: 0, rgb: [0, 0, 0], title: "" }, ...classes];
  const colour = (place) => all.map(({ rgb }) => rgb[place]);
  return {
    R: colour(0), G: colour(1), B: colour(2), A: all.map(({ value }) => (value ? 255 : 0)),
    I: all.map(({ value }) => value), labels: all.map(({ title }) => title),
  };
}
