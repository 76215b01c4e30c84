'use strict';
// Ways through the derivation: of one weight, as `Trace.walk` has it, and of all units, layer by layer.

/** The steps for one weight: { section, text, name, index }. */
function tourOfWeight(trace, { l, i, j, s }) {
  const { L, S, scope, data } = trace;
  const top = l < L ? indexOfLargest(scope.delta[L].row(s)) : i;
  const known = {
    l, i, L, top,
    outputs: vectorText(scope.a[L].row(s), data.limits.units),
    targets: vectorText(scope.t.row(s), data.limits.units),
    deltas: vectorText(scope.delta[L].row(s), data.limits.units),
  }; // prettier-ignore
  const steps = [];
  const section = (key, ...terms) => {
    const [heading, template] = data.texts[key];
    const text = template.replace(/\{(\w+)\}/g, (_, name) => known[name]);
    for (const [name, index] of terms) steps.push({ section: heading, text, name, index });
  };
  const bias = data.network.bias;
  section('forward', ['z', { l, i, s }], ['a', { l, i, s }]);
  if (l < L) section('output', ['z', { l: L, i: top, s }], ['a', { l: L, i: top, s }], ['C', {}]);
  else section('cost', ['C', {}]);
  section('factors', ['dC_dw', { l, i, j, s }], ['dz_dw', { l, i, j, s }]);
  section('last', ['delta', { l: L, i: top, s }]);
  if (l < L) section(l < L - 1 ? 'recursions' : 'recursion', ...recursion(trace, l, i, s));
  section(S > 1 ? 'gradients' : 'gradient', ['dW', { l, i, j }], ...(bias ? [['db', { l, i }]] : []));
  if (data.rules) section('step', ['W', { l, i, j }], ...(bias ? [['b', { l, i }]] : []));
  return steps;
}

/** From the layer below the last one down: of each layer between the unit that counts most for the chosen one. */
function recursion({ L, scope }, l, i, s) {
  const path = [['delta', { l, i, s }]];
  for (let layer = l, unit = i; layer + 1 < L; layer += 1) {
    const delta = scope.delta[layer + 1].row(s);
    unit = indexOfLargest([...delta].map((value, k) => value * scope.W[layer + 1].at(k, unit)));
    path.unshift(['delta', { l: layer + 1, i: unit, s }]);
  }
  return path;
}

/** All passes, for the units that are shown. shown: by layer, their indices. */
function tourOfUnits(trace, shown, { s }) {
  const { L, data, scope } = trace;
  const bias = data.network.bias;
  const layers = Array.from({ length: L }, (_, k) => k + 1);
  const units = (l, list) => shown[l].flatMap((i) => list.map((name) => [name, { l, i, s }]));
  const steps = [];
  const section = (heading, text, terms) => {
    for (const [name, index] of terms) steps.push({ section: heading, text, name, index });
  };
  for (const l of layers) section(`Forward: layer ${l}`, FORWARD, units(l, ['z', 'a']));
  section('The cost', COST, [['C', {}]]);
  for (const l of [...layers].reverse()) {
    section(`Backward: layer ${l}`, l === L ? LAST : BACKWARD, units(l, ['delta']));
  }
  const heaviest = (l, i) => shown[l - 1].reduce((one, j) => (size(l, i, j) > size(l, i, one) ? j : one));
  const size = (l, i, j) => Math.abs(scope.dW[l].at(i, j));
  const ofUnits = (l, weight, unit) =>
    shown[l].flatMap((i) => [[weight, { l, i, j: heaviest(l, i) }], ...(bias ? [[unit, { l, i }]] : [])]);
  for (const l of layers) section(`The gradient: layer ${l}`, GRADIENT, ofUnits(l, 'dW', 'db'));
  if (data.rules) for (const l of layers) section(`The step: layer ${l}`, STEP, ofUnits(l, 'W', 'b'));
  return steps;
}

const FORWARD = 'Each unit adds up what it receives, and passes on its activation.';
const COST = 'What the outputs cost, where the targets were wanted.';
const LAST = 'How the cost answers to what each output unit receives: here the way back begins.';
const BACKWARD = 'How the cost answers to what each unit receives: through all units of the layer above.';
const GRADIENT = 'Of each unit the weight with the largest gradient, and the bias.';
const STEP = 'Each parameter moves against its gradient.';

function indexOfLargest(numbers) {
  let found = 0;
  numbers.forEach((value, k) => {
    if (Math.abs(value) > Math.abs(numbers[found])) found = k;
  });
  return found;
}

/** The numbers of a layer as text: all of a few, else the largest. */
function vectorText(numbers, listed) {
  const values = [...numbers];
  if (values.length <= 2 * listed) return values.map((value) => numberText(value, 3)).join(', ');
  const order = bySize([...values.keys()], (k) => values[k]).slice(0, listed);
  const shown = order.map((k) => `${numberText(values[k], 3)} (${k})`).join(', ');
  return `${shown}, and ${values.length - listed} smaller ones`;
}
