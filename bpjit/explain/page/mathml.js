'use strict';
// Expressions as MathML: elements, as many as the formula has; names are text and nothing else.

const MATHML = 'http://www.w3.org/1998/Math/MathML';
const SIGNS = { '-': '−', '!=': '≠', '<=': '≤', '>=': '≥', '&': '∧' };
const TIMES = { letters: '\u2062', mixed: '·', numbers: '×' };
const [COMPARISON, ADDITION, PRODUCT, NEGATION, POWER, ATOM] = [1, 2, 3, 4, 5, 6];
const BINDS = { '+': ADDITION, '-': ADDITION, '*': PRODUCT, '**': POWER };
const is = (node, ...kinds) => kinds.includes(node.kind);

/** How names are written, from the page's data. */
let notation;

function tag(name, ...children) {
  const element = document.createElementNS(MATHML, name);
  element.append(...children.flat(Infinity));
  return element;
}

const operator = (sign) => tag('mo', sign);
const prefix = () => withAttributes(operator('−'), { form: 'prefix' });
const closed = (row) => [tag('mrow', operator('('), row, operator(')'))];
const isMinus = (element) => element && element.localName === 'mo' && element.textContent === '−';

function withAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** A <math> element around expressions and signs between them. */
function math(...parts) {
  const rows = parts.map((part) => (typeof part === 'string' ? operator(part) : written(part)[0]));
  return withAttributes(tag('math', rows), { displaystyle: 'true' });
}

/** The elements of an expression, and how closely its parts are bound. bound: indices that a sum around it runs over. */
function written(node, bound = []) {
  const row = (part) => written(part, bound)[0];
  switch (node.kind) {
    case 'Number':
      return [numberRow(Number(node.value), node.of), Number(node.value) < 0 ? NEGATION : ATOM];
    case 'Symbol':
      return [[symbolElement(node, bound)], ATOM];
    case 'Negative':
      return [[prefix(), ...inside(node.operand, is(node.operand, 'Sum') ? PRODUCT : NEGATION, bound)], NEGATION];
    case 'Operation':
      return operation(node, bound);
    case 'Apply':
      return [[application(node, bound)], ATOM];
    case 'Choice': {
      const rows = [
        tag('mtr', tag('mtd', row(node.value)), tag('mtd', tag('mtext', 'if\u00a0'), row(node.condition))),
        tag('mtr', tag('mtd', row(node.otherwise)), tag('mtd', tag('mtext', 'else'))),
      ];
      return [[tag('mrow', operator('{'), tag('mtable', rows))], ATOM];
    }
    case 'Sum':
      return [sumRow(node, bound), PRODUCT];
    case 'Expanded':
      return [[expandedRow(node, bound)], node.terms.length + (node.others > 0) > 1 ? ADDITION : PRODUCT];
  }
  throw new TypeError(node.kind);
}

function inside(node, least, bound) {
  const [row, binds] = written(node, bound);
  return binds >= least ? row : closed(row);
}

