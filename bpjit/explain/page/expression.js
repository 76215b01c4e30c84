'use strict';
// Expressions: the trees of the statements, to be evaluated and to put indices and numbers into.

class NoValue extends Error {}

const OPERATIONS = {
  '+': (left, right) => left + right,
  '-': (left, right) => left - right,
  '*': (left, right) => left * right,
  '/': (left, right) => left / right,
  '**': (left, right) => left ** right,
  '==': (left, right) => Number(left === right),
  '!=': (left, right) => Number(left !== right),
  '<': (left, right) => Number(left < right),
  '<=': (left, right) => Number(left <= right),
  '>': (left, right) => Number(left > right),
  '>=': (left, right) => Number(left >= right),
  '&': (left, right) => Number(left && right),
};

const plain = (value) => ({ kind: 'Number', value });
const symbol = (name, layer = null, indices = []) => ({ kind: 'Symbol', name, layer, indices });

/** The scope with more names in it. */
function within(scope, names) {
  return Object.assign(Object.create(scope), names);
}

function evaluate(node, scope) {
  switch (node.kind) {
    case 'Number':
      return Number(node.value);
    case 'Symbol':
      return entry(node, scope);
    case 'Operation':
      return OPERATIONS[node.operator](evaluate(node.left, scope), evaluate(node.right, scope));
    case 'Negative':
      return -evaluate(node.operand, scope);
    case 'Apply':
      return evaluate(node.function, scope)(...node.arguments.map((each) => evaluate(each, scope)));
    case 'Choice':
      return evaluate(evaluate(node.condition, scope) ? node.value : node.otherwise, scope);
    case 'Sum': {
      const values = terms(node, scope).map(([, value]) => value);
      if (node.operator === 'max') return values.reduce((one, other) => Math.max(one, other));
      return values.reduce((sum, value) => sum + value, 0);
    }
  }
  throw new TypeError(node.kind);
}

function entry({ name, layer, indices }, scope) {
  let value = scope[name];
  if (value === undefined) throw new NoValue(name);
  if (typeof value === 'object' && 'always' in value) return value.always;
  if (layer) value = value[evaluate(layer, scope)];
  const numbers = indices.map((index) => evaluate(index, scope));
  if (numbers.length === 2) return value.at(...numbers);
  if (numbers.length === 1) return value.row ? value.row(numbers[0]) : value[numbers[0]];
  return value;
}

/** [index, value] of each term of a sum. */
function terms(node, scope) {
  const inner = within(scope, {});
  const found = [];
  const end = evaluate(node.end, scope);
  for (let k = evaluate(node.first, scope); k < end; k += 1) {
    inner[node.index] = k;
    found.push([k, evaluate(node.body, inner)]);
  }
  return found;
}

/** The node with `change` done to each node right below it. */
function mapped(node, change) {
  switch (node.kind) {
    case 'Symbol':
      return { ...node, layer: node.layer && change(node.layer), indices: node.indices.map(change) };
    case 'Operation':
      return { ...node, left: change(node.left), right: change(node.right) };
    case 'Negative':
      return { ...node, operand: change(node.operand) };
    case 'Apply':
      return { ...node, function: change(node.function), arguments: node.arguments.map(change) };
    case 'Choice':
      return {
        ...node,
        condition: change(node.condition),
        value: change(node.value),
        otherwise: change(node.otherwise),
      };
    case 'Sum':
      return { ...node, first: change(node.first), end: change(node.end), body: change(node.body) };
    case 'Expanded':
      return { ...node, terms: node.terms.map(([k, term]) => [k, change(term)]) };
  }
  return node;
}

/** The node and all below it. */
function* walk(node) {
  yield node;
  const below = [];
  mapped(node, (part) => (below.push(part), part));
  for (const part of below) yield* walk(part);
}

/** The expression with these indices put in and their arithmetic done; summed: those of a term of a sum. */
function at(node, indices, summed = false) {
  if (isPlain(node) && node.name in indices) {
    return { ...plain(indices[node.name]), isSample: node.name === 's' && !summed };
  }
  if (node.kind === 'Sum') {
    const inner = { ...indices };
    delete inner[node.index];
    const done = mapped(node, (part) => at(part, inner, summed));
    return { ...done, first: at(node.first, indices), end: at(node.end, indices) };
  }
  const done = mapped(node, (part) => at(part, indices, summed));
  const isSum = done.kind === 'Operation' && '+-'.includes(done.operator);
  if (isSum && done.left.kind === 'Number' && done.right.kind === 'Number') return plain(evaluate(done, {}));
  return done;
}

function isPlain(node) {
  return node.kind === 'Symbol' && !node.layer && node.indices.length === 0;
}

/** The expression with numbers, of a sum at most the `most` largest terms; functions of numbers stay to be seen. */
function withNumbers(node, scope, most) {
  const inside = (part) => withNumbers(part, scope, most);
  switch (node.kind) {
    case 'Symbol':
      return { ...plain(evaluate(node, scope)), of: reference(node, scope) };
    case 'Apply':
      if (OF_SAMPLES.includes(node.function.name)) return plain(evaluate(node, scope));
      return { ...node, arguments: node.arguments.map(inside) };
    case 'Sum': {
      if (node.operator === 'max') return plain(evaluate(node, scope));
      return expanded(node, scope, most);
    }
    case 'Operation':
      if (node.operator === '==') return plain(evaluate(node, scope));
  }
  return mapped(node, inside);
}

function expanded(node, scope, most) {
  const sizes = terms(node, scope);
  const kept = largest(sizes, most);
  const written = sizes
    .filter(([k]) => kept.has(k))
    .map(([k]) => [k, withNumbers(node.body, within(scope, { [node.index]: k }), most)]);
  const rest = sizes.reduce((sum, [k, value]) => (kept.has(k) ? sum : sum + value), 0);
  return { kind: 'Expanded', index: node.index, terms: written, rest, others: sizes.length - written.length };
}

/** The indices of the largest terms, without those that are 0; of a sum that is not longer by more than one, all. */
function largest(sizes, most) {
  if (sizes.length <= most + 1) return new Set(sizes.map(([k]) => k));
  const some = sizes.filter(([, value]) => value !== 0);
  const order = bySize(some.length ? some : sizes.slice(0, 1), ([, value]) => value);
  return new Set(order.slice(0, most).map(([k]) => k));
}

/** In the order of their absolute values, the greatest first, NaN before all. */
function bySize(list, valueOf) {
  const size = (each) => (Number.isNaN(valueOf(each)) ? Infinity : Math.abs(valueOf(each)));
  return [...list].sort((one, other) => size(other) - size(one) || 0);
}

/** What an entry of an array is: its name, with layer and indices as numbers; undefined for anything else. */
function reference({ name, layer, indices }, scope) {
  try {
    return {
      name,
      layer: layer ? evaluate(layer, scope) : null,
      indices: indices.map((index) => evaluate(index, scope)),
    };
  } catch (error) {
    if (error instanceof NoValue) return undefined;
    throw error;
  }
}
