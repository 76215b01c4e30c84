'use strict';
// What a network of two inputs answers, at every moment of a film, and its samples.
const surface = (() => {
  const { MARGIN, decoded, number, rgb, mixed, plot, figure } = plotting;
  const LEVELS = 65535;
  const CLASSES = [
    '#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#999999', '#b8a800', '#882255', '#44aa99',
  ];
  const SHAPES = [[0, 0], [4, 0.25], [3, -0.5], [4, 0]];

  function figureOf(data, state) {
    const s = data.surface;
    const pixels = decoded(s.pixels, Uint16Array);
    const classes = s.classes && decoded(s.classes, Uint8Array);
    const points = decoded(s.points, Float32Array);
    const rows = decoded(data.rows.numbers, Uint32Array);
    const image = make('canvas', { width: s.size, height: s.size });
    const [xName, yName] = s.features || ['x₀', 'x₁'];
    const drawn = plot({
      label: 'What the network answers for every input, with the samples',
      xRange: s.x, yRange: s.y, ratio: 0.85, xName, yName,
      draw(g, place) {
        paintPixels(place.paint);
        const [dx, dy] = place.inner.map((size) => size / (s.size - 1));
        g.drawImage(image, MARGIN.left - dx / 2, MARGIN.top - dy / 2, place.inner[0] + dx, place.inner[1] + dy);
        if (s.threshold !== null) boundary(g, place);
        const ringed = new Set(state.k ? rows.slice(data.rows.starts[state.k - 1], data.rows.starts[state.k]) : []);
        s.places.forEach((row, at) => ringed.has(row) || point(g, place, at, false));
        s.places.forEach((row, at) => ringed.has(row) && point(g, place, at, true));
      },
    });

    function shade(paint) {
      const [paper, negative, positive] = [paint.paper, paint.negative, paint.positive].map(rgb);
      const palette = CLASSES.map(rgb);
      return (value, of) => {
        if (classes) return mixed(paper, palette[of % palette.length], 0.1 + (0.55 * value) / LEVELS);
        const share = (2 * value) / LEVELS - 1;
        return mixed(paper, share < 0 ? negative : positive, strength(s) * Math.abs(share));
      };
    }
    function paintPixels(paint) {
      const colour = shade(paint);
      const g = image.getContext('2d');
      const shown = g.createImageData(s.size, s.size);
      for (let at = 0; at < s.size ** 2; at += 1) {
        const from = state.k * s.size ** 2 + (s.size - 1 - Math.floor(at / s.size)) * s.size + (at % s.size);
        shown.data.set([...colour(pixels[from], classes ? classes[from] : 0), 255], 4 * at);
      }
      g.putImageData(shown, 0, 0);
    }
    // Where one class gives way to the other, through the cells of the grid.
    function boundary(g, place) {
      const level = (LEVELS * (s.threshold - s.low)) / (s.high - s.low);
      const [w, h] = place.inner.map((size) => size / (s.size - 1));
      const height = (p, q) => pixels[state.k * s.size ** 2 + p * s.size + q] - level;
      g.strokeStyle = place.paint.ink;
      g.lineWidth = 1.5;
      g.beginPath();
      for (let p = 0; p < s.size - 1; p += 1) {
        for (let q = 0; q < s.size - 1; q += 1) {
          const corners = [[p, q], [p, q + 1], [p + 1, q + 1], [p + 1, q]];
          const crossed = corners.flatMap((from, side) => {
            const to = corners[(side + 1) % 4];
            const [a, b] = [height(...from), height(...to)];
            if (a < 0 === b < 0) return [];
            const [u, v] = mixed(from, to, a / (a - b));
            return [[MARGIN.left + v * w, MARGIN.top + place.inner[1] - u * h]];
          });
          for (let at = 0; at + 1 < crossed.length; at += 2) {
            g.moveTo(...crossed[at]);
            g.lineTo(...crossed[at + 1]);
          }
        }
      }
      g.stroke();
    }
    function pointColour(target, paint) {
      if (classes) return CLASSES[target % CLASSES.length];
      const share = s.kind === 'two' ? target * 2 - 1 : ((target - s.low) / (s.high - s.low || 1)) * 2 - 1;
      return `rgb(${mixed(rgb(paint.paper), rgb(share < 0 ? paint.negative : paint.positive), Math.abs(share))})`;
    }
    // Classes differ in shape, too.
    function point(g, place, at, isRinged) {
      const size = s.places.length > 300 ? 3 : 5;
      const [x, y] = [place.x(points[2 * at]), place.y(points[2 * at + 1])];
      const [corners, first] = s.kind === 'value' ? SHAPES[0] : SHAPES[s.targets[at] % SHAPES.length];
      g.beginPath();
      for (let corner = 0; corner < corners; corner += 1) {
        const angle = (first + (2 * corner) / corners) * Math.PI;
        g.lineTo(x + 1.3 * size * Math.cos(angle), y + 1.3 * size * Math.sin(angle));
      }
      if (!corners) g.arc(x, y, size, 0, 2 * Math.PI);
      g.closePath();
      g.fillStyle = pointColour(s.targets[at], place.paint);
      g.fill();
      g.lineWidth = 1.2;
      g.strokeStyle = s.kind === 'value' ? place.paint.soft : place.paint.paper;
      g.stroke();
      if (!isRinged) return;
      g.lineWidth = 2.5;
      g.strokeStyle = place.paint.ink;
      g.beginPath();
      g.arc(x, y, size + 5, 0, 2 * Math.PI);
      g.stroke();
    }
    return { element: figure('What it answers', about(s), drawn.canvas, legend(s)), redraw: drawn.redraw };
  }

  // Of the colours, at most: samples of a class stand out on what is answered for it; values have one scale for both.
  function strength(s) {
    return s.kind === 'value' ? 1 : 0.55;
  }

  function nameOf(s, at) {
    return s.names ? s.names[at] : `class ${at}`;
  }

  function legend(s) {
    if (s.kind === 'classes') {
      const entries = [...Array(s.outputs).keys()].map((at) => {
        const swatch = make('span', { class: 'film-swatch' });
        swatch.style.background = CLASSES[at % CLASSES.length];
        return make('li', {}, swatch, nameOf(s, at));
      });
      return make('ul', { class: 'film-legend' }, ...entries);
    }
    const ends = s.kind === 'two' ? [nameOf(s, 0), nameOf(s, 1)] : [number(s.low, 3), number(s.high, 3)];
    const scale = make('span', { class: 'film-scale' });
    scale.style.setProperty('--strength', `${100 * strength(s)}%`);
    return make('p', { class: 'film-legend' }, ends[0], scale, ends[1]);
  }

  function about(s) {
    const of = {
      two: 'The colour is the answer at each place, and the line where one class gives way to the other.',
      classes: 'The colour is the class of each place; the paler, the less sure.',
      value: `The colour is the answer at each place${s.outputs > 1 ? ', of output 0' : ''}; in a sample, its target.`,
    };
    return `${of[s.kind]} Rings mark the mini-batch of the step. Inputs are as the network gets them.`;
  }

  return { figureOf };
})();
