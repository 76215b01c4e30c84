'use strict';
// What each name of derivation.py stands for.

const OF_LAYER = ['sigma', 'sigma_prime'];
const OF_SAMPLES = ['cost_of_sample', 'dC_dy'];

function scopeOf(data) {
  const { network, numbers } = data;
  const layers = (list) => list && list.map(unpacked);
  const [z, a, delta, W] = ['z', 'a', 'delta', 'W'].map((name) => layers(numbers[name]));
  const L = network.sizes.length - 1;
  return {
    x: unpacked(numbers.x),
    t: unpacked(numbers.t),
    C: unpacked(numbers.C)[0],
    y: a[L],
    z,
    a,
    delta,
    W,
    b: layers(numbers.b),
    db: layers(numbers.db),
    dW: W.map((_, l) => l && new Gradient(delta[l], a[l - 1])),
    S: numbers.x.shape[0],
    L,
    n: network.sizes,
    softmax: network.softmax,
    sigma: z.map((table, l) => lookedUp(table.numbers, a[l].numbers)),
    sigma_prime: layers(numbers.sigma_prime).map((slopes, l) => lookedUp(z[l].numbers, slopes.numbers)),
    ...lossOf(numbers, network.sizes[L]),
    exp: Math.exp,
    max: Math.max,
  };
}

/** The gradient of a layer's weights, which its two factors are enough for. */
class Gradient {
  constructor(delta, a) {
    Object.assign(this, { delta, a });
  }

  at(i, j) {
    let sum = 0;
    for (let s = 0; s * this.a.columns < this.a.numbers.length; s += 1) sum += this.delta.at(s, i) * this.a.at(s, j);
    return sum;
  }
}

/** The weights of a layer after the step. */
class Moved {
  constructor(W, by) {
    Object.assign(this, { W, by });
  }

  at(i, j) {
    return this.W.at(i, j) + this.by.at(i, j);
  }
}

/** A function whose values were computed where they are needed. */
function lookedUp(arguments_, values) {
  const kept = new Map();
  values.forEach((value, k) => kept.set(arguments_[k], value));
  return (z) => kept.get(z) ?? NaN;
}

/** C_s and its slope along an output; a row of y or t says which sample it is. */
function lossOf(numbers, outputs) {
  const costs = unpacked(numbers.cost_of_sample);
  const slopes = unpacked(numbers.dC_dy);
  const sample = (row) => row.byteOffset / (row.BYTES_PER_ELEMENT * outputs);
  return { cost_of_sample: (y) => costs[sample(y)], dC_dy: (y, t, i) => slopes.at(sample(y), i) };
}

/** Parameters after the step, by layer; null for a trace without one. */
function updatedOf(numbers, W) {
  if (!numbers.moved_W) return null;
  const moved = numbers.moved_W.map(unpacked);
  return { W: W.map((table, l) => new Moved(table, moved[l])), b: numbers.updated_b.map(unpacked) };
}
