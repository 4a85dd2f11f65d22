// The latent map of the explorer: moving over it asks for what lies there, and shows the answer.
//
// One question is under way at a time. Positions that come meanwhile are dropped but for the newest.
const WAIT = 3000; // milliseconds after which a question counts as lost
const REST = 250; // milliseconds without a movement after which the place is kept
const CLICK = 6, NEAR = 16; // pixels: the movement within a click, and how near an example is picked

export default {
  template: `
    <div class="explorer">
      <div class="stage">
        <canvas ref="points" class="map"></canvas>
        <canvas ref="marks" class="marks" tabindex="0" role="application" :aria-label="label"
          @pointermove="move" @pointerdown="press" @pointerup="release" @pointercancel="pressed = null"
          @keydown="key"></canvas>
      </div>
      <figure class="place" aria-live="off">
        <img ref="picture" v-show="kind === 'picture'" alt="what is decoded at the place" />
        <pre ref="text" v-show="kind === 'text'"></pre>
        <table ref="rows" v-show="kind === 'row'"></table>
        <figcaption>{{ meaning }}</figcaption>
      </figure>
    </div>`,
  props: { points: Array, labels: Array, colors: Array, kind: String, meaning: String, label: String, axes: Array },
  mounted() {
    this.serial = 0; // of the newest movement
    this.asked = 0; // of the question under way; 0 for none
    this.wanted = null;
    this.pressed = null;
    this.here = this.picked = this.before = null;
    this.ink = matchMedia("(prefers-color-scheme: dark)");
    this.recolor = () => this.mark();
    this.ink.addEventListener("change", this.recolor);
    this.sized = new ResizeObserver(() => this.fit());
    this.sized.observe(this.$refs.marks);
    this.fit();
  },
  unmounted() {
    this.sized.disconnect();
    this.ink.removeEventListener("change", this.recolor);
    clearTimeout(this.resting);
  },
  watch: {
    points() {
      this.fit();
    },
    labels() {
      this.fit();
    },
  },
  methods: {
    // Draw the points anew, in the size that the map has now.
    fit() {
      const { points, marks } = this.$refs;
      if (!points || !marks.clientWidth) return;
      this.ratio = window.devicePixelRatio || 1;
      for (const canvas of [points, marks]) {
        canvas.width = Math.round(marks.clientWidth * this.ratio);
        canvas.height = Math.round(marks.clientHeight * this.ratio);
      }
      const known = { points: this.points, labels: this.labels, colors: this.colors };
      this.map = latentMap(points, known);
      this.map.draw(3.2 * this.ratio);
      this.mark();
    },
    // Draw the place, and the examples that are picked.
    mark() {
      if (!this.map) return;
      const marks = this.$refs.marks, context = marks.getContext("2d");
      const style = getComputedStyle(marks);
      const [ink, accent] = [style.getPropertyValue("--ink"), style.getPropertyValue("--accent")];
      context.clearRect(0, 0, marks.width, marks.height);
      for (const [point, name] of [[this.before, "A"], [this.picked, "B"]]) {
        if (!point) continue;
        this.map.ring(point, ink, 7 * this.ratio, 2 * this.ratio, context);
        const [x, y] = this.map.place(point);
        context.fillStyle = ink;
        context.font = `600 ${13 * this.ratio}px system-ui, sans-serif`;
        context.fillText(name, x + 9 * this.ratio, y - 7 * this.ratio);
      }
      context.fillStyle = style.getPropertyValue("--soft");
      context.font = `${12 * this.ratio}px system-ui, sans-serif`;
      const [right, up] = this.axes, edge = 10 * this.ratio;
      if (up) context.fillText(`↑ ${up}`, edge, 2 * edge);
      context.textAlign = "right";
      if (right) context.fillText(`${right} →`, marks.width - edge, marks.height - edge);
      context.textAlign = "left";
      if (this.here) this.map.ring(this.here, accent, 3 * this.ratio, 6 * this.ratio, context);
    },
    pixel(event) {
      const box = this.$refs.marks.getBoundingClientRect();
      return [(event.clientX - box.left) * this.ratio, (event.clientY - box.top) * this.ratio];
    },
    move(event) {
      // A finger that scrolls over the map leaves the place; one that was put down on it moves it.
      if (event.pointerType === "mouse" || this.pressed) this.want(this.map.back(this.pixel(event)));
    },
    press(event) {
      this.pressed = this.pixel(event);
      this.$refs.marks.setPointerCapture(event.pointerId);
      this.want(this.map.back(this.pressed));
    },
    release(event) {
      const pixel = this.pixel(event), start = this.pressed;
      this.pressed = null;
      if (!start || Math.hypot(pixel[0] - start[0], pixel[1] - start[1]) > CLICK * this.ratio) return;
      this.pick(pixel, NEAR * this.ratio);
    },
    pick(pixel, reach) {
      const [index, distance] = this.map.nearest(pixel);
      if (index < 0 || distance > reach) return;
      this.wanted = null;
      clearTimeout(this.resting);
      this.$emit("pick", { index });
    },
    key(event) {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (!this.here || !(event.key in steps || event.key === "Enter")) return;
      event.preventDefault();
      const [x, y] = this.map.place(this.here);
      if (event.key === "Enter") return this.pick([x, y], Infinity);
      const step = this.$refs.marks.width / 60;
      this.want(this.map.back([x + step * steps[event.key][0], y + step * steps[event.key][1]]));
    },
    want(point) {
      this.serial += 1;
      this.$refs.marks.dataset.serial = this.serial;
      this.wanted = this.here = point;
      this.mark();
      this.ask();
      clearTimeout(this.resting);
      this.resting = setTimeout(() => this.$emit("rest", {}), REST);
    },
    ask() {
      if (!this.wanted || (this.asked && performance.now() - this.since < WAIT)) return;
      const [a, b] = this.wanted;
      this.wanted = null;
      this.asked = this.serial;
      this.since = performance.now();
      this.$emit("place", { a, b, serial: this.serial });
    },
    // Show an answer: what is decoded, and where the marks are; serial 0 for what nobody asked.
    show(answer) {
      const { picture, text, rows } = this.$refs;
      if (answer.picture) {
        // The number says which movement is seen; benchmarks/contenders/explorer.py reads it.
        picture.onload = () => (picture.dataset.serial = answer.serial);
        picture.src = answer.picture;
      }
      if (answer.text !== undefined) text.textContent = answer.text;
      if (answer.rows) this.list(rows, answer.rows, answer.more);
      this.picked = answer.picked;
      this.before = answer.before;
      // The pointer is where it is, whatever was decoded last.
      if (!answer.serial) this.here = answer.here;
      this.mark();
      if (answer.serial && answer.serial < this.asked) return;
      this.asked = 0;
      this.ask();
    },
    list(table, rows, more) {
      const lines = rows.map(([name, value]) => {
        const line = document.createElement("tr");
        line.append(...[name, value].map((cell) => {
          const element = document.createElement("td");
          element.textContent = cell;
          return element;
        }));
        return line;
      });
      table.replaceChildren(...lines);
      if (more) table.createCaption().textContent = more;
    },
  },
};
