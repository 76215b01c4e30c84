'use strict';
// Inputs that are a square as a picture, and the weights that lead from them to a unit.

const FEWEST = 25;
const PICTURE = 132;

/** The pictures for a term, in a row; nothing where the inputs are no square. */
function picturesOf(trace, { term, s, gradients }, open) {
  const side = Math.sqrt(trace.sizes[0]);
  if (trace.sizes[0] < FEWEST || !Number.isInteger(side)) return [];
  const { l, i } = term.index;
  const input = (j) => open({ name: 'a', index: { l: 0, i: j, s } });
  const x = picture(side, 'x, the input', (j) => trace.scope.x.at(s, j), input);
  if (l !== 1) return [x];
  const pick = (j) => open({ name: 'dW', index: { l: 1, i, j } });
  const weights = picture(side, `weights into unit ${i}`, (j) => trace.scope.W[1].at(i, j), pick);
  const slopes = picture(side, 'their gradient', (j) => trace.scope.dW[1].at(i, j), pick);
  return [x, weights, slopes];
}

function picture(side, caption, valueAt, pick) {
  const cell = Math.floor((PICTURE * 2) / side);
  const size = { width: cell * side, height: cell * side };
  const canvas = make('canvas', { ...size, role: 'img', 'aria-label': caption });
  canvas.addEventListener('click', ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    const cellAt = (distance, length) => Math.max(0, Math.min(side - 1, Math.floor((distance / length) * side)));
    pick(cellAt(clientY - box.top, box.height) * side + cellAt(clientX - box.left, box.width));
  });
  const values = Array.from({ length: side * side }, (_, j) => valueAt(j));
  const top = greatest(values);
  const style = getComputedStyle(document.documentElement);
  const context = canvas.getContext('2d');
  values.forEach((value, j) => {
    context.fillStyle = style.getPropertyValue(value < 0 ? '--negative' : '--positive');
    context.globalAlpha = shareOf(value, top);
    context.fillRect((j % side) * cell, Math.floor(j / side) * cell, cell, cell);
  });
  return make('figure', {}, canvas, make('figcaption', {}, caption));
}
