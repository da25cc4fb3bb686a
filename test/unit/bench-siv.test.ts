import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SivReport, runSiv, sivUsage } from '../bench/siv.js';

test('a short benchmark of SIV measures both columns, the cipher faster than the whole of it', () => {
  const report = JSON.parse(runSiv(['--runs', '3', '--batches', '100', '--json'])) as SivReport;
  assert.equal(report.values_per_run, 200_000);
  for (const { median, min, max } of [report.cipher, report.whole]) {
    assert.ok(min > 0 && min <= median && median <= max);
  }
  assert.ok(report.cipher.median > report.whole.median);
});

test('arguments that cannot be meant are refused', () => {
  assert.equal(runSiv(['--help']), sivUsage);
  for (const args of [['--runs', '0'], ['--batches', 'all'], ['--all'], ['more']])
    assert.throws(() => runSiv(args), { code: 'usage' });
});
