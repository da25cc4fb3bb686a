import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countShapes, shapeOf } from '../../src/foresight/shape.js';

test('a shape tells formats apart', () => {
  const shapes: readonly (readonly [unknown, string])[] = [
    ['203.0.113.77', '9.9.9.9 (9-16)'],
    ['2001:db8::1', 'an IPv6 address'],
    ['jane.doe@example.com', 'a.a@a.a (17-32)'],
    ['078-05-1120', '9-9-9 (9-16)'],
    ['424cdd21-063a-43a7-b91b-7ca1a833afae', 'a uuid'],
    ['s12.AAAAAAAAAAAAAAAAAAAAAA', 'a token'],
    ['Jane Doe', 'Aa Aa (1-8)'],
    ['JANE', 'A (1-8)'],
    ['iPhone14', 'x (1-8)'],
    ['Ærøskøbing', 'Aa (9-16)'],
    ['東京', 'a (1-8)'],
    ['', 'empty'],
    ['---', '? (1-8)'],
    ['💥', '? (1-8)'],
    ['a\u{1b}[31mb', 'a?x (1-8)'],
    [42, 'number'],
    [true, 'boolean'],
    [null, 'NULL'],
    [undefined, 'NULL'],
    [[], 'an empty list'],
    [['a'], 'a list'],
    [{ a: 1 }, 'an object'],
  ];
  for (const [value, shape] of shapes) {
    assert.equal(shapeOf(value), shape, JSON.stringify(value));
  }
});

test('short answers of few kinds look alike', () => {
  const few: readonly (readonly unknown[])[] = [
    ['yes', 'no', 'maybe'],
    ['M', 'F'],
    ['1', '2', '17', '99'],
    [1, 2, 10 ** 9],
    [true, false],
    ['+', '-', '!'],
  ];
  for (const values of few) assert.equal(new Set(values.map(shapeOf)).size, 1, values.join());
});

test('nothing of a long text but its beginning is shaped, and no run shows its length', () => {
  assert.equal(shapeOf('word '.repeat(10_000)).length < 40, true);
  assert.equal(shapeOf('a'.repeat(65)), shapeOf('a'.repeat(128)));
});

test('shapes are counted, the most frequent first', () => {
  assert.deepEqual(countShapes(['a', 'b', '1', null, 'c'], 2), [
    { shape: 'a (1-8)', count: 3 },
    { shape: '9 (1-8)', count: 1 },
  ]);
});
