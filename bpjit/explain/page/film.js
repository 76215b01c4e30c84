'use strict';
// film(section, data) plays what film_data.py has recorded. The moment that is shown, k, is the number of updates done.
const film = (() => {
  const { decoded, number, range, plot, path, upright, dot, figure, moments, momentAt } = plotting;
  const SPEEDS = [1, 2, 5, 10, 30];
  const [PLAY, PAUSE] = ['▶ Play', '❚❚ Pause'];
  const OF_BIAS = ['b', 'db', 'dz_db'];

  function film(section, data) {
    const state = { k: 0, weight: data.weights.most };
    const player = { show, select };
    const figures = [lossFigure(data, state, player)];
    if (data.surface) figures.push(surface.figureOf(data, state));
    const weights = paths.figureOf(data, state, player);
    const controls = controlsOf(data, player);
    const said = make('dl', { class: 'film-said' });
    section.classList.add('film');
    section.append(
      make('h2', {}, 'Watch it learn'),
      make('p', {}, introduction(data)),
      ...data.notes.map((note) => make('p', { class: 'soft' }, note)),
      controls.element, said,
      make('div', { class: 'film-figures' }, ...figures.map((each) => each.element)),
      weights.element,
    );

    function show(k) {
      state.k = Math.min(data.steps, Math.max(0, k));
      controls.show(state.k, data);
      said.replaceChildren(...facts(data, state.k));
      for (const each of [...figures, weights]) each.redraw();
      return state.k;
    }

    function select(weight, isAsked = true) {
      state.weight = weight;
      weights.redraw();
      const [l, i, j] = data.weights.index[weight];
      const detail = j < 0 ? { name: 'b', l, i } : { name: 'W', l, i, j };
      if (isAsked) document.dispatchEvent(new CustomEvent('bpjit:select', { detail }));
    }

    document.addEventListener('bpjit:select', ({ detail: { name, l, i, j } }) => {
      const place = [l, i, OF_BIAS.includes(name) ? -1 : j];
      const at = data.weights.index.findIndex((each) => each.every((number, part) => number === place[part]));
      if (at >= 0 && at !== state.weight) select(at, false);
    });
    section.addEventListener('keydown', (event) => controls.key(event, state.k));
    show(0);
  }

  function introduction(data) {
    const batch = Math.max(...data.rows.sizes);
    const count = `${data.steps} update${data.steps > 1 ? 's' : ''}`;
    return `${count} of a network ${data.network.join('-')} by ${data.optimizer}, with mini-batches of ${batch} of ` +
      `${data.samples} samples, as the engine made them.`;
  }

  // What is known of the step that has led to this moment.
  function facts(data, k) {
    const before = (value) => (k ? value() : '–');
    const fact = (name, value) => make('div', {}, make('dt', {}, name), make('dd', {}, value));
    return [
      fact(k ? `mini-batch, in epoch ${data.epoch[k - 1]}` : 'mini-batch', before(() => rowsOf(data, k))),
      fact('its loss before the step', before(() => number(data.batchLoss[k - 1]))),
      fact('loss of all samples', `${k ? `${number(data.loss[k - 1])} → ` : ''}${number(data.loss[k])}`),
      fact('norm of the gradient', before(() => number(data.gradientNorm[k - 1], 3))),
      fact('learning rate η', before(() => number(data.rate[k - 1], 3))),
    ];
  }

  function rowsOf({ rows }, k) {
    const listed = decoded(rows.numbers, Uint32Array).slice(rows.starts[k - 1], rows.starts[k]).slice(0, 20);
    const names = Array.from(listed, (row) => (rows.names ? rows.names[row] : row));
    const size = rows.sizes[k - 1];
    return `${size > 1 ? `${size} rows: ` : 'row '}${names.join(', ')}${size > names.length ? ', …' : ''}`;
  }

  // ---------------------------------------------------------------------------------------- controls

  function controlsOf(data, player) {
    let timer = null;
    const slider = make('input', { type: 'range', min: 0, max: data.steps, value: 0, 'aria-label': 'updates done' });
    const place = make('output', { class: 'film-place' });
    const speed = make('select', { 'aria-label': 'speed' }, ...SPEEDS.map((each) => (
      make('option', { value: each }, `${each} step${each > 1 ? 's' : ''} a second`))));
    speed.value = SPEEDS.find((each) => each >= data.steps / 20) || SPEEDS.at(-1);
    const button = (label, onclick) => make('button', { type: 'button', onclick }, label);
    const back = button('‹ Back', () => move(Number(slider.value) - 1));
    const play = button(PLAY, toggle);
    const forward = button('Step ›', () => move(Number(slider.value) + 1));
    slider.addEventListener('input', () => move(Number(slider.value)));

    function move(k) {
      pause();
      player.show(k);
    }
    function tick() {
      const k = player.show(Number(slider.value) + 1);
      if (k === data.steps) pause();
      else timer = setTimeout(tick, 1000 / speed.value);
    }
    function toggle() {
      if (timer) {
        pause();
        return;
      }
      if (Number(slider.value) === data.steps) player.show(0);
      timer = setTimeout(tick, 1000 / speed.value);
      play.textContent = PAUSE;
    }
    function pause() {
      clearTimeout(timer);
      timer = null;
      play.textContent = PLAY;
    }
    function show(k) {
      slider.value = k;
      slider.setAttribute('aria-valuetext', `${k} of ${data.steps} updates, loss ${number(data.loss[k])}`);
      place.textContent = k ? `step ${k} of ${data.steps}` : `0 of ${data.steps} steps`;
      back.disabled = k === 0;
      forward.disabled = k === data.steps;
    }
    function key(event, k) {
      const to = { ArrowLeft: k - 1, ArrowRight: k + 1, Home: 0, End: data.steps }[event.key];
      const isTaken = event.altKey || event.ctrlKey || event.metaKey || [slider, speed].includes(event.target);
      if (to === undefined && !(event.key === ' ' && event.target.tagName === 'CANVAS')) return;
      event.stopPropagation();
      if (isTaken) return;
      event.preventDefault();
      if (to === undefined) toggle();
      else move(to);
    }
    const attributes = { class: 'film-controls', role: 'group', 'aria-label': 'film' };
    const element = make('div', attributes, back, play, forward, slider, place, speed);
    return { element, show, key };
  }

  // ---------------------------------------------------------------------------------------- figures

  function lossFigure(data, state, player) {
    const drawn = plot({
      label: 'Loss after each update', xRange: moments(data), whole: true, ratio: 0.62, xName: 'updates', yName: 'C',
      yRange: range([...data.loss, ...data.batchLoss]),
      draw(g, place) {
        data.batchLoss.forEach((value, k) => dot(g, place.x(k), place.y(value), 2.5, place.paint.soft));
        upright(g, place, state.k);
        g.lineWidth = 2;
        g.strokeStyle = place.paint.accent;
        path(g, place, 0, data.steps, (k) => data.loss[k]);
        dot(g, place.x(state.k), place.y(data.loss[state.k]), 6, place.paint.accent);
      },
    });
    drawn.canvas.addEventListener('click', (event) => player.show(momentAt(event, drawn, data)));
    const about = 'The line is the loss of all samples; each dot is that of a mini-batch, before its step.';
    return { element: figure('Loss', about, drawn.canvas), redraw: drawn.redraw };
  }

  return film;
})();
