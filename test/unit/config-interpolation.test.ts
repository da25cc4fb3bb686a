import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { interpolate } from '../../src/config/interpolation.js';

const missing = (path: string): never => {
  throw Object.assign(new Error(`no such file: ${path}`), { code: 'ENOENT' });
};
const env = { NAME: 'value', EMPTY: '', DOLLAR: '${NAME}', LINES: 'a\nb' };

function value(text: string): string | null {
  const reading = interpolate(text, env, missing);
  if (reading === null) return null;
  assert.ok('value' in reading, JSON.stringify(reading));
  return reading.value;
}

function wrong(text: string, read: (path: string) => string = missing): string {
  const reading = interpolate(text, env, read);
  assert.ok(reading !== null && 'wrong' in reading, text);
  return reading.wrong;
}

test('variables, defaults and messages are replaced wherever they stand in a value', () => {
  assert.equal(value('${NAME}'), 'value');
  assert.equal(value('a${NAME}b${NAME}c'), 'avaluebvaluec');
  assert.equal(value('${NAME:-other}'), 'value');
  assert.equal(value('${NONE:-other}'), 'other');
  assert.equal(value('${NONE:-redis://h:1/0?a=b}'), 'redis://h:1/0?a=b');
  assert.equal(value('${NONE:-}'), '');
  assert.equal(value('${NAME:?say so}'), 'value');
  assert.equal(value('${LINES}'), 'a\nb');
});

test('an empty variable counts as one that is not set', () => {
  assert.equal(value('${EMPTY:-other}'), 'other');
  assert.match(wrong('${EMPTY}'), /EMPTY is not set/);
  assert.match(wrong('${EMPTY:?say so}'), /EMPTY is not set: say so/);
});

test('what a variable holds is not interpolated again', () => {
  assert.equal(value('${DOLLAR}'), '${NAME}');
});

test('a doubled dollar stands for a plain one before a brace, and nowhere else', () => {
  assert.equal(value('$${NAME}'), '${NAME}');
  assert.equal(value('$${NAME}${NAME}'), '${NAME}value');
  assert.equal(value('$$ $message_id'), null);
});

test('a file gives its text without the last line break', () => {
  const read = (path: string): string => {
    assert.equal(path, '/run/secrets/x');
    return 'two\nlines\r\n';
  };
  assert.deepEqual(interpolate('<${file:/run/secrets/x}>', {}, read), { value: '<two\nlines>' });
});

test('a file that is missing or empty is named, with the system code and no content', () => {
  assert.match(wrong('${file:/run/secrets/x}'), /^the file \/run\/secrets\/x cannot be read \(ENOENT\)$/);
  assert.match(
    wrong('${file:/run/secrets/x}', () => '\n'),
    /is empty/,
  );
});

test('all that is wrong in one value is said at once, and malformed expressions are refused', () => {
  assert.match(wrong('${ONE}-${TWO}'), /ONE is not set.*TWO is not set/);
  for (const text of ['${', '${NAME', '${}', '${1A}', '${A B}', '${A:+b}', '${A-b}', '${A:-${NAME}}']) {
    assert.match(wrong(text), /write \$\{VAR\}/, text);
  }
});

test('text without an opening is never touched', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!text.includes('${'));
      assert.equal(interpolate(text, env, missing), null);
    }),
  );
});

test('any value of a variable arrives as it is', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (held) => {
      assert.deepEqual(interpolate('${X}', { X: held }, missing), { value: held });
    }),
  );
});
