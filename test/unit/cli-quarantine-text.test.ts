import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failedCauses } from '../../src/cli/causes.js';
import { causeRow, causeSteps } from '../../src/cli/quarantine-causes.js';
import { nextSteps } from '../../src/cli/quarantine-text.js';
import { printable } from '../../src/cli/unsealed.js';
import type { FailedEntry } from '../../src/roles/failed.js';
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

test('a cause says whether the masks have changed since, what to do, and the command; one without open records does not', () => {
  const pipelines = [{ name: 'logins', policy: { sha256: 'now' } }];
  const cause = { pipeline: 'logins', code: 'too_long', path: 'note', open: 3, ...at, sample_id: 'an id' };
  const policies = ['now', 'then', null].map((policy_sha256) =>
    causeRow({ ...cause, policy_sha256 }, pipelines),
  );
  assert.deepEqual(
    policies.map(({ policy }) => policy),
    ['today', 'former', 'unknown'],
  );
  assert.equal(new Set(policies.map(({ cause: id }) => id)).size, 3);
  const done = causeRow({ ...cause, policy_sha256: 'now', open: 0, replayed: 3 }, pipelines);
  assert.equal(done.next, null);
  const [, first = '', second = '', third = '', , , , ...rest] = causeSteps([...policies, done]).split('\n');
  assert.match(first, /^ {2}[0-9a-f]{8}: a value.*→ make the column longer/);
  assert.equal(second.trim(), policies[0]?.next);
  assert.match(third, /the masks have changed since/);
  assert.equal(rest.length, 1);
  assert.equal(causeSteps([done]), causeSteps([]));
});

test('failed jobs are of one cause whatever ids and numbers their errors name', () => {
  const job = (reason: string, stage: 'load' | 'transform' = 'load'): FailedEntry => ({
    ...{ pipeline: 'logins', stage, batchId: reason, code: 'row_count_differs', reason, attempts: 1 },
    payload: { version: 1, kid: 1, keyring: 'kr', records: 5, bytes: 10 },
    ...{ queuedBytes: 10, takeovers: 0, addedAt: 0, startedAt: 0, failedAt: reason.length },
  });
  const causes = failedCauses([
    job('row_count_differs: batch 019a0000-0000-7000-8000-00000000000a was sent 50 rows'),
    job('row_count_differs: batch 019bffff-ffff-7fff-8fff-ffffffffffff was sent 1000 rows'),
    job('row_count_differs: batch 019bffff-ffff-7fff-8fff-ffffffffffff was sent 7 rows', 'transform'),
    job('row_count_differs: something else'),
  ]);
  assert.deepEqual(
    causes.map(({ jobs }) => jobs.length),
    [2, 1, 1],
  );
  assert.match(causes[0]?.jobs[0].reason ?? '', /1000/, 'the latest stands for the others');
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
