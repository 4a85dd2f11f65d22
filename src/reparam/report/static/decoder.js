"use strict";

// Numbers in base 64 -> Float32Array, from half or from single precision.
function numbersOf(coded) {
  const text = coded.half ?? coded.single;
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  if (coded.single !== undefined) return new Float32Array(bytes.buffer);
  const halves = new Uint16Array(bytes.buffer);
  const found = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const sign = halves[i] & 0x8000 ? -1 : 1;
    const exponent = (halves[i] >> 10) & 31;
    const fraction = halves[i] & 1023;
    if (exponent === 0) found[i] = sign * fraction * 2 ** -24;
    else if (exponent === 31) found[i] = fraction ? NaN : sign * Infinity;
    else found[i] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return found;
}

const softplus = (v) => (v > 30 ? v : Math.log1p(Math.exp(v)));
const sigmoid = (v) => 1 / (1 + Math.exp(-v));

// The Gaussian distribution function, by Abramowitz & Stegun 7.1.26, to 1e-7.
function gaussianCdf(v) {
  const x = Math.abs(v) / Math.SQRT2, t = 1 / (1 + 0.3275911 * x);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741
    + t * (-1.453152027 + t * 1.061405429))));
  const erf = 1 - series * Math.exp(-x * x);
  return 0.5 * (1 + (v < 0 ? -erf : erf));
}

const entrywise = (f) => () => (input) => input.map(f);

function concatenated(parts) {
  const whole = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// Each kind of step of report/steps.py: a function from its plain values to a function of a vector.
const steps = {
  relu: entrywise((v) => Math.max(0, v)),
  "leaky-relu": entrywise((v) => (v > 0 ? v : 0.2 * v)),
  tanh: entrywise(Math.tanh),
  silu: entrywise((v) => v * sigmoid(v)),
  softplus: entrywise(softplus),
  sigmoid: entrywise(sigmoid),
  gelu: entrywise((v) => v * gaussianCdf(v)),
  elu: entrywise((v) => (v > 0 ? v : Math.expm1(v))),

  gate: () => (input) => {
    const n = input.length / 2;
    return input.slice(0, n).map((v, i) => v * sigmoid(input[n + i]));
  },
  sequence: ({ inner = [] }) => {
    const functions = inner.map(makeStep);
    return (input) => functions.reduce((h, f) => f(h), input);
  },
  join: ({ inner }) => {
    const functions = inner.map(makeStep);
    return (input) => concatenated(functions.map((f) => f(input)));
  },
  residual: ({ inner }) => {
    const functions = inner.map(makeStep);
    return (input) => functions.reduce((h, f) => f(h), input).map((v, i) => v + input[i]);
  },
  pick: ({ places }) => (input) => Float32Array.from(places, (place) => input[place]),
  shift: ({ by }) => {
    const values = numbersOf(by);
    return (input) => input.map((v, i) => v + values[i]);
  },
  crop: ({ size, outSize }) => (input) => {
    const [height, width] = size, [rows, columns] = outSize;
    const n = input.length / (height * width);
    return Float32Array.from({ length: n * rows * columns }, (_, i) => {
      const channel = Math.floor(i / (rows * columns)), place = i % (rows * columns);
      const y = Math.floor(place / columns);
      return input[(channel * height + y) * width + (place % columns)];
    });
  },
  pyramid: ({ sizes, inner }) => {
    const functions = inner.map(makeStep);
    return (input) => {
      let h = null, at = 0;
      sizes.forEach((n, i) => {
        const maps = functions[2 * i](input.slice(at, at + n));
        h = functions[2 * i + 1](h === null ? maps : maps.map((v, j) => v + h[j]));
        at += n;
      });
      return h;
    };
  },
  linear: (layer) => {
    const weight = numbersOf(layer.weight), bias = numbersOf(layer.bias);
    return (input) => {
      const output = new Float32Array(bias.length), n = input.length;
      for (let i = 0, k = 0; i < output.length; i++) {
        let sum = bias[i];
        for (let j = 0; j < n; j++, k++) sum += weight[k] * input[j];
        output[i] = sum;
      }
      return output;
    };
  },
  convolution: (layer) => {
    const weight = numbersOf(layer.weight), bias = numbersOf(layer.bias);
    const { size: [height, width], kernel } = layer, side = (kernel - 1) / 2, n = height * width;
    return (input) => {
      const nIn = input.length / n, output = new Float32Array(bias.length * n);
      for (let o = 0, k = 0; o < bias.length; o++) {
        output.fill(bias[o], o * n, (o + 1) * n);
        for (let i = 0; i < nIn; i++) {
          for (let dy = -side; dy <= side; dy++) {
            for (let dx = -side; dx <= side; dx++, k++) {
              const w = weight[k];
              const last = Math.min(width, width - dx);
              for (let y = Math.max(0, -dy); y < Math.min(height, height - dy); y++) {
                const to = o * n + y * width, from = i * n + (y + dy) * width + dx;
                for (let x = Math.max(0, -dx); x < last; x++) output[to + x] += w * input[from + x];
              }
            }
          }
        }
      }
      return output;
    };
  },
  transposed: (layer) => {
    const weight = numbersOf(layer.weight), bias = numbersOf(layer.bias);
    const { size: [height, width], outSize: [rows, columns], kernel, stride, padding } = layer;
    const n = height * width, nOut = rows * columns;
    return (input) => {
      const nIn = input.length / n, output = new Float32Array(bias.length * nOut);
      for (let o = 0, k = 0; o < bias.length; o++) {
        output.fill(bias[o], o * nOut, (o + 1) * nOut);
        for (let i = 0; i < nIn; i++) {
          for (let dy = -padding; dy < kernel - padding; dy++) {
            for (let dx = -padding; dx < kernel - padding; dx++, k++) {
              const w = weight[k];
              const first = Math.max(0, Math.ceil(-dx / stride));
              const last = Math.min(width, Math.floor((columns - 1 - dx) / stride) + 1);
              for (let y = 0; y < height; y++) {
                const row = y * stride + dy;
                if (row < 0 || row >= rows) continue;
                let to = o * nOut + row * columns + first * stride + dx;
                const end = i * n + y * width + last;
                for (let from = end - last + first; from < end; from++, to += stride) {
                  output[to] += w * input[from];
                }
              }
            }
          }
        }
      }
      return output;
    };
  },

  // What happens to z and to the condition before the decoder.
  sphere: ({ n }) => (input) => {
    let square = 0;
    for (let i = 0; i < n; i++) square += input[i] ** 2;
    const norm = Math.sqrt(square) || 1;
    return input.map((v, i) => (i < n ? v / norm : v));
  },
  condition: (given) => {
    const loc = numbersOf(given.loc), scale = numbersOf(given.scale);
    const origin = given.origin && numbersOf(given.origin);
    const width = given.linear_width && numbersOf(given.linear_width);
    return (input) => input.map((v, i) => {
      const j = i - given.first;
      if (j < 0) return v;
      const bent = width && width[j] > 0;
      return ((bent ? width[j] * Math.asinh((v - origin[j]) / width[j]) : v) - loc[j]) / scale[j];
    });
  },
};

// A function from z, and the condition after it, to x: see report/decoder.py.
function makeStep(plain) {
  return steps[plain.kind](plain);
}
