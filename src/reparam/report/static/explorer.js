"use strict";

// The color of a rank from 0 to 1: blue, violet, orange.
function ofRank(rank) {
  const colors = [[57, 182, 216], [143, 107, 255], [228, 87, 46]];
  const low = rank < 0.5 ? 0 : 1, share = 2 * rank - low;
  const mixed = colors[low].map((a, k) => Math.round(a + share * (colors[low + 1][k] - a)));
  return `rgb(${mixed})`;
}

// The map of a section: see report/explorer.py.
function explore(explorer) {
  const known = JSON.parse(explorer.querySelector("script").textContent);
  const find = (selector) => explorer.querySelector(selector);
  const canvas = find("canvas.map"), said = find(".said"), hint = find(".hint");
  const n = known.maps[0].points.length, dim = known.mean.length;
  const decode = known.decoder && makeStep(known.decoder);
  const codes = known.codes && numbersOf({ half: known.codes });
  const sprite = known.thumbnails ? new Image() : null;
  const style = getComputedStyle(document.documentElement);
  const state = { z: Float32Array.from(known.mean), at: [0, 0], near: 0, held: false, waits: false };
  const shade = find(".shade"), legend = find(".legend");
  let map, scale, backdrop;

  const ofClass = (k, j) => (k < 0 ? "#b9c0cc" : (j < 0 ? known : known.shades[j]).colors[k]);
  const color = (i) => {
    const j = shade ? Number(shade.value) : -1;
    if (j < 0) return ofClass(known.labels ? known.labels[i] : -1, j);
    const value = known.shades[j].values[i];
    return known.columns[j].classes.length || value < 0 ? ofClass(value, j) : ofRank(value);
  };
  // The names of the colors: classes, or the ends of a quantity.
  const showLegend = () => {
    const j = Number(shade.value);
    const names = j < 0 ? known.classes : known.columns[j].classes;
    const entry = (background, text) => {
      const span = element("span", {}, legend);
      element("i", {}, span).style.background = background;
      span.append(text);
    };
    legend.replaceChildren();
    names.slice(0, 20).forEach((name, k) => entry(ofClass(k, j), name));
    if (names.length > 20) legend.append(`and ${names.length - 20} more`);
    if (j >= 0 && !names.length) {
      const [low, high] = known.shades[j].ends;
      entry(ofRank(0), low);
      entry(ofRank(0.5), "middle");
      entry(ofRank(1), high);
    }
    if (j >= 0 && known.shades[j].values.includes(-1)) entry(ofClass(-1, j), "missing");
  };
  const drawPoints = () => {
    backdrop = document.createElement("canvas");
    [backdrop.width, backdrop.height] = [canvas.width, canvas.height];
    const context = backdrop.getContext("2d");
    const radius = 3.2 * (canvas.width / (canvas.clientWidth || canvas.width));
    context.globalAlpha = 0.75;
    map.points.forEach((point, i) => {
      context.fillStyle = color(i);
      context.beginPath();
      context.arc(...scale.place(point), radius, 0, 2 * Math.PI);
      context.fill();
    });
  };
  const drawMap = () => {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(backdrop, 0, 0);
    context.strokeStyle = style.getPropertyValue("--ink");
    context.lineWidth = 3;
    const [x, y] = scale.place(map.points[state.near]);
    context.beginPath();
    context.arc(x, y, 10, 0, 2 * Math.PI);
    context.stroke();
    const [px, py] = scale.place(state.at);
    context.beginPath();
    context.moveTo(px - 14, py);
    context.lineTo(px + 14, py);
    context.moveTo(px, py - 14);
    context.lineTo(px, py + 14);
    context.stroke();
  };
  const findNear = () => {
    let best = Infinity;
    map.points.forEach((point, i) => {
      const distance = (point[0] - state.at[0]) ** 2 + (point[1] - state.at[1]) ** 2;
      if (distance < best) [best, state.near] = [distance, i];
    });
  };

  const sliders = known.sliders.map((slider) => {
    const fieldset = find(".sliders");
    if (!fieldset) return null;
    const label = element("label", { textContent: `z${slider.index} ` }, fieldset);
    const step = (slider.high - slider.low) / 200;
    const input = element(
      "input", { type: "range", min: slider.low, max: slider.high, step }, label);
    const output = element("output", {}, label);
    input.addEventListener("input", () => {
      state.z[slider.index] = Number(input.value);
      state.held = true;
      if (map.linear) {
        state.at = known.axes.map((axis) =>
          axis.reduce((sum, a, k) => sum + a * (state.z[k] - known.mean[k]), 0));
        findNear();
      }
      later();
    });
    return () => {
      input.value = state.z[slider.index];
      output.textContent = state.z[slider.index].toFixed(2);
    };
  }).filter(Boolean);
  const condition = known.condition && find(".condition")
    ? makeCondition(known, find(".condition"), () => later()) : null;
  const body = find("table.row tbody");
  const cells = !body ? [] : known.columns.map((column) => {
    const row = element("tr", {}, body);
    element("th", { scope: "row", textContent: column.name }, row);
    return [element("td", {}, row), decode ? element("td", {}, row) : null];
  });

  const show = () => {
    state.waits = false;
    drawMap();
    if (condition) condition.near(state.near);
    const label = known.labels ? known.labels[state.near] : -1;
    const name = label >= 0 ? ` of class ${known.classes[label]}` : "";
    said.textContent = `the nearest example${name}${state.held ? " (held: click to release)" : ""}`;
    const passage = find(".passage");
    if (passage) passage.textContent = known.texts[state.near];
    cells.forEach(([cell], j) => { cell.textContent = known.rows[state.near][j]; });
    if (sprite && sprite.complete && sprite.width) {
      const columns = known.spriteColumns;
      const width = sprite.width / columns, height = sprite.height / Math.ceil(n / columns);
      fit(find(".example"), sprite, (state.near % columns) * width,
        Math.floor(state.near / columns) * height, width, height);
    }
    sliders.forEach((refresh) => refresh());
    if (!decode) return;
    const input = new Float32Array(dim + (condition ? condition.c.length : 0));
    input.set(state.z);
    if (condition) input.set(condition.c, dim);
    const x = decode(input);
    if (known.shape) drawImage(find(".decoded"), x, known.shape);
    cells.forEach(([, cell], j) => {
      cell.textContent = textOf(x[known.columns[j].place], known.columns[j]);
    });
  };
  const later = () => {
    if (!state.waits) requestAnimationFrame(show);
    state.waits = true;
  };
  // Go to a place of the map: its code, or that of its nearest example where it has none.
  const go = (at) => {
    state.at = at;
    findNear();
    if (map.linear && known.isCode) {
      state.z = Float32Array.from(known.mean,
        (m, k) => m + at[0] * known.axes[0][k] + at[1] * known.axes[1][k]);
    } else if (codes) {
      state.z = codes.slice(state.near * dim, (state.near + 1) * dim);
    }
    later();
  };
  const choose = (i) => {
    map = known.maps[i];
    scale = makeScale(map.points, canvas);
    hint.textContent = `${map.meaning[0].toUpperCase()}${map.meaning.slice(1)}.${
      decode && !(map.linear && known.isCode) ? " The code of the nearest example is decoded." : ""}`;
    drawPoints();
    go(map.linear ? [0, 0] : map.points[state.near]);
  };

  const pointed = (event) => {
    const box = canvas.getBoundingClientRect();
    return scale.back([(event.clientX - box.left) * (canvas.width / box.width),
      (event.clientY - box.top) * (canvas.height / box.height)]);
  };
  canvas.addEventListener("pointermove", (event) => {
    const touches = event.pointerType !== "mouse";
    if (touches || !state.held) go(pointed(event));
  });
  canvas.addEventListener("pointerdown", (event) => {
    state.held = event.pointerType === "mouse" ? !state.held : true;
    go(pointed(event));
  });
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in moves) {
      const [x, y] = scale.place(state.at), [dx, dy] = moves[event.key];
      const length = event.shiftKey ? 60 : 12;
      const inside = (v, most) => Math.min(most, Math.max(0, v));
      state.held = true;
      go(scale.back([inside(x + length * dx, canvas.width), inside(y + length * dy, canvas.height)]));
    } else if (event.key === "Enter" || event.key === " ") {
      state.held = !state.held;
      later();
    } else return;
    event.preventDefault();
  });
  const choice = find(".choice");
  if (choice) choice.addEventListener("change", () => choose(Number(choice.value)));
  if (shade) {
    shade.addEventListener("change", () => { showLegend(); drawPoints(); later(); });
    showLegend();
  }
  find(".reset").addEventListener("click", () => {
    state.held = true;
    go(map.linear ? [0, 0] : map.points[state.near]);
    state.z = Float32Array.from(known.mean);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  if (sprite) {
    sprite.addEventListener("load", later);
    sprite.src = known.thumbnails;
  }
  choose(0);
}
