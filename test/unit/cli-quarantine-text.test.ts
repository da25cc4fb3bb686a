import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextSteps } from '../../src/cli/quarantine-text.js';
import { printable } from '../../src/cli/unsealed.js';
import { isRejectionCode, rejectionCodes, remedyFor } from '../../src/masking/remedies.js';

const at = { oldest_at: '2026-01-01T00:00:00.000Z', newest_at: '2026-01-01T00:00:00.000Z', replayed: 0 };

test('the quarantine says by code how many are open, where, what it means and what to do', () => {
  const text = nextSteps([
    { pipeline: 'logins', code: 'too_long', path: 'note', open: 3, ...at },
    { pipeline: 'events', code: 'too_long', path: 'locale', open: 2, ...at },
    { pipeline: 'logins', code: 'refused_23514', path: null, open: 7, ...at },
    { pipeline: 'logins', code: 'bad_ip', path: 'ip', open: 0, ...at },
  ]);
  const lines = text.split('\n');
  assert.match(lines[0] ?? '', /^12 open/);
  assert.match(lines[1] ?? '', /^ {2}7 × refused_23514: .*CHECK/);
  assert.match(lines[2] ?? '', /^ {2}5 × too_long \(note, locale\): .*make the column longer.*migrate plan/);
  assert.doesNotMatch(text, /bad_ip/);
  assert.match(text, /maskline quarantine replay --all/);
});

test('an empty quarantine says so', () => {
  assert.equal(nextSteps([]), 'Nothing in quarantine is open.');
});

test('each code has a meaning and a remedy, and so has every SQLSTATE', () => {
  assert.equal(rejectionCodes.length, 17);
  const texts = [...rejectionCodes, 'refused_22001', 'refused_99999'].map((code) => {
    assert.ok(isRejectionCode(code));
    const { meaning, remedy } = remedyFor(code);
    assert.ok(meaning.length > 10 && remedy.length > 10, code);
    return meaning;
  });
  assert.equal(new Set(texts).size, texts.length, 'no two say the same');
  for (const no of ['', 'toString', 'refused_', 'refused_2200', 'too-long'])
    assert.ok(!isRejectionCode(no), no);
});

test('a body cannot steer the terminal that it is shown on', () => {
  assert.equal(
    printable('a\u001b[31mb\u009bc\u202ed\u2028\ud800é😀'),
    'a\\u001b[31mb\\u009bc\\u202ed\\u2028\\ud800é😀',
  );
  const text = printable(JSON.stringify({ a: '\u0085\u0000\u{e0001}x' }));
  assert.equal(text, '{"a":"\\u0085\\u0000\\udb40\\udc01x"}');
  assert.deepEqual(JSON.parse(text), { a: '\u0085\u0000\u{e0001}x' });
});
