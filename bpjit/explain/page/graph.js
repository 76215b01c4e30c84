'use strict';
// The network as a graph: units by activation or delta, weights by size or gradient.

const HEADER = 46;
const PARTS = 6;

/** Which units of each layer are shown: those that are needed, [[l, i], ...], and the largest of the sample. */
function shownUnits({ sizes, scope }, s, most, needed) {
  return sizes.map((size, l) => {
    const order = bySize([...Array(size).keys()], (i) => scope.a[l].at(s, i));
    const kept = new Set(needed.filter(([layer]) => layer === l).map(([, i]) => i));
    for (const i of order) if (kept.size < most || size <= most + 2) kept.add(i);
    return [...kept].sort((one, other) => one - other);
  });
}

/** [l, i] of the units that a term belongs to. */
function endsOf({ index: { l, i, j } }) {
  if (i === undefined) return [];
  return j === undefined ? [[l, i]] : [[l, i], [l - 1, j]];
}

/** [l, i] of units that the largest parts of a term come from. */
function unitsIn({ parts }) {
  const nodes = parts.slice(0, PARTS).flatMap(({ expression }) => (expression ? [...walk(expression)] : []));
  const entries = nodes.filter((node) => ['z', 'a', 'delta'].includes(node.name) && node.indices.length === 2);
  return entries.filter(isNumbered).map((node) => [node.layer.value, node.indices[1].value]);
}

/** An <svg>; view: { term, s, gradients, shown, width }; open(term) is called for what is clicked. */
function graphOf(trace, view, open) {
  const rows = Math.max(...view.shown.map((units) => units.length));
  const isPart = view.shown.some((units, l) => units.length < trace.sizes[l]);
  const pitch = rows <= 5 ? 66 : rows <= 8 ? 50 : 40;
  const radius = Math.min(pitch * 0.41, rows <= 5 ? 24 : 18);
  const height = HEADER + rows * pitch + (isPart ? 30 : 10);
  const width = Math.max(view.width, 84 * (trace.L + 1) + 60);
  const place = (l, k) => ({
    x: 48 + (l * (width - 48 - 68)) / trace.L,
    y: HEADER + (rows - view.shown[l].length) * pitch * 0.5 + (k + 0.5) * pitch,
  });
  const drawing = { trace, view, open, place, radius, made: madeOf(view.detail), width };
  const layers = trace.sizes.keys();
  return drawn(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, width, height, class: 'graph', role: 'group', 'aria-label': 'the network' },
    Array.from({ length: trace.L }, (_, k) => edges(drawing, k + 1)),
    [...layers].map((l) => drawn('g', {}, heading(drawing, l), units(drawing, l), more(drawing, l, height))),
  );
}

function heading({ trace, place, width }, l) {
  const isNarrow = width / (trace.L + 1) < 110;
  const name = l === 0 ? 'input' : l === trace.L && !isNarrow ? 'output' : `layer ${l}`;
  const layer = trace.data.network.layers[l];
  const room = Math.floor(width / (trace.L + 1) / 7) - String(trace.sizes[l]).length;
  const short = layer.length > room ? `${layer.slice(0, room - 1)}…` : layer;
  const below = l === 0 || isNarrow ? `${trace.sizes[l]}` : `${trace.sizes[l]} ${short}`;
  const { x } = place(l, 0);
  return drawn('g', { class: 'heading' }, [
    drawn('text', { x, y: 14 }, name),
    drawn('text', { x, y: 31, class: 'soft' }, below, drawn('title', {}, layer)),
  ]);
}

function more({ trace, view, place }, l, height) {
  const rest = trace.sizes[l] - view.shown[l].length;
  return rest ? drawn('text', { x: place(l, 0).x, y: height - 8, class: 'more' }, `… ${rest} more`) : null;
}

// ------------------------------------------------------------------------------------------------ weights

function edges(drawing, l) {
  const { trace, view } = drawing;
  const table = view.gradients ? trace.scope.dW[l] : trace.scope.W[l];
  const list = view.shown[l].flatMap((i, above) =>
    view.shown[l - 1].map((j, below) => ({ i, j, above, below, value: table.at(i, j) })),
  );
  const top = greatest(list.map(({ value }) => value));
  const isChosen = ({ i, j }) => isWeight(view.term, l, i, j);
  const order = bySize(list, ({ value }) => value).reverse().sort((one, other) => isChosen(one) - isChosen(other));
  return drawn('g', { class: 'edges' }, order.map((each) => edge(drawing, l, each, shareOf(each.value, top))));
}

