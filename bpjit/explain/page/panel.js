'use strict';
// The panel: a term's equation, its numbers, where they come from and where they go.

const SHOWN = 7;
const MORE = 30;

/** The panel's elements for what termOf gave. open(term) is called for what is clicked. */
function panelOf(trace, detail, s, open) {
  return [
    tabs(trace, detail, s, open),
    equationElement(trace, detail),
    whereElement(trace, detail),
    partsElement(trace, detail, s, open),
    sourcesElement(trace, detail, s, open),
    destinationsElement(trace, detail, s, open),
    ...detail.notes.map((note) => make('p', { class: 'note' }, note)),
  ].map((element) => linkedTo(trace, element, s, open));
}

/** All numbers of the same unit or weight. */
function tabs(trace, { name, index }, s, open) {
  if (name === 'C') return null;
  const { l, i, j } = index;
  let names = j === undefined ? ['z', 'a', 'delta', 'db', 'b'] : ['dz_dw', 'dC_dw', 'dW', 'W'];
  if (name === 'dz_db') names = ['z', 'a', 'delta', 'dz_db', 'db', 'b'];
  if (l === 0) names = ['a'];
  const shown = names.filter((each) => isShown(trace, each)).map((each) => {
    const other = { l, i };
    if (j !== undefined) other.j = j;
    if (trace.data.terms.sample.includes(each)) other.s = index.s ?? s;
    const isCurrent = each === name;
    const letter = [letterOf({ name: each, index: other }), ['W', 'b'].includes(each) ? ' ←' : ''];
    const mark = make('span', { class: 'soft' }, equationOf(trace, each, other).marks[0] ?? '');
    const term = { name: each, index: other };
    const attributes = { type: 'button', 'aria-pressed': String(isCurrent), title: describe(trace, term) };
    return make('button', { ...attributes, 'data-name': each, onclick: () => open(term) }, letter, mark);
  });
  return make('div', { class: 'tabs', role: 'group', 'aria-label': 'numbers of the same place' }, shown);
}

// ----------------------------------------------------------------------------------------------- equation

function equationElement(trace, detail) {
  const { general, target, here, numbers, relation, value, marks } = detail;
  const rows = [row('general', general.target, general.relation, math(general.expression))];
  const isSame = (one, other) => one.textContent === other.textContent;
  if (!isSame(math(target), math(general.target)) || !isSame(math(here), math(general.expression))) {
    rows.push(row('here', target, relation, math(here)));
  }
  const isKnown = numbers && numberText(value) !== math(numbers).textContent;
  if (isKnown) rows.push(row('numbers', null, '=', math(numbers)));
  rows.push(row('value', null, '=', make('output', { 'data-value': String(value) }, numberText(value, 7))));
  const cited = [...marks, detail.source].filter(Boolean);
  const head = make('p', { class: 'cited' }, cited.map((each) => make('span', {}, each)));
  return make('div', { class: 'equation' }, head, make('div', { class: 'rows' }, rows.flat()));
}

function row(kind, target, relation, right) {
  return [
    make('div', { class: `left ${kind}` }, target && math(target), make('span', { class: 'relation' }, relation)),
    make('div', { class: `right ${kind}` }, right),
  ];
}

/** Breaks the sums of the numbers into lines until they fit; the panel is in the page. */
function fit(panel, trace, { numbers }, s, open) {
  const cell = panel.querySelector('.right.numbers');
  if (!cell) return;
  for (let perLine = trace.data.limits.written; perLine > 0 && cell.scrollWidth > cell.clientWidth; perLine -= 1) {
    cell.replaceChildren(inLines(math(numbers), perLine));
  }
  linkedTo(trace, cell, s, open);
}

/** Long sums take several lines, with so many terms in each. */
function inLines(element, perLine) {
  for (const sum of element.querySelectorAll('.terms')) {
    const parts = [[]];
    for (const child of sum.children) {
      const isNext = child.localName === 'mo' && '+−'.includes(child.textContent) && parts.at(-1).length;
      if (isNext && child.previousElementSibling.localName !== 'mo') parts.push([]);
      parts.at(-1).push(child);
    }
    if (parts.length <= perLine) continue;
    const lines = [];
    for (let k = 0; k < parts.length; k += perLine) lines.push(parts.slice(k, k + perLine).flat());
    sum.append(tag('mtable', lines.map((line) => tag('mtr', tag('mtd', line)))));
    sum.firstChild.classList.add('lines');
  }
  return element;
}

// -------------------------------------------------------------------------------------------------- where

function whereElement(trace, { where }) {
  if (!where.length) return null;
  const lines = where.map((each) => make('li', {}, whereParts(each)));
  return make('div', {}, make('h3', {}, 'where'), make('ul', { class: 'where' }, lines));
}

