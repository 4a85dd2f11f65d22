"use strict";

// Draw one image with shape [C, H, W] and values in [0, 1] as large as a canvas allows.
function drawImage(canvas, values, shape) {
  const [channels, height, width] = shape;
  const small = document.createElement("canvas");
  [small.width, small.height] = [width, height];
  const context = small.getContext("2d");
  const pixels = context.createImageData(width, height), n = height * width;
  for (let p = 0; p < n; p++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * p + c] = 255 * values[(channels === 1 ? 0 : c) * n + p];
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

// A value of x as text, as report/columns.py writes it.
function textOf(value, column) {
  if (column.classes.length) return column.classes[Math.round(value)];
  const quantity = value + column.origin;
  if (column.seconds) {
    const date = new Date(1000 * column.seconds * quantity);
    if (Number.isNaN(date.getTime())) return "";
    return date.toISOString().slice(0, column.seconds >= 86400 ? 10 : 19).replace("T", " ");
  }
  return column.decimals === null
    ? String(Number(quantity.toPrecision(4))) : quantity.toFixed(column.decimals);
}

// The places of points on a canvas, and back.
function makeScale(points, canvas) {
  const range = (i) => points.reduce(
    ([low, high], p) => [Math.min(low, p[i]), Math.max(high, p[i])], [Infinity, -Infinity]);
  const [[left, right], [bottom, top]] = [range(0), range(1)];
  const unit = 1.08 * Math.max(right - left, (top - bottom) * (canvas.width / canvas.height), 1e-9);
  const scale = canvas.width / unit, x0 = (left + right) / 2, y0 = (bottom + top) / 2;
  return {
    place: ([x, y]) => [canvas.width / 2 + scale * (x - x0), canvas.height / 2 - scale * (y - y0)],
    back: ([px, py]) => [x0 + (px - canvas.width / 2) / scale, y0 - (py - canvas.height / 2) / scale],
  };
}

function element(name, properties, parent) {
  const made = Object.assign(document.createElement(name), properties);
  if (parent) parent.append(made);
  return made;
}

// The fields of the condition: returns a function to the condition c, and one that sets them.
function makeCondition(known, fieldset, changed) {
  const rows = known.condition.rows;
  const c = Float32Array.from(rows[0]);
  const follow = element("label", { textContent: "of the nearest example " }, fieldset);
  const follows = element("input", { type: "checkbox", checked: true }, follow);
  const setters = known.condition.fields.map((field) => {
    const label = element("label", { textContent: `${field.name} ` }, fieldset);
    const input = element(field.classes ? "select" : "input", {}, label);
    const said = element("output", {}, label);
    if (field.classes) {
      field.classes.forEach((name, value) => element("option", { value, textContent: name }, input));
    } else {
      const step = (field.high - field.low) / 100 || 1;
      Object.assign(input, { type: "range", min: field.low, max: field.high, step });
    }
    input.addEventListener("input", () => {
      follows.checked = false;
      const value = Number(input.value);
      if (field.classes) field.classes.forEach((_, k) => { c[field.first + k] = Number(k === value); });
      else c[field.first] = value;
      if (!field.classes) said.textContent = value.toPrecision(3);
      changed();
    });
    return (row) => {
      if (field.classes) input.value = field.classes.findIndex((_, k) => row[field.first + k] > 0.5);
      else {
        input.value = row[field.first];
        said.textContent = row[field.first].toPrecision(3);
      }
    };
  });
  follows.addEventListener("input", changed);
  return {
    c,
    near: (i) => {
      if (!follows.checked) return;
      c.set(rows[i]);
      setters.forEach((set) => set(rows[i]));
    },
  };
}
