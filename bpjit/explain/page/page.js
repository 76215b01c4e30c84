'use strict';
// The page: what is chosen, and what is drawn anew when that changes.

const PACE = 2500;
const byId = (id) => document.getElementById(id);

class Page {
  constructor(data) {
    this.trace = traceOf(data);
    const { l, i, j, s } = data.chosen;
    this.s = s;
    this.weight = { l, i, j };
    this.tourName = 'weight';
    this.gradients = false;
    this.playing = null;
    this.open = this.open.bind(this);
    this.makeTour();
    this.step = 0;
    this.term = this.tour[0];
  }

  start() {
    this.introduce();
    this.listen();
    this.readHash();
    this.draw();
  }

  get data() {
    return this.trace.data;
  }

  // ------------------------------------------------------------------------------------ what is chosen

  /** Shows a term; a weight's becomes the one that the steps follow. */
  open(term) {
    this.pause();
    this.term = { name: term.name, index: { ...term.index } };
    const { l, i, j, s } = term.index;
    if (s !== undefined && s !== this.s) this.setSample(s);
    if (j !== undefined) this.weight = { l, i, j };
    this.follow();
    this.draw();
    document.dispatchEvent(new CustomEvent('bpjit:select', { detail: { name: term.name, ...term.index } }));
  }

  /** What another part of the page has chosen. */
  told({ name, ...index }) {
    if (isThere(this.trace, name, index) && keyOfTerm({ name, index }) !== keyOfTerm(this.term)) this.open({ name, index });
  }

  /** The place of the term in the steps, if it is one of them. */
  follow() {
    this.makeTour();
    const key = keyOfTerm(this.term);
    const places = [...this.tour.keys()].filter((k) => keyOfTerm(this.tour[k]) === key);
    this.step = places.find((k) => k >= this.step) ?? places[0] ?? Math.min(this.step, this.tour.length - 1);
    this.isOnTour = places.length > 0;
    this.setView();
  }

  makeTour() {
    const { trace, s, weight } = this;
    const path = tourOfWeight(trace, { ...weight, s });
    this.ends = path.flatMap(endsOf);
    const shown = shownUnits(trace, s, this.most(), this.ends);
    this.tour = this.tourName === 'weight' ? path : tourOfUnits(trace, shown, { s });
    this.isOnTour = true;
  }

  most() {
    return window.innerWidth < 700 ? 8 : 12;
  }

  go(step) {
    this.step = Math.max(0, Math.min(this.tour.length - 1, step));
    this.term = this.tour[this.step];
    this.isOnTour = true;
    this.setView();
    this.draw();
  }

  setView() {
    this.gradients = ['delta', 'dW', 'db', 'dC_dw', 'W', 'b'].includes(this.term.name);
  }

  setTour(name) {
    this.tourName = name;
    this.makeTour();
    this.step = 0;
    this.follow();
    if (!this.isOnTour) this.go(0);
    this.draw();
  }

  setSample(s) {
    this.s = s;
    if ('s' in this.term.index) this.term = { ...this.term, index: { ...this.term.index, s } };
    byId('sample').value = s;
    this.follow();
  }

  play() {
    if (this.playing) return this.pause();
    if (this.step === this.tour.length - 1) this.go(0);
    this.playing = setInterval(() => {
      this.go(this.step + 1);
      if (this.step === this.tour.length - 1) this.pause();
    }, PACE);
    return this.drawSteps();
  }

  pause() {
    clearInterval(this.playing);
    this.playing = null;
    this.drawSteps();
  }

  // -------------------------------------------------------------------------------------------- listening

