'use strict';
// The paths of the parameters of a film, a panel for each layer; one of them is chosen, and its step explained.
const paths = (() => {
  const { decoded, number, range, plot, path, upright, dot, figure, moments, momentAt } = plotting;

  // In one line, as in a terminal.
  function name([l, i, j]) {
    const below = (j < 0 ? `${i}` : `${i},${j}`).replace(/[0-9]/g, (digit) => '₀₁₂₃₄₅₆₇₈₉'[digit]);
    return `${j < 0 ? 'b' : 'w'}${below}${raised(l)}`;
  }

  function letter([l, i, j], isGradient = false) {
    if (j < 0) return letterOf({ name: isGradient ? 'db' : 'b', index: { l, i } });
    return letterOf({ name: isGradient ? 'dW' : 'W', index: { l, i, j } });
  }

  function meaning([l, i, j]) {
    if (j < 0) return `the bias of unit ${i} of layer ${l}`;
    const from = l === 1 ? `input ${j}` : `unit ${j} of layer ${l - 1}`;
    return `the weight from ${from} to unit ${i} of layer ${l}`;
  }

  function figureOf(data, state, player) {
    const { index, all } = data.weights;
    const values = decoded(data.weights.path, Float32Array);
    const gradients = decoded(data.weights.gradient, Float32Array);
    const value = (column, k) => values[k * index.length + column];
    const gradient = (column, k) => gradients[k * index.length + column];
    const yRange = range(values);
    const card = make('div', { class: 'film-weight', 'aria-live': 'polite' });
    const panels = [...new Set(index.map(([l]) => l))].map((l) => {
      const columns = [...index.keys()].filter((at) => index[at][0] === l);
      return panel(data, state, player, { l, columns, value, yRange });
    });
    const kept = index.length < all ? `These are the ${index.length} of ${all} parameters that moved most. ` : '';
    const about = `${kept}Solid lines are weights, dashed ones biases; blue is above zero, orange below. Choose one ` +
      'with the pointer, or with the keys ↑ and ↓.';
    const beside = make('div', { class: 'film-panels' }, ...panels.map((each) => each.element));
    return { element: figure('The path of every weight', about, card, beside), redraw };

    function redraw() {
      for (const each of panels) each.redraw();
      const [k, at] = [state.k, state.weight];
      const values = k ? [value(at, k - 1), gradient(at, k - 1), value(at, k)] : [value(at, 0)];
      const of = `${meaning(index[at])}, ${k ? `in step ${k}` : 'before the first step'}`;
      card.replaceChildren(make('span', {}, step(data, k, index[at], values)), make('span', { class: 'soft' }, of));
    }
  }

  // What a step has done to a parameter: E10 with its numbers, or what another rule has made of the gradient.
  function step(data, k, index, [before, slope, after]) {
    const [w, gradient, ratio] = [() => letter(index), () => letter(index, true), data.descent[index[0] - 1]];
    if (!k) return [w(), ` = ${number(before)}`];
    if (ratio === null) {
      const by = after - before;
      const change = `${by < 0 ? '−' : '+'} ${number(Math.abs(by))}`;
      return [w(), ` ← ${number(before)} ${change} = ${number(after)}, where `, gradient(), ` = ${number(slope)}`];
    }
    const product = `${number(data.rate[k - 1] * ratio)} × ${slope < 0 ? `(${number(slope)})` : number(slope)}`;
    return [w(), ' ← ', w(), ' − η · ', gradient(), ` = ${number(before)} − ${product} = ${number(after)}`];
  }

  function panel(data, state, player, { l, columns, value, yRange }) {
    const { index } = data.weights;
    let pointed = null;
    const drawn = plot({
      label: `Parameters of layer ${l} after each update; the keys up and down choose one`, role: 'application',
      xRange: moments(data), whole: true, yRange, ratio: 0.6, xName: 'updates',
      draw(g, place) {
        upright(g, place, state.k);
        const isFew = columns.length <= 60;
        for (const column of columns) stroke(g, place, column, isFew);
        if (columns.includes(state.weight)) mark(g, place, state.weight, place.paint.accent);
        if (pointed !== null) mark(g, place, pointed, place.paint.ink);
      },
    });

    function signColour({ paint }, column) {
      return value(column, state.k) < 0 ? paint.negative : paint.positive;
    }
    function stroke(g, place, column, isFew) {
      g.lineWidth = isFew ? 1.6 : 0.8;
      g.strokeStyle = signColour(place, column);
      g.setLineDash(index[column][2] < 0 ? [5, 3] : []);
      g.globalAlpha = 0.25;
      path(g, place, state.k, data.steps, (k) => value(column, k));
      g.globalAlpha = 0.85;
      path(g, place, 0, state.k, (k) => value(column, k));
      g.globalAlpha = 1;
      g.setLineDash([]);
      if (isFew) dot(g, place.x(state.k), place.y(value(column, state.k)), 3, signColour(place, column));
    }
    // The parameter's whole path, with its name.
    function mark(g, place, column, colour) {
      g.lineWidth = 3;
      g.strokeStyle = colour;
      path(g, place, 0, data.steps, (k) => value(column, k));
      const [x, y] = [place.x(state.k), place.y(value(column, state.k))];
      dot(g, x, y, 5.5, colour);
      const text = `${name(index[column])} = ${number(value(column, state.k), 3)}`;
      const isLeft = x > place.width / 2;
      g.font = `600 13px ${getComputedStyle(drawn.canvas).fontFamily}`;
      g.textAlign = isLeft ? 'right' : 'left';
      g.lineWidth = 4;
      g.strokeStyle = place.paint.paper;
      g.strokeText(text, x + (isLeft ? -10 : 10), Math.max(22, y - 9));
      g.fillStyle = colour;
      g.fillText(text, x + (isLeft ? -10 : 10), Math.max(22, y - 9));
    }
    function nearest(event) {
      const k = momentAt(event, drawn, data);
      const away = (column) => Math.abs(drawn.place.y(value(column, k)) - event.offsetY);
      return columns.reduce((best, column) => (away(column) < away(best) ? column : best));
    }
    function point(column) {
      if (column === pointed) return;
      pointed = column;
      drawn.redraw();
    }
    function choose(event) {
      if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
      event.preventDefault();
      event.stopPropagation();
      const sorted = [...columns].sort((a, b) => value(a, state.k) - value(b, state.k));
      const at = sorted.indexOf(state.weight) + (event.key === 'ArrowUp' ? 1 : -1);
      player.select(sorted[Math.min(sorted.length - 1, Math.max(0, at))]);
    }
    drawn.canvas.addEventListener('pointermove', (event) => point(nearest(event)));
    drawn.canvas.addEventListener('pointerleave', () => point(null));
    drawn.canvas.addEventListener('click', (event) => player.select(nearest(event)));
    drawn.canvas.addEventListener('keydown', choose);
    return { element: make('div', {}, make('h4', {}, `Layer ${l}`), drawn.canvas), redraw: drawn.redraw };
  }

  return { figureOf };
})();
