"use strict";

// The latent map: a point for each example, on a canvas. The explorer draws it.
//
// known.points  coordinates in the plane, [a, b] for each example
// known.labels  the class of each example, -1 for none; null without labels
// known.colors  the colors of the classes
function latentMap(canvas, known) {
  const context = canvas.getContext("2d");
  let middle, scale;

  // Fit the points into the canvas, with a margin and the same unit to the right and upwards.
  const measure = () => {
    const xs = known.points.map((p) => p[0]), ys = known.points.map((p) => p[1]);
    const range = (v) => [v.reduce((a, b) => Math.min(a, b)), v.reduce((a, b) => Math.max(a, b))];
    const [left, right] = range(xs), [bottom, top] = range(ys);
    const unit = Math.max(right - left, (top - bottom) * (canvas.width / canvas.height), 1e-9) * 1.08;
    middle = [(left + right) / 2, (bottom + top) / 2];
    scale = canvas.width / unit;
  };
  const place = ([x, y]) => [
    canvas.width / 2 + scale * (x - middle[0]), canvas.height / 2 - scale * (y - middle[1])];
  const back = ([px, py]) => [
    middle[0] + (px - canvas.width / 2) / scale, middle[1] - (py - canvas.height / 2) / scale];
  // The example that is nearest to a pixel, and its distance in pixels.
  const nearest = ([px, py]) => {
    let chosen = -1, best = Infinity;
    known.points.forEach((point, i) => {
      const [x, y] = place(point);
      const distance = Math.hypot(x - px, y - py);
      if (distance < best) [best, chosen] = [distance, i];
    });
    return [chosen, best];
  };
  const color = (i) => {
    const label = known.labels ? known.labels[i] : -1;
    return label < 0 ? "#6f7a90" : known.colors[label];
  };
  const draw = (radius = 3.2) => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.globalAlpha = 0.75;
    known.points.forEach((point, i) => {
      const [x, y] = place(point);
      context.fillStyle = color(i);
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
    });
    context.globalAlpha = 1;
  };
  // Draw a circle around a point in the plane, here or on a canvas of the same size above.
  const ring = (point, style, radius = 7, width = 2, on = context) => {
    const [x, y] = place(point);
    on.strokeStyle = style;
    on.lineWidth = width;
    on.beginPath();
    on.arc(x, y, radius, 0, 2 * Math.PI);
    on.stroke();
  };
  measure();
  return { measure, place, back, nearest, draw, ring };
}
