'use strict';
// Numbers: as the page was given them, and as they are written.

const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

/** A matrix, row by row. */
class Table {
  constructor(numbers, columns) {
    this.numbers = numbers;
    this.columns = columns;
  }

  at(row, column) {
    return this.numbers[row * this.columns + column];
  }

  row(index) {
    return this.numbers.subarray(index * this.columns, (index + 1) * this.columns);
  }
}

function unpacked({ shape, dtype, numbers }) {
  const size = shape.reduce((product, length) => product * length, 1);
  const Numbers = dtype === 'f4' ? Float32Array : Float64Array;
  const array = numbers ? new Numbers(bytes(numbers).buffer) : new Numbers(size);
  return shape.length === 2 ? new Table(array, shape[1]) : array;
}

function bytes(base64) {
  const text = atob(base64);
  const array = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) array[k] = text.charCodeAt(k);
  return array;
}

/** A number with a true minus sign and powers of ten, as text. */
function numberText(value, digits = 4) {
  if (Number.isNaN(value)) return 'nan';
  const sign = value < 0 ? '−' : '';
  if (!Number.isFinite(value)) return `${sign}∞`;
  if (value === 0) return '0';
  const [figures, exponent] = rounded(Math.abs(value), digits);
  if (exponent < -4 || exponent >= digits) {
    const power = `10${raised(exponent)}`;
    const mantissa = figures.length > 1 ? `${figures[0]}.${figures.slice(1)}` : figures;
    return mantissa === '1' ? sign + power : `${sign}${mantissa}×${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${figures}`;
  const whole = figures.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  const rest = figures.slice(exponent + 1);
  return sign + (rest ? `${whole}.${rest}` : whole);
}

/** Its first digits, without zeros at their end, and the power of ten of the first; a half to even, as in Python. */
function rounded(value, digits) {
  const exact = value.toExponential(60);
  const [, first, others, power] = exact.match(/^(\d)\.(\d+)e([+-]\d+)$/);
  const figures = first + others;
  const isHalf = /^50*$/.test(figures.slice(digits));
  if (isHalf && Number(figures[digits - 1]) % 2 === 0) {
    return [withoutZeros(figures.slice(0, digits)), Number(power)];
  }
  const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
  return [withoutZeros(mantissa.replace('.', '')), Number(exponent)];
}

function withoutZeros(figures) {
  return figures.replace(/(.)0+$/, '$1');
}

function raised(exponent) {
  const sign = exponent < 0 ? '⁻' : '';
  return sign + [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[Number(digit)]).join('');
}
