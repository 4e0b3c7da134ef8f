"use strict";
(() => {
  // From ink to the model's pixels: the same steps, in the same order, as mnistlin/data/drawing.py.
  const MIN_CONTRAST = 12, FAINT = 0.1, EDGE_PIXELS = 0.75;

  /** Return ink from 0 to 1 by row of a canvas, whose ink is its opacity; null if it is empty. */
  function findInk(context) {
    const { width, height } = context.canvas;
    const { data } = context.getImageData(0, 0, width, height);
    let high = 0;
    for (let i = 3; i < data.length; i += 4) high = Math.max(high, data[i]);
    if (high < MIN_CONTRAST) return null;
    return Array.from({ length: height }, (_, y) =>
      Float64Array.from({ length: width }, (_, x) => data[4 * (y * width + x) + 3] / high));
  }

  /** Return the pixels, 0 to 255 and row by row, of ink in the form of the training images. */
  function toTrainingForm(ink, [height, width], fillsImage) {
    const boxPart = fillsImage ? 1 : 20 / 28;
    const rows = ink.map((row) => Math.max(...row));
    const columns = rows.map((_, x) => Math.max(...ink.map((row) => row[x])));
    const [top, bottom, left, right] = extents(rows, columns, boxPart * Math.max(height, width));
    const digit = ink.slice(top, bottom).map((row) => row.slice(left, right));
    const scale = Math.min(boxPart * height / (bottom - top), boxPart * width / (right - left));
    const profiles = [digit.map(sum), Array.from(digit[0], (_, x) => sum(digit.map((row) => row[x])))];
    const [down, across] = [height, width].map((side, i) =>
      overlaps(profiles[i].length, scale, side, start(profiles[i], scale, side, fillsImage)));
    const pixels = new Float64Array(height * width);
    const narrow = digit.map((row) => across.map((cover) => dot(cover, row)));
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++)
        pixels[i * width + j] = 255 * sum(narrow.map((row, y) => down[i][y] * row[j]));
    return pixels;
  }

  /** Return the top, bottom, left and right edges of the digit, each where ink has half its strength. */
  function extents(rows, columns, nPixels) {
    const inked = (profile) => profile.findLastIndex((ink) => ink > FAINT) - profile.findIndex((ink) => ink > FAINT) + 1;
    const reach = 1 + Math.trunc(EDGE_PIXELS * Math.max(inked(rows), inked(columns)) / nPixels);
    const first = (profile) => {
      const start = profile.findIndex((ink) => ink > FAINT);
      const full = Math.max(...profile.slice(start, start + reach));
      return profile.findIndex((ink, i) => i >= start && ink >= full / 2);
    };
    return [rows, columns].flatMap((profile) => [first(profile), profile.length - first(profile.toReversed())]);
  }

  /** Return where the first row (or column) of the ink goes, in pixels of the result. */
  function start(profile, scale, nPixels, fillsImage) {
    if (fillsImage) return (nPixels - scale * profile.length) / 2;
    const centre = scale * sum(profile.map((ink, y) => ink * (y + 0.5))) / sum(profile);
    return Math.trunc(nPixels / 2) + 0.5 - centre;
  }

  /** Return how much of each pixel each row covers; the first row begins at the coordinate `first`. */
  function overlaps(nRows, scale, nPixels, first) {
    return Array.from({ length: nPixels }, (_, pixel) => Array.from({ length: nRows }, (_, y) =>
      Math.max(0, Math.min(first + scale * y + scale, pixel + 1) - Math.max(first + scale * y, pixel))));
  }

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const dot = (a, b) => a.reduce((total, value, i) => total + value * b[i], 0);

  // The model. With two classes there is one row of weights: that of the second class.
  const play = JSON.parse(document.getElementById("model").textContent);
  const [height, width] = play.shape;
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const models = play.models.map((model) => {
    const all = new Float32Array(bytes(model.coef).buffer), n = height * width;
    return { ...model, rows: Array.from({ length: all.length / n }, (_, k) => all.subarray(k * n, k * n + n)) };
  });

  function probabilities(model, pixels) {
    const logits = model.rows.map((row, k) => dot(row, pixels) + model.intercept[k]);
    if (logits.length === 1) logits.unshift(0);
    const high = Math.max(...logits), powers = logits.map((z) => Math.exp(z - high)), total = sum(powers);
    return powers.map((power) => power / total);
  }

  function evidence(model, pixels, k) {
    const row = model.rows.length > 1 ? model.rows[k] : model.rows[0].map((weight) => (2 * k - 1) * weight);
    return Array.from(row, (weight, i) => weight * (pixels[i] - play.zero));
  }

  // The page.
  const element = (id) => document.getElementById(id);
  const pad = element("pad").getContext("2d", { willReadFrequently: true });
  const bars = [...document.querySelectorAll("#bars tr")];
  const slider = element("lambda");
  const percent = (value) => `${(100 * value).toFixed(1)} %`;
  let chosen = 0;

  /** Colour values by their sign, as strong as they are large. */
  function drawSigned(canvas, values, limit) {
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    values.forEach((value, i) => {
      image.data.set(value > 0 ? [222, 73, 60] : [52, 132, 204], 4 * i);
      image.data[4 * i + 3] = 255 * Math.min(1, Math.abs(value) / limit);
    });
    context.putImageData(image, 0, 0);
  }

  function drawInk(canvas, pixels) {
    const context = canvas.getContext("2d"), image = context.createImageData(width, height);
    pixels.forEach((value, i) => { image.data[4 * i + 3] = Math.round(value); });
    context.putImageData(image, 0, 0);
  }

  const largest = (values) => values.reduce((high, value) => Math.max(high, Math.abs(value)), 1e-12);

  function showWeights() {
    const model = models[chosen], limit = Math.max(...model.rows.map(largest));
    document.querySelectorAll("#weights canvas").forEach((canvas, k) => drawSigned(canvas, model.rows[k], limit));
    element("scale").textContent = `±${(limit * 255).toPrecision(2)}`;
    if (slider) {
      element("lambda-name").textContent = model.name;
      slider.setAttribute("aria-valuetext", model.name);
    }
  }

  function showAnswer() {
    const model = models[chosen], ink = findInk(pad);
    document.body.classList.toggle("empty", !ink);
    if (!ink) {
      bars.forEach((row) => showBar(row, null));
      element("answer").textContent = "Draw, or choose a sample.";
      return;
    }
    const pixels = toTrainingForm(ink, play.shape, play.fillsImage), answer = probabilities(model, pixels);
    const ranking = answer.map((_, k) => k).sort((a, b) => answer[b] - answer[a] || a - b);
    bars.forEach((row, k) => { showBar(row, answer[k]); row.classList.toggle("best", k === ranking[0]); });
    element("answer").textContent = `${play.labels[ranking[0]]}: ${percent(answer[ranking[0]])}`;
    drawInk(element("seen"), pixels);
    const maps = ranking.slice(0, 2).map((k) => evidence(model, pixels, k));
    const limit = Math.max(...maps.map(largest));
    maps.forEach((map, i) => {
      drawSigned(element(`evidence-${i}`), map, limit);
      element(`evidence-${i}-name`).textContent = `evidence for ${play.labels[ranking[i]]}`;
    });
  }

  function showBar(row, probability) {
    row.dataset.probability = probability ?? "";
    row.querySelector(".bar div").style.width = `${100 * (probability ?? 0)}%`;
    row.querySelector(".num").textContent = probability === null ? "–" : percent(probability);
  }

  /** Say the answer to screen readers, which must not be told at every movement of the pen. */
  const announce = () => { element("announcement").textContent = element("answer").textContent; };
  let isWaiting = false;
  function update() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => { isWaiting = false; showAnswer(); });
  }

  function clear() {
    pad.clearRect(0, 0, pad.canvas.width, pad.canvas.height);
  }

  function drawSample(sample) {
    clear();
    const block = Math.floor(pad.canvas.width / Math.max(height, width));
    const [x0, y0] = [width, height].map((side) => (pad.canvas.width - block * side) / 2);
    bytes(sample.pixels).forEach((value, i) => {
      pad.fillStyle = `rgb(0 0 0 / ${value / 255})`;
      pad.fillRect(x0 + block * (i % width), y0 + block * Math.trunc(i / width), block, block);
    });
  }

  // Drawing. `last` is where the pen was, while it is down.
  let last = null;
  pad.lineCap = pad.lineJoin = "round";
  pad.lineWidth = pad.canvas.width / 14;
  const position = (event) => {
    const box = pad.canvas.getBoundingClientRect(), scale = pad.canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const draw = (event) => {
    const here = position(event);
    pad.strokeStyle = "#000";
    pad.beginPath();
    pad.moveTo(...(last ?? here));
    pad.lineTo(...here);
    pad.stroke();
    last = here;
    update();
  };
  pad.canvas.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    pad.canvas.setPointerCapture(event.pointerId);
    last = null;
    draw(event);
  });
  pad.canvas.addEventListener("pointermove", (event) => {
    if (last) (event.getCoalescedEvents?.() ?? [event]).forEach(draw);
  });
  for (const name of ["pointerup", "pointercancel"])
    pad.canvas.addEventListener(name, () => { last = null; showAnswer(); announce(); });
  pad.canvas.addEventListener("redraw", showAnswer);

  element("clear").addEventListener("click", () => { clear(); showAnswer(); announce(); });
  document.querySelectorAll("#samples button").forEach((button, i) => {
    drawInk(button.querySelector("canvas"), bytes(play.samples[i].pixels));
    button.addEventListener("click", () => { drawSample(play.samples[i]); showAnswer(); announce(); });
  });
  slider?.addEventListener("input", () => {
    chosen = Number(slider.value);
    showWeights();
    showAnswer();
    announce();
  });
  showWeights();
  showAnswer();
})();
