'use strict';
// Where the numbers of a term come from, and where it goes: read from the equations, too.

/** The term that an entry of an array is: { name, index }; null for what is given, as x, t and S. */
function termAt({ data, L }, { name, layer, indices }, s) {
  const { unit, weight, sample } = data.terms;
  if (name === 'C') return { name, index: {} };
  if (name === 'y') return indices.length === 2 ? { name: 'a', index: { l: L, s: indices[0], i: indices[1] } } : null;
  const shown = { W: 'dW', b: 'db' }[name] ?? name;
  if (!indices.length || !(unit.includes(shown) || weight.includes(shown))) return null;
  if (['z', 'a', 'delta'].includes(shown)) {
    return indices.length < 2 ? null : { name: shown, index: { l: layer, s: indices[0], i: indices[1] } };
  }
  const index = { l: layer, i: indices[0] };
  if (weight.includes(shown)) [, index.j] = indices;
  if (sample.includes(shown)) index.s = s;
  if (shown === 'db' && !data.network.bias) return null;
  return { name: shown, index };
}

/** Entries of arrays in the term's expression, outside its sums. */
function sourcesOf(term) {
  if (term.from) return term.from;
  const found = new Map();
  const search = (node) => {
    if (is(node, 'Sum')) return;
    if (is(node, 'Symbol') && node.indices.length && isNumbered(node)) {
      const entry = reference(node, {});
      found.set(JSON.stringify(entry), entry);
    }
    mapped(node, (part) => (search(part), part));
  };
  search(term.here);
  return [...found.values()];
}

/** Keys of all entries that the term is made of, its sums' too. */
function madeOf(term) {
  const found = new Set(sourcesOf(term).map(keyOf));
  for (const part of term.parts) {
    if (!part.expression) continue;
    for (const node of walk(part.expression)) {
      if (is(node, 'Symbol') && node.indices.length && isNumbered(node)) found.add(keyOf(reference(node, {})));
    }
  }
  return found;
}

/** The name of an entry: samples apart, since one of them is shown at a time. */
function keyOf({ name, layer, indices }) {
  const place = ['z', 'a', 'delta', 'x', 't', 'y'].includes(name) ? indices.slice(1) : indices;
  return [name, layer, ...place].join(' ');
}

/** [{ targets: [{ name, index, size }] }]: for each equation in which a term stands its targets, the largest
 * contributions first. */
function destinationsOf(trace, { name, index }) {
  if (name === 'C') return [outputDeltas(trace)];
  if (trace.data.terms.step.includes(name)) return [];
  if (isLocal(trace, name)) return [{ targets: gradientsOf(trace, name, index) }];
  const found = [];
  for (const [target, equations] of Object.entries(trace.data.which)) {
    const layers = target === 'C' ? [trace.L] : equations.keys();
    for (const l of layers) {
      if (equations[l] < 0 || isLocal(trace, target) || !isShown(trace, target)) continue;
      const targets = targetsIn(trace, trace.data.equations[equations[l]], target, l, { name, index });
      if (targets.length) found.push({ targets });
    }
  }
  return found;
}

function isShown({ data }, name) {
  if (data.terms.step.includes(name) && !data.rules) return false;
  return data.network.bias || !['b', 'db', 'dz_db'].includes(name);
}

/** The gradients that a name which was set in passing is part of. */
function gradientsOf({ data }, name, { l, i, j, s }) {
  const equation = (target) => data.equations[data.which[target][l]];
  const isPart = (target) =>
    equation(target).lines.includes(equation(name).line) ||
    [...walk(equation(target).expression)].some((node) => node.name === name);
  const indices = { dC_dw: { l, i, j, s }, dW: { l, i, j }, db: { l, i } };
  const others = (name === 'dz_db' ? ['db'] : ['dC_dw', 'dW']).filter((target) => target !== name && isPart(target));
  return others.map((target) => ({ name: target, index: indices[target], size: 0 }));
}

function outputDeltas(trace) {
  const { L, sizes } = trace;
  const targets = Array.from({ length: sizes[L] }, (_, i) => ({ name: 'delta', index: { l: L, i, s: 0 }, size: 0 }));
  return { targets };
}

function targetsIn(trace, equation, target, l, term) {
  const found = new Map();
  for (const { node, sum } of occurrences(equation.expression)) {
    const put = bindings(trace, node, l, term);
    if (!put) continue;
    for (const index of placesOf(trace, equation.target, target, l, put, term.index)) {
      const size = sum && sum.index in put ? contribution(trace, equation, sum, { ...put, ...index, l }) : 0;
      found.set(JSON.stringify(index), { name: target, index, size });
    }
  }
  return bySize([...found.values()], (each) => each.size);
}

/** Each symbol in an expression, with the sum that it stands in. */
function* occurrences(node, sum = null) {
  if (is(node, 'Symbol')) yield { node, sum };
  const inner = is(node, 'Sum') ? node : sum;
  const below = [];
  mapped(node, (part) => (below.push(part), part));
  for (const part of below) yield* occurrences(part, inner);
}

/** What the letters of W[l + 1][k, i] must be for it to be the term; null if it cannot. */
function bindings({ L }, node, l, { name, index }) {
  const isOutput = node.name === 'y' && name === 'a' && index.l === L;
  if (!isOutput && node.name !== name) return null;
  if (node.layer && evaluate(node.layer, { l, L }) !== index.l) return null;
  const own = ['z', 'a', 'delta'].includes(name) ? [index.s, index.i] : [index.i, index.j];
  if (!node.indices.every(isPlain)) return null;
  return Object.fromEntries(node.indices.map((each, k) => [each.name, own[k]]));
}

/** The indices of the targets: those that are put in, and all there are of the others. */
function placesOf({ sizes }, pattern, target, l, put, { s }) {
  if (target === 'C') return [{}];
  const letters = pattern.indices.map((index) => index.name);
  let places = [{ l }];
  for (const letter of letters) {
    const count = letter === 'i' ? sizes[l] : sizes[l - 1];
    const numbers = letter in put ? [put[letter]] : Array.from({ length: count }, (_, k) => k);
    places = places.flatMap((place) => numbers.map((number) => ({ ...place, [letter]: number })));
  }
  const isOfSample = ['dz_dw', 'dC_dw', 'dz_db'].includes(target);
  return isOfSample ? places.map((place) => ({ ...place, s: s ?? 0 })) : places;
}

function contribution(trace, equation, sum, indices) {
  const scope = within(trace.scope, indices);
  for (const other of equation.where) scope[other.target.name] = evaluate(other.expression, scope);
  return evaluate(sum.body, scope);
}
