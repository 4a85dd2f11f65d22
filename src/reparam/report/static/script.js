"use strict";

// Half-precision numbers in base 64 -> Float32Array.
function numbersOf(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const halves = new Uint16Array(bytes.buffer);
  return Float32Array.from(halves, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

const softplus = (v) => (v > 30 ? v : Math.log1p(Math.exp(v)));
const sigmoid = (v) => 1 / (1 + Math.exp(-v));
const activations = {
  relu: (v) => Math.max(0, v),
  tanh: Math.tanh,
  silu: (v) => v * sigmoid(v),
  softplus,
  sigmoid,
};

// A function from a code to the means of the pixels: see report/decoder.py.
function makeDecoder(plain) {
  const layers = plain.layers.map((layer) => ({
    rows: layer.shape[0], columns: layer.shape[1],
    weight: numbersOf(layer.weight), bias: numbersOf(layer.bias),
  }));
  const loc = numbersOf(plain.loc), scale = numbersOf(plain.scale);
  const activation = activations[plain.activation];
  const linear = (layer, input) => {
    const output = new Float32Array(layer.rows);
    for (let i = 0, k = 0; i < layer.rows; i++) {
      let sum = layer.bias[i];
      for (let j = 0; j < layer.columns; j++, k++) sum += layer.weight[k] * input[j];
      output[i] = sum;
    }
    return output;
  };
  const links = {
    sigmoid: (raw, i) => sigmoid(raw[i]),
    identity: (raw, i) => loc[i] + scale[i] * raw[i],
    "continuous-bernoulli": (raw, i) => {
      const l = raw[i];
      if (Math.abs(l) < 0.1) return 0.5 + l / 12;
      return 1 / (1 - Math.exp(-l)) - 1 / l;
    },
    logistic: (raw, i) => {
      const n = loc.length;
      const m = loc[i] + scale[i] * raw[i];
      const s = scale[i] * Math.exp(Math.min(0.5 * raw[n + i], 7)) + plain.leastScale;
      return s * (softplus(m / s) - softplus((m - 1) / s));
    },
  };
  const link = links[plain.link];
  return (z) => {
    let h = Float32Array.from(z);
    for (const layer of layers.slice(0, -1)) h = linear(layer, h).map(activation);
    if (plain.skip) h = Float32Array.from([...h, ...z]);
    const raw = linear(layers[layers.length - 1], h);
    return Float32Array.from(loc, (_, i) => Math.min(1, Math.max(0, link(raw, i))));
  };
}

// Draw one image with shape [C, H, W] and values in [0, 1].
function drawImage(canvas, values, shape) {
  const [channels, height, width] = shape;
  const small = new OffscreenCanvas(width, height);
  const context = small.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let p = 0; p < height * width; p++) {
    for (let c = 0; c < 3; c++) {
      pixels.data[4 * p + c] = 255 * values[(channels === 1 ? 0 : c) * height * width + p];
    }
    pixels.data[4 * p + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  fit(canvas, small, 0, 0, width, height);
}

// Draw a part of an image as large as a canvas allows.
function fit(canvas, image, left, top, width, height) {
  const context = canvas.getContext("2d");
  const factor = Math.min(canvas.width / width, canvas.height / height);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(image, left, top, width, height, 0, 0, factor * width, factor * height);
}

function explore(explorer) {
  const known = JSON.parse(explorer.querySelector("script").textContent);
  const canvas = explorer.querySelector("canvas.map");
  const map = latentMap(canvas, known);
  const ink = matchMedia("(prefers-color-scheme: dark)").matches ? "#ffffff" : "#000000";
  const under = explorer.querySelector(".example"), said = explorer.querySelector(".said");
  const decoded = explorer.querySelector(".decoded");
  const decode = known.decoder ? makeDecoder(known.decoder) : null;
  const sprite = known.thumbnails ? new Image() : null;
  if (sprite) sprite.src = known.thumbnails;
  const columns = 40;
  const show = (px, py) => {
    const [chosen] = map.nearest([px, py]);
    map.draw();
    map.ring(known.points[chosen], ink);
    const label = known.labels ? known.labels[chosen] : -1;
    const name = label >= 0 ? ` of class ${known.classes[label]}` : "";
    said.textContent = `the nearest example${name}`;
    if (known.rows) {
      said.textContent = known.columns
        .map((column, j) => `${column}: ${known.rows[chosen][j]}`).join(", ");
    }
    if (sprite && sprite.complete) {
      const rows = Math.ceil(known.points.length / columns);
      const width = sprite.width / columns, height = sprite.height / rows;
      fit(under, sprite, (chosen % columns) * width, Math.floor(chosen / columns) * height,
        width, height);
    }
    if (decode && decoded) {
      const [a, b] = map.back([px, py]);
      const z = known.mean.map((m, k) => m + a * known.axes[0][k] + b * known.axes[1][k]);
      drawImage(decoded, decode(z), known.shape);
    }
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    show((event.clientX - box.left) * (canvas.width / box.width),
      (event.clientY - box.top) * (canvas.height / box.height));
  });
  map.draw();
  const start = () => show(canvas.width / 2, canvas.height / 2);
  if (sprite) sprite.addEventListener("load", start);
  else start();
}

document.querySelectorAll(".explorer").forEach(explore);
