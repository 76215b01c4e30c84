'use strict';
// What is shown, in the page's address: #term=delta&l=1&i=3&s=0.

function addressOf({ name, index }) {
  return `#${new URLSearchParams({ term: name, ...index })}`;
}

/** The term that an address names; null for one that there is not. */
function termOfAddress(trace, address) {
  const given = new URLSearchParams(address.slice(1));
  const name = given.get('term');
  const letters = [...'lijs'].filter((letter) => given.has(letter));
  const index = Object.fromEntries(letters.map((letter) => [letter, Number(given.get(letter))]));
  return isThere(trace, name, index) ? { name, index } : null;
}

function isThere(trace, name, index) {
  if (name === 'C') return !Object.keys(index).length;
  const { unit, weight, sample } = trace.data.terms;
  const isName = [...unit, ...weight].includes(name) && isShown(trace, name);
  const isWhole = Object.values(index).every((number) => Number.isInteger(number) && number >= 0);
  if (!isName || !isWhole) return false;
  const { l, i, j, s } = index;
  if (problemOf(trace, l, i, j) || (l === 0 && name !== 'a')) return false;
  if (weight.includes(name) !== (j !== undefined) || sample.includes(name) !== (s !== undefined)) return false;
  return s === undefined || s < trace.S;
}

/** What is wrong with a layer, a unit and, of a weight, a unit below; '' if nothing is. */
function problemOf({ sizes, L }, l, i, j) {
  if (l === undefined || i === undefined) return 'Write a layer and a unit, as 1, 0.';
  if (l > L) return `The network has layers 0 (the input) … ${L}.`;
  if (i >= sizes[l]) return `Layer ${l} has units 0 … ${sizes[l] - 1}.`;
  if (j !== undefined && l === 0) return 'No weights lead to the input.';
  if (j !== undefined && j >= sizes[l - 1]) return `Layer ${l - 1} has units 0 … ${sizes[l - 1] - 1}.`;
  return '';
}
