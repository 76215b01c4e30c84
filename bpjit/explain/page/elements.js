'use strict';
// Elements of the page: what is given as text stays text.

const SVG = 'http://www.w3.org/2000/svg';

/** make('button', { class: 'step', onclick }, 'next'): attributes, listeners (onclick, ...) and children. */
function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A letter as it stands in formulas, with its indices. */
function letterOf({ name, index }) {
  const { l, i, j, s } = index;
  if (name === 'C') return math(symbol('C'));
  const numbers = { z: [s, i], a: [s, i], delta: [s, i], dW: [i, j], W: [i, j], db: [i], b: [i], dz_db: [i] };
  const indices = (numbers[name] ?? [i, j]).map(plain);
  if (['z', 'a', 'delta'].includes(name)) indices[0].isSample = true;
  return math(symbol(name, plain(l), indices));
}

/** A button that leads to a term. */
function chip(trace, term, open, ...children) {
  const title = describe(trace, term);
  return make('button', { type: 'button', class: 'chip', title, onclick: () => open(term) }, children);
}

/** What a term is, in words. */
function describe({ L, S }, { name, index: { l, i, j, s } }) {
  const unit = l === 0 ? `input ${i}` : `unit ${i} of layer ${l}`;
  const below = l === 1 ? `input ${j}` : `unit ${j} of layer ${l - 1}`;
  const weight = `the weight from ${below} to ${unit}`;
  const ofSample = S > 1 && s !== undefined ? `, sample ${s}` : '';
  const texts = {
    z: `what ${unit} receives`,
    a: l === 0 ? unit : `the activation of ${unit}${l === L ? ', an output' : ''}`,
    C: 'the cost',
    delta: `how the cost answers to what ${unit} receives`,
    dz_dw: `how what ${unit} receives answers to the weight from ${below}`,
    dz_db: `how what ${unit} receives answers to its bias`,
    dC_dw: `the gradient of ${weight}`,
    dW: `the gradient of ${weight}`,
    db: `the gradient of the bias of ${unit}`,
    W: `${weight}, after the step`,
    b: `the bias of ${unit}, after the step`,
  };
  return texts[name] + ofSample;
}