function whereParts({ target, relation, expression, numbers, value, text, source }) {
  const parts = [];
  if (target) parts.push(math(target));
  if (expression) parts.push(make('span', { class: 'relation' }, relation), math(expression));
  const last = () => parts.at(-1)?.textContent;
  const equals = () => make('span', { class: 'relation' }, '=');
  if (numbers && math(numbers).textContent !== last()) parts.push(equals(), math(numbers));
  if (!Number.isNaN(value) && numberText(value, 5) !== last()) {
    parts.push(equals(), make('span', { class: 'number' }, numberText(value, 5)));
  }
  if (text) parts.push(make('span', { class: 'soft' }, text));
  if (source) parts.push(make('span', { class: 'soft cited' }, source));
  return parts;
}

// ------------------------------------------------------------------------------------- where from and to

function partsElement(trace, { parts }) {
  if (parts.length < 2) return null;
  const count = parts.reduce((sum, part) => sum + (part.others || 1), 0);
  const top = greatest(parts.map((part) => part.value));
  const list = make('ol', { class: 'parts' });
  const button = make('button', { type: 'button', class: 'more' });
  const show = (from, to) => {
    list.append(...parts.slice(from, to).map((part) => partRow(part, top)));
    const rest = parts.slice(to);
    button.hidden = !rest.length;
    const sum = rest.reduce((total, part) => total + part.value, 0);
    const isZero = rest.every((part) => part.value === 0);
    const which = isZero ? 'that are 0' : `smaller ones, together ${numberText(sum)}`;
    button.textContent = `${rest.length} ${which}`;
    button.onclick = () => {
      show(to, to + MORE);
      list.dispatchEvent(new CustomEvent('grown', { bubbles: true }));
    };
  };
  const some = parts.filter((part) => part.value !== 0).length || 1;
  show(0, parts.length <= SHOWN + 1 && some > 2 ? parts.length : Math.min(SHOWN, some));
  const title = count > SHOWN + 1 ? `its ${count} terms, the largest first` : `its ${count} terms`;
  return make('div', {}, make('h3', {}, title), list, button);
}

function partRow(part, top) {
  const bar = make('span', { class: part.value < 0 ? 'bar negative' : 'bar', 'aria-hidden': 'true' }, make('span'));
  bar.firstChild.style.width = `${100 * shareOf(part.value, top)}%`;
  const shown = part.expression
    ? make('span', { class: 'term' }, math(part.expression, '=', part.numbers()))
    : make('span', { class: 'term soft' }, `${part.others} others`);
  const number = make('span', { class: 'number', 'data-value': String(part.value) }, numberText(part.value));
  return make('li', {}, number, bar, shown);
}

function sourcesElement(trace, detail, s, open) {
  const chips = sourcesOf(detail).flatMap(({ name, layer, indices }) => {
    const term = termAt(trace, { name, layer, indices }, detail.index.s ?? s);
    if (!term) return [];
    const putIn = indices.map(plain);
    if (trace.data.notation.samples.includes(name)) putIn[0].isSample = true;
    // Of a weight its own value, though the button leads to its gradient.
    const entry = symbol(name, layer === null ? null : plain(layer), putIn);
    const scope = isLocal(trace, name) ? detail.scope : trace.scope;
    return [chip(trace, term, open, math(entry), make('span', {}, `= ${numberText(evaluate(entry, scope), 3)}`))];
  });
  return chips.length ? make('div', {}, make('h3', {}, 'comes from'), make('div', { class: 'chips' }, chips)) : null;
}

function destinationsElement(trace, term, s, open) {
  const groups = destinationsOf(trace, term);
  if (!groups.length) return null;
  const rows = groups.map(({ targets }) => {
    const shown = targets.slice(0, SHOWN - 2);
    const chips = shown.map(({ name, index }) => {
      const withSample = trace.data.terms.sample.includes(name) ? { ...index, s: term.index.s ?? s } : index;
      const target = { name, index: withSample };
      return chip(trace, target, open, letterOf(target));
    });
    const rest = targets.length - shown.length;
    return [chips, rest > 0 ? make('span', { class: 'soft' }, `and ${rest} more`) : null];
  });
  return make('div', {}, make('h3', {}, 'goes into'), make('div', { class: 'chips' }, rows));
}

/** Symbols and numbers that lead somewhere: with the mouse anywhere, with the keyboard in the list of terms. */
function linkedTo(trace, element, s, open) {
  if (!element) return '';
  const link = () => {
    for (const each of element.querySelectorAll('[data-of]')) {
      const term = termAt(trace, JSON.parse(each.dataset.of), s);
      delete each.dataset.of;
      if (!term) continue;
      each.classList.add('link');
      each.addEventListener('click', () => open(term));
      if (!each.closest('.parts') || ['mn', 'mo', 'msup'].includes(each.localName)) continue;
      each.setAttribute('tabindex', '0');
      each.setAttribute('role', 'link');
      each.setAttribute('aria-label', describe(trace, term));
      each.addEventListener('keydown', onEnter(() => open(term)));
    }
  };
  element.addEventListener('grown', link);
  link();
  return element;
}
