"use strict";

// The mean of a logistic distribution that is clipped to [0, 1].
function clippedMean(loc, scale) {
  const mean = scale * (softplus(loc / scale) - softplus((loc - 1) / scale));
  return Math.min(1, Math.max(0, mean));
}

// A softmax of n logits that lie `apart` from each other in a vector, from a place on.
function softmax(values, first, n, apart) {
  let largest = -Infinity, total = 0;
  for (let k = 0; k < n; k++) largest = Math.max(largest, values[first + k * apart]);
  const found = new Float32Array(n);
  for (let k = 0; k < n; k++) total += found[k] = Math.exp(values[first + k * apart] - largest);
  return found.map((v) => v / total);
}

// T^-1 of report/links.py: the units of a heavy-tailed entry.
function expanded(y, origin, width) {
  if (!(width > 0)) return y;
  return origin + width * Math.sinh(Math.min(80, Math.max(-80, y / width)));
}

// Likelihoods of report/links.py: from raw parameters, one after the other for all entries, to x.
Object.assign(steps, {
  "continuous-bernoulli": entrywise(
    (v) => (Math.abs(v) < 0.1 ? 0.5 + v / 12 : 1 / (1 - Math.exp(-v)) - 1 / v)),
  logistic: (given) => {
    const loc = numbersOf(given.loc), scale = numbersOf(given.scale), n = loc.length;
    return (raw) => loc.map((l, i) => {
      const s = scale[i] * Math.exp(Math.min(0.5 * raw[n + i], 7)) + given.leastScale;
      return clippedMean(l + scale[i] * raw[i], s);
    });
  },
  "logistic-mixture": ({ nComponents: K, nChannels: C, nPixels: n }) => (raw) => {
    const x = new Float32Array(C * n), nPairs = (C * (C - 1)) / 2;
    for (let p = 0; p < n; p++) {
      const share = softmax(raw, p, K, n);
      for (let k = 0; k < K; k++) {
        const means = [];
        for (let c = 0; c < C; c++) {
          let middle = 0.5 + 0.5 * raw[(K + k * C + c) * n + p];
          for (let j = 0; j < c; j++) {
            const place = K + 2 * K * C + k * nPairs + (c * (c - 1)) / 2 + j;
            middle += Math.tanh(raw[place * n + p]) * (means[j] - 0.5);
          }
          const scale = 0.5 * Math.exp(Math.max(raw[(K + K * C + k * C + c) * n + p], -7));
          means.push(clippedMean(middle, scale));
          x[c * n + p] += share[k] * means[c];
        }
      }
    }
    return x;
  },
  gaussian: (given) => {
    const { nComponents, nFirst, hasSpikes } = given;
    const part = (name) => given[name] && numbersOf(given[name]);
    const loc = part("loc"), scale = part("scale"), n = loc.length;
    const outliers = part("outliers"), origin = part("origin"), width = part("linear_width");
    const spike = part("spike"), spikeWidth = part("spike_width");
    return (raw) => loc.map((l, i) => {
      let y = raw[i];
      if (nComponents > 1) {
        let total = 1, sum = 0;  // the first component has the logit 0 and no offset
        for (let k = 0; k < nComponents - 1; k++) {
          const at = (nFirst + 3 * k) * n + i, weight = Math.exp(Math.min(80, raw[at + 2 * n]));
          total += weight;
          sum += weight * raw[at];
        }
        y += sum / total;
      }
      if (outliers) y *= 1 - outliers[i];
      let x = l + scale[i] * y;
      if (width) x = expanded(x, origin[i], width[i]);
      if (!hasSpikes || !(spikeWidth[i] > 0)) return x;
      const share = sigmoid(raw[(nFirst - 1) * n + i]);
      return x + share * (spike[i] - x);
    });
  },
  // The means of n quantities, and the logits of the atoms that some of them have.
  heaped: ({ n, entries, sizes, isRounded, atoms }) => {
    const values = numbersOf(atoms);
    return (input) => {
      const x = input.slice(0, n);
      let firstLogit = n, firstAtom = 0;
      entries.forEach((place, i) => {
        const share = softmax(input, firstLogit, sizes[i], 1);
        if (isRounded[i]) {
          x[place] *= share[0];
          for (let k = 1; k < sizes[i]; k++) x[place] += share[k] * values[firstAtom + k - 1];
        }
        firstLogit += sizes[i];
        firstAtom += sizes[i] - 1;
      });
      return x;
    };
  },
  counts: ({ n, total }) => (raw) => {
    const log = raw.slice(0, n).map((v) => {
      const over = Math.max(0, Math.abs(v) - 15);
      return Math.max(-15, Math.min(15, v)) + Math.sign(v) * Math.log1p(over);
    });
    if (total === undefined) return log.map(Math.exp);
    return softmax(log, 0, n, 1).map((share) => share * total);
  },
  mode: ({ nClasses }) => (raw) => {
    const n = raw.length / nClasses;
    return Float32Array.from({ length: n }, (_, i) => {
      let best = 0;
      for (let k = 1; k < nClasses; k++) if (raw[k * n + i] > raw[best * n + i]) best = k;
      return best;
    });
  },
  "mean-level": ({ nLevels }) => (raw) => {
    const n = raw.length / nLevels;
    return Float32Array.from({ length: n }, (_, i) =>
      softmax(raw, i, nLevels, n).reduce((sum, share, k) => sum + share * k, 0) / (nLevels - 1));
  },
});
