import assert from 'node:assert/strict';
import { test } from 'node:test';

import { memberSource } from '../../src/masking/json-source.js';

const sourceOf = (body: string, name: string): string =>
  memberSource(body, name, (JSON.parse(body) as { [name: string]: unknown })[name]);

test('a number keeps every digit that was sent', () => {
  assert.equal(sourceOf('{"n":1.50}', 'n'), '1.50');
  assert.equal(sourceOf('{"n" : 12345678901234567890123456789 }', 'n'), '12345678901234567890123456789');
  assert.equal(sourceOf('{"a":0.1,\n\t"n":\r\n -1E+400 , "z":2}', 'n'), '-1E+400');
  assert.equal(sourceOf('{"n":42}', 'n'), '42');
});

test('the field is found by its name alone, wherever else the name occurs', () => {
  assert.equal(sourceOf('{"a":{"n":1.10},"b":["n",2.20],"c":"\\"n\\":3.30","n":4.40}', 'n'), '4.40');
  assert.equal(sourceOf('{"n":4.40,"d":{"n":5.50},"e":[{"n":6.60}]}', 'n'), '4.40');
  assert.equal(sourceOf('{"\\u006e":7.70}', 'n'), '7.70');
  assert.equal(sourceOf('{"a\\\\":1.10,"a":2.20}', 'a'), '2.20');
  assert.equal(sourceOf('{"a\\"b":1.10}', 'a"b'), '1.10');
  assert.equal(sourceOf('{"":1.10}', ''), '1.10');
  assert.equal(sourceOf('{"x":[],"y":{},"n":1.10}', 'n'), '1.10');
});

test('the last of several fields of one name counts, as for JSON.parse', () => {
  assert.equal(sourceOf('{"n":1.10,"n":2.20}', 'n'), '2.20');
  assert.equal(sourceOf('{"n":1.10,"\\u006E":[3.30]}', 'n'), '[3.30]');
});

test('whole values keep their digits, and structure in strings is text', () => {
  assert.equal(
    sourceOf('{"j": {"a":[1.10,{"b":2e5}],"c":"},]{[\\"\\\\"} ,"k":1}', 'j'),
    '{"a":[1.10,{"b":2e5}],"c":"},]{[\\"\\\\"}',
  );
  assert.equal(sourceOf('\ufeff{"j":[1.10]}'.slice(1), 'j'), '[1.10]');
  assert.equal(memberSource('\ufeff {"j":[1.10]}', 'j', [1.1]), '[1.10]');
});
