'use strict';
// The step where it is not E10 itself: what the rule of an optimiser makes of a parameter.

const MATHEMATICS = {
  sqrt: Math.sqrt,
  abs: Math.abs,
  max: Math.max,
  min: Math.min,
  sign: Math.sign,
  exp: Math.exp,
  log: Math.log,
  tanh: Math.tanh,
};

function stepTerm(trace, name, index, rule) {
  const letters = name === 'W' ? ['i', 'j'] : ['i'];
  const general = symbol(name, symbol('l'), letters.map((letter) => symbol(letter)));
  const target = at(general, index);
  const value = valueOf(trace, name, index);
  const shell = { name, index, target, relation: '←', value, parts: [], where: [], scope: {} };
  if (rule.frozen) {
    const equation = { target: general, relation: '←', expression: general };
    const nowhere = { marks: [], source: '', listing: null };
    return { ...shell, ...nowhere, general: equation, here: target, numbers: plain(value), notes: [rule.frozen] };
  }
  const slope = { ...target, name: `d${name}` };
  const scope = scopeOfRule(trace, name, index, rule);
  const final = rule.statements.findLast((each) => each.name === rule.theta);
  const place = rule.statements.indexOf(final);
  const where = [line({ target: symbol(rule.gradient), expression: slope, value: scope[rule.gradient] })];
  if (rule.penalty) where.push(done(rule.penalty, scope));
  rule.moments.forEach((moment, k) => {
    const before = { value: placed(rule.arrays[k], index), text: 'before this step' };
    where.push(line({ target: symbol(moment), ...before }));
  });
  for (const each of rule.begin) where.push({ ...shownOf(each, scope), value: scope[each.name] });
  for (const each of rule.statements.slice(0, place)) where.push(done(each, scope));
  const numbers = numbersOf(final.expression, scope);
  const parts = partsOfStep(trace, final.expression, scope);
  for (const each of rule.statements.slice(place + 1)) where.push(done(each, scope));
  return {
    ...shell,
    general: { target: general, relation: '←', expression: renamed(final.expression, rule.theta, general) },
    here: renamed(final.expression, rule.theta, target),
    numbers,
    where,
    parts,
    marks: ['E10'],
    source: final.source,
    listing: listingOf(rule, final),
    notes: rule.notes,
    from: [reference(slope, {})],
  };
}

function scopeOfRule(trace, name, index, rule) {
  rule.arrays ??= rule.before.map(unpacked);
  const known = Object.fromEntries(Object.entries(rule.known).map(([key, value]) => [key, Number(value)]));
  const scope = within(MATHEMATICS, known);
  scope[rule.theta] = placed(trace.scope[name][index.l], index);
  scope[rule.gradient] = placed(trace.scope[`d${name}`][index.l], index);
  rule.moments.forEach((moment, k) => {
    scope[moment] = placed(rule.arrays[k], index);
  });
  return scope;
}

function placed(array, { i, j }) {
  return j === undefined ? array[i] : array.at(i, j);
}

/** A statement of the rule: its line, with the value put into the scope. */
function done(each, scope) {
  const shown = shownOf(each, scope);
  scope[each.name] = shown.value;
  return shown;
}

function shownOf(each, scope) {
  const numbers = numbersOf(each.expression, scope);
  const value = ifKnown(() => evaluate(each.expression, scope)) ?? NaN;
  const { relation, expression, source } = each;
  return line({ target: symbol(each.name), relation, expression, numbers, value, source });
}

/** The expression with numbers; null where a name in it has none. */
function numbersOf(expression, scope) {
  return ifKnown(() => withNumbers(expression, scope, Infinity));
}

/** What is found, or null where a name or a function has no value here. */
function ifKnown(find) {
  try {
    return find();
  } catch (error) {
    if (error instanceof NoValue) return null;
    throw error;
  }
}

/** The old value, and what is taken off it. */
function partsOfStep(trace, expression, scope) {
  if (!is(expression, 'Operation') || !'+-'.includes(expression.operator)) return [];
  if (ifKnown(() => evaluate(expression, scope)) === null) return [];
  const still = Object.assign(Object.create(MATHEMATICS), scope); // moments change after it
  const right = partOf(trace, expression.right, still, expression.operator === '-' ? -1 : 1);
  return bySize([partOf(trace, expression.left, still, 1), right], (part) => part.value);
}

function renamed(node, name, by) {
  if (isPlain(node) && node.name === name) return by;
  return mapped(node, (part) => renamed(part, name, by));
}

function listingOf(rule, final) {
  if (!rule.source) return null;
  const line = Number(final.source.split(':')[1]);
  const marked = rule.statements.map((each) => Number(each.source.split(':')[1]));
  return { ...rule.source, line, marked };
}