function edge(drawing, l, { i, j, above, below, value }, share) {
  const { trace, view, open, place, radius, made } = drawing;
  const [from, to] = [place(l - 1, below), place(l, above)];
  const ends = { x1: from.x + radius, y1: from.y, x2: to.x - radius, y2: to.y };
  const isChosen = isWeight(view.term, l, i, j);
  const isPart = ['W', 'dW'].some((name) => made.has([name, l, i, j].join(' ')));
  const [w, dw] = [trace.scope.W, trace.scope.dW].map((tables) => numberText(tables[l].at(i, j)));
  const label = `weight from ${l === 1 ? 'input' : 'unit'} ${j} to unit ${i} of layer ${l}: w = ${w}, ∂C/∂w = ${dw}`;
  const pick = () => open({ name: 'dW', index: { l, i, j } });
  return drawn(
    'g',
    {
      class: ['edge', isChosen && 'chosen', isPart && 'part', value < 0 && 'negative'].filter(Boolean).join(' '),
      role: 'button',
      tabindex: isChosen || isPart ? 0 : -1,
      'aria-label': label,
      'data-weight': `${l} ${i} ${j}`,
      onclick: pick,
      onkeydown: onEnter(pick),
    },
    drawn('title', {}, label),
    drawn('line', { ...ends, class: 'hit' }),
    drawn('line', {
      ...ends,
      class: 'line',
      'stroke-width': (0.6 + 4.4 * share).toFixed(2),
      'stroke-opacity': (0.12 + 0.8 * share).toFixed(2),
    }),
  );
}

function isWeight({ name, index }, l, i, j) {
  return ['dW', 'W', 'dz_dw', 'dC_dw'].includes(name) && index.l === l && index.i === i && index.j === j;
}

// -------------------------------------------------------------------------------------------------- units

function units(drawing, l) {
  const { trace, view } = drawing;
  const table = view.gradients && l > 0 ? trace.scope.delta[l] : trace.scope.a[l];
  const top = greatest(view.shown[l].map((i) => table.at(view.s, i)));
  return view.shown[l].map((i, k) => unit(drawing, l, i, k, table.at(view.s, i), top));
}

function unit(drawing, l, i, k, value, top) {
  const { trace, view, open, place, radius, made } = drawing;
  const { x, y } = place(l, k);
  const { name, index } = view.term;
  const isChosen = index.l === l && index.i === i && index.j === undefined;
  const isEnd = index.j !== undefined && ((index.l === l && index.i === i) || (index.l === l + 1 && index.j === i));
  const isPart = isEnd || ['z', 'a', 'delta', 'b', 'db', 'y'].some((each) => made.has([each, l, i].join(' ')));
  const label = labelOf(trace, l, i, view.s);
  const pick = () => open(unitTerm(name, l, i, view));
  const share = shareOf(value, top);
  return drawn(
    'g',
    {
      class: ['unit', isChosen && 'chosen', isPart && 'part', value < 0 && 'negative'].filter(Boolean).join(' '),
      role: 'button',
      tabindex: 0,
      'aria-label': label,
      'data-unit': `${l} ${i}`,
      onclick: pick,
      onkeydown: onEnter(pick),
    },
    drawn('title', {}, label),
    drawn('circle', { cx: x, cy: y, r: radius, class: 'ground' }),
    drawn('circle', { cx: x, cy: y, r: radius, class: 'disc', 'fill-opacity': (0.05 + 0.5 * share).toFixed(2) }),
    drawn('text', { x, y: y + 3.5, class: compact(value).length > 4 ? 'value long' : 'value' }, compact(value)),
    drawn('text', { x: x - radius - 5, y: y + 4, class: 'number' }, String(i)),
    l === trace.L ? target({ x: x + radius + 7, y: y + 4 }, trace.scope.t.at(view.s, i)) : null,
  );
}

function target(place, t) {
  return drawn('text', { ...place, class: 'target' }, `t = ${compact(t)}`);
}

/** The term that a unit shows when it is clicked: of the same kind as the one before it, if it was a unit's. */
function unitTerm(name, l, i, { gradients, s }) {
  if (l === 0) return { name: 'a', index: { l, i, s } };
  if (['db', 'b'].includes(name)) return { name, index: { l, i } };
  if (['z', 'a', 'delta'].includes(name)) return { name, index: { l, i, s } };
  return { name: gradients ? 'delta' : 'z', index: { l, i, s } };
}

function labelOf({ scope }, l, i, s) {
  if (l === 0) return `input ${i}: x = ${numberText(scope.a[l].at(s, i))}`;
  const [z, a, delta] = [scope.z, scope.a, scope.delta].map((tables) => numberText(tables[l].at(s, i)));
  return `unit ${i} of layer ${l}: z = ${z}, a = ${a}, δ = ${delta}`;
}

/** The largest size of finite numbers, or 1. */
function greatest(numbers) {
  return Math.max(...numbers.filter(Number.isFinite).map(Math.abs), 0) || 1;
}

/** From 0 to 1; what is not finite is the largest of all. */
function shareOf(value, top) {
  return Number.isFinite(value) ? Math.abs(value) / top : 1;
}

/** Short enough for a circle: 0.53, 7e−4. */
function compact(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 0.01 && size < 1000)) return numberText(value, size >= 100 ? 3 : 2);
  const [mantissa, exponent] = value.toExponential(0).replace('-', '−').split('e');
  return Number.isFinite(value) ? `${mantissa}e${exponent.replace('+', '').replace('-', '−')}` : numberText(value);
}

function onEnter(action) {
  return (event) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
}