  listen() {
    const on = (id, action) => byId(id).addEventListener('click', action);
    const stepped = (action) => () => {
      this.pause();
      action();
    };
    on('first', stepped(() => this.go(0)));
    on('back', stepped(() => this.go(this.step - 1)));
    on('next', stepped(() => this.go(this.step + 1)));
    on('last', stepped(() => this.go(this.tour.length - 1)));
    on('play', () => this.play());
    on('weight', stepped(() => this.setTour('weight')));
    on('units', stepped(() => this.setTour('units')));
    on('weights', () => this.colour(false));
    on('gradients', () => this.colour(true));
    byId('search').addEventListener('submit', (event) => this.search(event));
    byId('sample').addEventListener('change', (event) => {
      this.setSample(Number(event.target.value));
      this.draw();
    });
    document.addEventListener('keydown', (event) => this.pressed(event));
    document.addEventListener('bpjit:select', ({ detail }) => this.told(detail));
    window.addEventListener('hashchange', () => {
      this.readHash();
      this.draw();
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    let width = 0;
    new ResizeObserver(([{ contentRect }]) => {
      if (Math.abs(contentRect.width - width) < 1) return;
      ({ width } = contentRect);
      this.makeTour();
      this.follow();
      this.draw();
    }).observe(byId('graph'));
  }

  colour(gradients) {
    this.gradients = gradients;
    this.draw();
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    if (target.closest('input, select, textarea, .code, #film')) return;
    const isButton = target.closest('button, [role=button], summary');
    const actions = {
      ArrowRight: () => this.go(this.step + 1),
      ArrowLeft: () => this.go(this.step - 1),
      Home: () => this.go(0),
      End: () => this.go(this.tour.length - 1),
    };
    if (event.key === ' ' && !isButton) {
      event.preventDefault();
      this.play();
    } else if (event.key in actions) {
      event.preventDefault();
      this.pause();
      actions[event.key]();
    }
  }

  /** "layer, unit" or, for a weight, "layer, unit, unit below". */
  search(event) {
    event.preventDefault();
    const text = byId('place').value;
    const isPlace = /^\s*\d+([\s,;]+\d+){1,2}\s*$/.test(text);
    const [l, i, j] = isPlace ? text.match(/\d+/g).map(Number) : [];
    const problem = problemOf(this.trace, l, i, j);
    byId('missing').textContent = problem;
    if (problem) return;
    if (j !== undefined) this.open({ name: 'dW', index: { l, i, j } });
    else this.open(unitTerm(this.term.name, l, i, { gradients: this.gradients, s: this.s }));
  }

  // ------------------------------------------------------------------------------------------- the address

  readHash() {
    if (this.written === location.hash) return;
    const term = termOfAddress(this.trace, location.hash);
    if (term) this.open(term);
  }

  writeHash() {
    this.written = addressOf(this.term);
    try {
      history.replaceState(null, '', this.written);
    } catch {
      // In a frame without an address of its own there is none to keep.
    }
  }

  // ------------------------------------------------------------------------------------------------ drawing

  introduce() {
    const { data, trace } = this;
    const layers = data.network.layers.slice(1).join(', ');
    byId('facts').append(`Layers: ${layers}. Loss: ${data.network.loss}, `);
    byId('facts').append(make('span', { class: 'whole' }, math(symbol('C')), ` = ${numberText(trace.scope.C, 5)}`));
    byId('notes').hidden = !data.notes.length;
    byId('notes').append(...data.notes.map((note) => make('li', {}, note)));
    byId('samples').hidden = trace.S === 1;
    for (let s = 0; s < trace.S; s += 1) byId('sample').append(make('option', { value: s }, String(s)));
    byId('sample').value = this.s;
    if (data.film) {
      byId('film').hidden = false;
      film(byId('film'), data.film);
    }
  }

  draw() {
    const detail = termOf(this.trace, this.term.name, this.term.index);
    this.drawSteps();
    this.drawNetwork(detail);
    this.drawTerm(detail);
    this.writeHash();
  }

  drawSteps() {
    const { step, tour, isOnTour } = this;
    byId('section').textContent = tour[step].section;
    byId('section').className = isOnTour ? '' : 'soft';
    byId('count').textContent = `${step + 1} of ${tour.length}`;
    byId('progress').max = tour.length;
    byId('progress').value = step + 1;
    byId('first').disabled = step === 0 && isOnTour;
    byId('back').disabled = step === 0;
    byId('next').disabled = step === tour.length - 1;
    byId('last').disabled = step === tour.length - 1 && isOnTour;
    byId('play').querySelector('span').textContent = this.playing ? 'Pause' : 'Play';
    pressedIf('play', this.playing !== null);
    byId('followed').replaceChildren(letterOf({ name: 'W', index: this.weight }));
    pressedIf('weight', this.tourName === 'weight');
    pressedIf('units', this.tourName === 'units');
  }

  drawNetwork(detail) {
    const { trace, term, s, gradients } = this;
    const shown = shownUnits(trace, s, this.most(), [...this.ends, ...endsOf(term), ...unitsIn(detail)]);
    const focused = document.activeElement?.dataset;
    const kept = focused && ['unit', 'weight'].find((key) => key in focused);
    const selector = kept && `[data-${kept}="${focused[kept]}"]`;
    const width = byId('graph').clientWidth;
    byId('graph').replaceChildren(graphOf(trace, { term, s, gradients, shown, width, detail }, this.open));
    byId('pictures').replaceChildren(...picturesOf(trace, { term, s, gradients }, this.open));
    if (selector) byId('graph').querySelector(selector)?.focus();
    byId('legend').textContent = gradients
      ? 'Circles are units with their δ, lines gradients of weights:'
      : 'Circles are units with their activation, lines are weights:';
    pressedIf('weights', !gradients);
    pressedIf('gradients', gradients);
  }

  drawTerm(detail) {
    const { trace, term, s, tour, step, isOnTour } = this;
    const words = describe(trace, term);
    byId('status').textContent = `${words}: ${numberText(detail.value)}`;
    byId('title').replaceChildren(letterOf(term), make('span', {}, `, ${words}`));
    byId('text').textContent = isOnTour ? tour[step].text : '';
    const panel = byId('panel');
    const wasFocused = panel.contains(document.activeElement);
    panel.replaceChildren(...panelOf(trace, detail, s, this.open));
    fit(panel, trace, detail, s, this.open);
    if (wasFocused) (panel.querySelector('.tabs [aria-pressed=true]') ?? byId('title')).focus();
    byId('cited').textContent = detail.source;
    byId('listing').replaceChildren(...listingElement(detail));
    scrollToCurrent(byId('listing').querySelector('ol'));
  }
}

function keyOfTerm({ name, index }) {
  return [name, index.l, index.i, index.j, index.s].join(' ');
}

function pressedIf(id, is) {
  byId(id).setAttribute('aria-pressed', String(is));
}

function start() {
  const data = JSON.parse(byId('data').textContent);
  notation = data.notation;
  window.page = new Page(data);
  window.page.start();
}

start();