function numberRow(value, of) {
  const text = numberText(value);
  const [, sign, mantissa, cross, power] = text.match(/^(−?)(.*?)(?:(×)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?$/);
  const row = sign ? [prefix()] : [];
  if (mantissa) row.push(tag('mn', mantissa));
  if (power) {
    const exponent = [...power].map((digit) => (digit === '⁻' ? '−' : SUPERSCRIPTS.indexOf(digit))).join('');
    if (cross) row.push(operator('×'));
    row.push(tag('msup', tag('mn', '10'), tag('mn', exponent)));
  }
  for (const element of row) linked(element, of);
  return row;
}

/** An element that leads to the entry of an array that it shows. */
function linked(element, of) {
  if (of && of.indices.length) element.dataset.of = JSON.stringify(of);
  return element;
}

function operation({ operator: sign, left, right }, bound) {
  if (sign === '==') {
    const row = [operator('['), ...written(left, bound)[0], operator('='), ...written(right, bound)[0], operator(']')];
    return [row, ATOM];
  }
  if (sign === '/') {
    return [[tag('mfrac', tag('mrow', written(left, bound)[0]), tag('mrow', written(right, bound)[0]))], ATOM];
  }
  if (sign === '**') {
    return [[tag('msup', tag('mrow', inside(left, ATOM, bound)), tag('mrow', written(right, bound)[0]))], POWER];
  }
  const binds = BINDS[sign] ?? COMPARISON;
  let least = sign === '-' ? binds + 1 : binds;
  if (sign === '*') least = is(right, 'Sum', 'Expanded') || isProduct(right) ? PRODUCT : NEGATION;
  const first = inside(left, sign === '*' && is(left, 'Sum') ? ATOM : binds, bound);
  const [row, inner] = written(right, bound);
  if (sign === '+' && is(right, 'Number') && isMinus(row[0])) return [[...first, ...added(row)], binds];
  const mustClose = inner < least || ('+-*'.includes(sign) && isMinus(row[0]));
  const mark = sign === '*' ? multiplied(times(left, right)) : operator(SIGNS[sign] ?? sign);
  return [[...first, mark, ...(mustClose ? closed(row) : row)], binds];
}

function multiplied(kind) {
  return withAttributes(operator(TIMES[kind]), kind === 'letters' ? { lspace: '0.11em', rspace: '0.11em' } : {});
}

const isProduct = (node) => is(node, 'Operation') && node.operator === '*';

/** Letters stand side by side, numbers have a cross between them. */
function times(left, right) {
  const last = factorAt(left, 'right');
  const first = factorAt(right, 'left');
  if (is(last, 'Number', 'Expanded') && is(first, 'Number', 'Expanded', 'Apply')) return 'numbers';
  if (is(last, 'Apply') && is(first, 'Number', 'Expanded')) return 'numbers';
  const isLetter = (node) => is(node, 'Symbol', 'Apply') && !notation.fractions[(node.function ?? node).name];
  const follows = !is(first, 'Number') && (!is(first, 'Symbol', 'Apply') || isLetter(first));
  return isLetter(last) && follows ? 'letters' : 'mixed';
}

/** The first or last factor of a product. */
function factorAt(node, side) {
  let factor = node;
  while (isProduct(factor)) factor = factor[side];
  return factor;
}

/** A letter with indices below and its layer above. */
function scripted(letter, layer, indices) {
  const base = tag('mi', letter);
  const isSeveral =
    indices.some((row) => row.map((each) => each.textContent).join('').length > 1) ||
    (indices.length > 1 && indices.every((row) => row.some((each) => each.localName === 'mn')));
  const below = indices.flatMap((row, k) => (k && isSeveral ? [operator(','), ...row] : row));
  if (indices.length && layer) return tag('msubsup', base, tag('mrow', below), tag('mrow', layer));
  if (indices.length) return tag('msub', base, tag('mrow', below));
  return layer ? tag('msup', base, tag('mrow', layer)) : base;
}

function symbolElement(node, bound) {
  const { name } = node;
  const layer = () => node.layer && written(node.layer, bound)[0];
  const indices = (...range) => withoutSample(node, bound).slice(...range).map((index) => written(index, bound)[0]);
  const letter = notation.glyphs[name] ?? name;
  const fraction = notation.fractions[name];
  const [base, below] = letter.split(/_(.*)/s);
  let element;
  if (fraction) {
    const [up, down, ofUp, ofDown] = fraction;
    const upper = scripted(up, up === 'C' ? null : layer(), indices(...ofUp));
    element = slope(upper, scripted(down, layer(), indices(...ofDown)));
  } else if (notation.functions.includes(name) && node.layer) element = scripted(letter, null, [layer()]);
  else if (below?.length === 1) element = scripted(base, layer(), [[tag('mi', below)], ...indices()]);
  else element = scripted(letter, layer(), indices());
  return linked(element, isNumbered(node) ? reference(node, {}) : undefined);
}

const isNumbered = (node) => [node.layer, ...node.indices].every((each) => !each || is(each, 'Number'));

function slope(up, down) {
  return tag('mfrac', tag('mrow', operator('∂'), up), tag('mrow', operator('∂'), down));
}

/** The indices that are written: without the sample's, unless samples are summed. */
function withoutSample({ name, indices }, bound) {
  const [first] = indices;
  const isFree = first && (first.isSample || (isPlain(first) && first.name === 's' && !bound.includes('s')));
  return isFree && notation.samples.includes(name) ? indices.slice(1) : indices;
}

function application({ function: called, arguments: given }, bound) {
  const fraction = notation.fractions[called.name];
  const rows = (fraction ? given.slice(0, -1) : given).map((each) => written(each, bound)[0]);
  const list = rows.flatMap((row, k) => (k ? [operator(','), ...row] : row));
  if (fraction) {
    const upper = scripted(fraction[0], null, [[tag('mi', 's')]]);
    const along = slope(upper, scripted(fraction[1], null, [written(given.at(-1), bound)[0]]));
    return tag('mrow', along, operator('('), list, operator(')'));
  }
  if (called.name === 'sqrt') return tag('msqrt', list);
  if (called.name === 'abs') return tag('mrow', operator('|'), list, operator('|'));
  return tag('mrow', symbolElement(called, bound), operator('('), list, operator(')'));
}

function sumRow(node, bound) {
  const body = inside(node.body, PRODUCT, [...bound, node.index]);
  if (node.operator !== '+') return [tag('munder', operator(node.operator), tag('mi', node.index)), ...body];
  const below = tag('mrow', tag('mi', node.index), operator('='), written(node.first)[0]);
  const last = { kind: 'Operation', operator: '-', left: node.end, right: plain(1) };
  // The sign's size is the style sheet's affair: not every font has a larger one.
  const sign = withAttributes(operator('∑'), { largeop: 'false', movablelimits: 'false', class: 'sum' });
  return [tag('munderover', sign, below, tag('mrow', written(last)[0])), ...body];
}

function expandedRow(node, bound) {
  const parts = node.terms.map(([, term]) => inside(term, PRODUCT, bound));
  const row = parts.flatMap((part, k) => (k ? added(part) : part));
  if (node.others) {
    const rest = numberRow(node.rest);
    const sign = parts.length ? added(rest).slice(0, 1) : [];
    const figures = parts.length && isMinus(rest[0]) ? rest.slice(1) : rest;
    row.push(...sign, tag('munder', tag('mrow', figures), tag('mtext', `${node.others} others`)));
  }
  return withAttributes(tag('mrow', row.length ? row : tag('mn', '0')), { class: 'terms' });
}

/** A term with the sign before it that joins it to others. */
function added(row) {
  return isMinus(row[0]) ? [operator('−'), ...row.slice(1)] : [operator('+'), ...row];
}
