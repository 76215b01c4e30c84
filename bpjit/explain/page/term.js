'use strict';
// A term: one number of the trace, with its equation, the numbers in it, and where it is computed.

/** What the functions here and in step.js need: the page's data, and what names stand for. */
function traceOf(data) {
  const scope = scopeOf(data);
  return { data, scope, updated: updatedOf(data.numbers, scope.W), sizes: data.network.sizes, L: scope.L, S: scope.S };
}

/** name: as in Trace.term of Python; index: its l, i, j, s, as far as it has them. */
function termOf(trace, name, index) {
  const rule = trace.data.terms.step.includes(name) ? trace.data.rules[name][index.l] : null;
  if (rule && !('learning_rate' in rule)) return stepTerm(trace, name, index, rule);
  const equation = equationOf(trace, name, index);
  const scope = within(trace.scope, index);
  for (const each of equation.before) scope[each.name] = { always: evaluate(each.expression, scope) };
  if (rule) scope.learning_rate = rule.learning_rate;
  const putIn = { L: trace.L, ...index };
  const where = equation.where.map((other) => {
    scope[other.target.name] = evaluate(other.expression, scope);
    return line({ target: other.target, expression: at(other.expression, putIn), value: scope[other.target.name] });
  });
  const target = at(equation.target, putIn);
  const here = at(equation.expression, putIn);
  return {
    ...termShell(trace, name, index, equation),
    target,
    here,
    numbers: named(trace, withNumbers(here, scope, trace.data.limits.written)),
    value: isLocal(trace, name) ? evaluate(equation.expression, scope) : valueOf(trace, name, index),
    where: [...where, ...functionLines(trace, here, scope)],
    parts: partsOf(trace, here, scope),
    scope,
  };
}

function equationOf(trace, name, index) {
  if (name === 'a' && index.l === 0) return trace.data.input;
  return trace.data.equations[trace.data.which[name][index.l ?? trace.L]];
}

function termShell(trace, name, index, equation) {
  const listing = trace.data.source.functions[equation.function];
  return {
    name,
    index,
    general: equation,
    relation: equation.relation,
    marks: equation.marks,
    source: `${trace.data.source.file}:${equation.line}`,
    listing: { ...listing, file: trace.data.source.file, line: equation.line, marked: equation.lines },
    notes: [],
  };
}

/** Whether it is a name that a statement sets in passing. */
function isLocal(trace, name) {
  return ['dz_dw', 'dz_db', 'dC_dw'].includes(name);
}

/** What derivation.py computed. */
function valueOf({ scope, updated }, name, { l, i, j, s }) {
  switch (name) {
    case 'C':
      return scope.C;
    case 'z':
    case 'a':
    case 'delta':
      return scope[name][l].at(s, i);
    case 'dW':
      return scope.dW[l].at(i, j);
    case 'db':
      return scope.db[l][i];
    case 'W':
      return updated.W[l].at(i, j);
    case 'b':
      return updated.b[l][i];
  }
  throw new TypeError(name);
}

/** What a name or function in an equation stands for. */
function line(given) {
  const nothing = { target: null, relation: '=', expression: null, numbers: null, value: NaN, text: '', source: '' };
  return { ...nothing, ...given };
}

/** The expression with the names of the activation functions in the place of sigma. */
function named(trace, node) {
  const done = mapped(node, (part) => named(trace, part));
  if (!is(done, 'Apply') || !OF_LAYER.includes(done.function.name) || !is(done.function.layer, 'Number')) return done;
  return { ...done, function: symbol(trace.data.functions[done.function.name][done.function.layer.value].name) };
}

/** What each function in the expression is, and its value if there is one. */
function functionLines(trace, here, scope) {
  const found = new Map();
  for (const part of walk(here)) {
    const isFunction = is(part, 'Apply') && [...OF_LAYER, ...OF_SAMPLES].includes(part.function.name);
    if (isFunction) found.set(JSON.stringify(part), part);
  }
  return [...found.values()].flatMap((part) => {
    const called = part.function.name;
    const isOfLayer = OF_LAYER.includes(called);
    const shown = isOfLayer
      ? trace.data.functions[called][evaluate(part.function.layer, scope)]
      : trace.data.functions[called];
    const lines = part === here && isOfLayer ? [] : [valueLine(trace, part, scope, shown, isOfLayer)];
    return [...lines, ...formulaLines(shown, isOfLayer)];
  });
}

function valueLine(trace, part, scope, shown, isOfLayer) {
  let value = NaN;
  let numbers = null;
  try {
    value = evaluate(part, scope);
    if (isOfLayer) numbers = named(trace, withNumbers(part, scope, trace.data.limits.written));
  } catch (error) {
    if (!(error instanceof NoValue)) throw error; // a function of what a sum runs over
  }
  const setting = shown.setting && `(${shown.setting})`;
  const text = isOfLayer ? '' : `that of ${shown.name.replace(/′$/, '')}${setting}`;
  return line({ target: part, numbers, value, text });
}

function formulaLines(shown, isOfLayer) {
  if (!shown.expression) {
    return isOfLayer && shown.setting ? [line({ text: `${shown.name} with ${shown.setting}` })] : [];
  }
  const name = symbol(shown.name);
  if (!isOfLayer) {
    const text = shown.formula.startsWith('of each output') ? 'of each output' : '';
    return [line({ target: name, expression: shown.expression, text })];
  }
  const z = [symbol('z')];
  const usesA = [...walk(shown.expression)].some((part) => isPlain(part) && part.name === 'a');
  const text = usesA ? `with a = ${shown.name.replace(/′$/, '')}(z)` : '';
  return [line({ target: { kind: 'Apply', function: name, arguments: z }, expression: shown.expression, text })];
}

// ------------------------------------------------------------------------------------------ terms of a sum

/** The terms of the sum that the expression is, or else of the first sum in it, the largest first. */
function partsOf(trace, node, scope) {
  let pieces = piecesOf(trace, node, scope, 1);
  if (pieces.length === 1 && !is(node, 'Sum')) {
    const inner = [...walk(node)].find((part) => is(part, 'Sum') && part.operator === '+');
    pieces = inner ? piecesOf(trace, inner, scope, 1) : [];
  }
  return bySize(pieces, (part) => part.value);
}

function piecesOf(trace, node, scope, sign) {
  if (is(node, 'Operation') && '+-'.includes(node.operator)) {
    const other = node.operator === '+' ? sign : -sign;
    return [...piecesOf(trace, node.left, scope, sign), ...piecesOf(trace, node.right, scope, other)];
  }
  if (is(node, 'Negative')) return piecesOf(trace, node.operand, scope, -sign);
  if (!is(node, 'Sum') || node.operator !== '+') return [partOf(trace, node, scope, sign)];
  const sizes = terms(node, scope);
  const kept = largest(sizes, trace.data.limits.listed);
  const parts = sizes.filter(([k]) => kept.has(k)).map(([k]) => {
    const put = { [node.index]: k };
    return partOf(trace, at(node.body, put, true), within(scope, put), sign);
  });
  const rest = sizes.reduce((sum, [k, value]) => (kept.has(k) ? sum : sum + value), 0);
  const others = sizes.length - parts.length;
  return others ? [...parts, { value: sign * rest, others }] : parts;
}

/** A part; its numbers are put in when they are asked for. */
function partOf(trace, node, scope, sign) {
  const expression = sign > 0 ? node : { kind: 'Negative', operand: node };
  return {
    value: evaluate(expression, scope),
    others: 0,
    expression,
    numbers: () => named(trace, withNumbers(expression, scope, trace.data.limits.written)),
    scope,
  };
}
