'use strict';
// The source of a function, with the lines of an equation marked.

const TOKEN = /(#.*$)|("""[^]*?"""|"[^"]*")|\b(def|for|in|if|elif|else|return|and|or|not|range|prange|len)\b/;

function listingElement(term) {
  const { listing, source } = term;
  if (!listing) return [make('p', { class: 'soft' }, source ? `Computed in ${source}.` : 'Nothing is computed here.')];
  const lines = listing.lines.map((text, k) => {
    const number = listing.first + k;
    const kind = number === listing.line ? 'current' : listing.marked.includes(number) ? 'marked' : null;
    const current = kind === 'current' ? 'true' : null;
    return make('li', { class: kind, value: number, 'aria-current': current }, coloured(text));
  });
  const label = `source, ${source}`;
  return [make('ol', { class: 'code', start: listing.first, tabindex: 0, 'aria-label': label }, lines)];
}

/** Scrolls the list, and nothing else, to its current line. */
function scrollToCurrent(list) {
  const current = list?.querySelector('.current');
  if (!current) return;
  const top = current.offsetTop - list.clientHeight / 2;
  list.scrollTop = Math.max(0, top);
}

/** A line of code with its words in their colours. */
function coloured(text) {
  const parts = [];
  let rest = text || ' ';
  for (let found = TOKEN.exec(rest); found; found = TOKEN.exec(rest)) {
    const kind = found[1] ? 'comment' : found[2] ? 'string' : 'word';
    parts.push(rest.slice(0, found.index), make('span', { class: kind }, found[0]));
    rest = rest.slice(found.index + found[0].length);
  }
  return [...parts, rest];
}
