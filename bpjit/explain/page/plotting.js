'use strict';
// What the figures of a film are drawn with.
const plotting = (() => {
  const MARGIN = { left: 50, right: 12, top: 10, bottom: 34 };

  function decoded(text, Kind) {
    return new Kind(bytes(text).buffer);
  }

  // JSON has null for what is not finite.
  function number(value, digits = 4) {
    return value === null || !Number.isFinite(value) ? 'not finite' : numberText(value, digits);
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ['ink', 'paper', 'soft', 'line', 'accent', 'positive', 'negative'];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  function rgb(colour) {
    return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  }

  function mixed(from, to, share) {
    return from.map((part, at) => part + (to[at] - part) * share);
  }

  function range(values) {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) {
      if (value === null || !Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (low > high) [low, high] = [0, 1];
    const room = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  }

  function ticks([low, high], most) {
    const rough = (high - low) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(low / step); at * step <= high * (1 + 1e-12) + step * 1e-9; at += 1) found.push(at * step);
    return found;
  }

  // A canvas with axes. draw(g, place) has place.x and place.y to turn numbers into places, place.paint for colours.
  function plot({ label, role = 'img', xRange, yRange, xName, yName = '', ratio, whole = false, draw }) {
    const canvas = make('canvas', { role, 'aria-label': label, tabindex: '0' });
    const place = {};
    function redraw() {
      const width = canvas.clientWidth;
      const height = Math.round(width * ratio);
      if (!width) return;
      const scale = window.devicePixelRatio || 1;
      canvas.style.height = `${height}px`;
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      const g = canvas.getContext('2d');
      g.scale(scale, scale);
      g.font = `12px ${getComputedStyle(canvas).fontFamily}`;
      const paint = colours();
      const inner = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
      Object.assign(place, { paint, inner, width, height });
      place.x = (value) => MARGIN.left + ((value - xRange[0]) / (xRange[1] - xRange[0])) * inner[0];
      place.y = (value) => MARGIN.top + inner[1] - ((value - yRange[0]) / (yRange[1] - yRange[0])) * inner[1];
      axes(g, place);
      g.save();
      g.beginPath();
      g.rect(MARGIN.left, MARGIN.top, ...inner);
      g.clip();
      draw(g, place);
      g.restore();
      g.strokeStyle = paint.soft;
      g.strokeRect(MARGIN.left + 0.5, MARGIN.top + 0.5, inner[0] - 1, inner[1] - 1);
    }
    function axes(g, { paint, inner, x, y, height }) {
      g.strokeStyle = paint.line;
      g.fillStyle = paint.soft;
      g.textAlign = 'center';
      const most = Math.max(2, Math.floor(inner[0] / 60));
      for (const at of ticks(xRange, most).filter((each) => !whole || Number.isInteger(each))) {
        g.fillText(number(at, 3), x(at), height - MARGIN.bottom + 15);
      }
      g.fillText(xName, MARGIN.left + inner[0] / 2, height - 3);
      g.textAlign = 'right';
      for (const at of ticks(yRange, Math.max(2, Math.floor(inner[1] / 40)))) {
        g.fillText(number(at, 3), MARGIN.left - 6, y(at) + 4);
        g.beginPath();
        g.moveTo(MARGIN.left, y(at));
        g.lineTo(MARGIN.left + inner[0], y(at));
        g.stroke();
      }
      g.save();
      g.translate(10, MARGIN.top + inner[1] / 2);
      g.rotate(-Math.PI / 2);
      g.textAlign = 'center';
      g.fillText(yName, 0, 0);
      g.restore();
    }
    new ResizeObserver(redraw).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
    return { canvas, redraw, place };
  }

  function dot(g, x, y, radius, colour) {
    g.fillStyle = colour;
    g.beginPath();
    g.arc(x, y, radius, 0, 2 * Math.PI);
    g.fill();
  }

  function figure(title, about, ...content) {
    return make('figure', { class: 'film-figure' }, make('h3', {}, title), ...content, make('figcaption', {}, about));
  }

  // The horizontal axis of what has a value after each update, with room for the marks at its ends.
  function moments({ steps }) {
    return [-0.015 * steps, 1.015 * steps];
  }

  // The moment that a pointer is at.
  function momentAt(event, { place }, { steps }) {
    const k = ((event.offsetX - place.x(0)) / (place.x(steps) - place.x(0))) * steps;
    return Math.min(steps, Math.max(0, Math.round(k)));
  }

  function path(g, { x, y }, first, last, value) {
    g.beginPath();
    for (let k = first; k <= last; k += 1) g.lineTo(x(k), y(value(k)));
    g.stroke();
  }

  function upright(g, { x, paint, height }, k) {
    g.lineWidth = 1;
    g.strokeStyle = paint.soft;
    g.setLineDash([4, 4]);
    g.beginPath();
    g.moveTo(x(k), MARGIN.top);
    g.lineTo(x(k), height - MARGIN.bottom);
    g.stroke();
    g.setLineDash([]);
  }

  return { MARGIN, decoded, number, rgb, mixed, range, plot, path, upright, dot, figure, moments, momentAt };
})();
