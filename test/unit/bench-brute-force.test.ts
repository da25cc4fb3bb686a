import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BruteForceReport, bruteForceUsage, runBruteForce } from '../bench/brute-force.js';

test('a short brute force finds what it planted, and says what it extrapolates', () => {
  const report = JSON.parse(
    runBruteForce(['--seconds', '1', '--within', '2000', '--json']),
  ) as BruteForceReport;
  assert.deepEqual(
    report.spaces.map(({ space, size }) => [space, size]),
    [
      ['ddd-dd-dddd', 1_000_000_000],
      ['IPv4', 4_294_967_296],
    ],
  );
  for (const {
    hashes,
    seconds,
    size,
    hashes_per_second: rate,
    extrapolated_seconds,
    planted,
  } of report.spaces) {
    assert.ok(Math.abs(rate - hashes / seconds) < 1e-6 * rate);
    assert.ok(Math.abs(extrapolated_seconds - size / rate) < 1e-6 * extrapolated_seconds);
    assert.ok(planted.tried >= 1 && planted.tried <= 2_000);
  }
  // Values count up from the first of their space: so many tries lead to this one.
  const [ssn, ip] = report.spaces;
  assert.equal(Number(ssn?.planted.found.replaceAll('-', '')), (ssn?.planted.tried ?? 0) - 1);
  const bytes = (ip?.planted.found ?? '').split('.').map(Number);
  assert.equal(
    bytes.reduce((sum, byte) => sum * 256 + byte, 0),
    (ip?.planted.tried ?? 0) - 1,
  );
});

test('arguments that cannot be meant are refused', () => {
  assert.equal(runBruteForce(['--help']), bruteForceUsage);
  for (const args of [['--seconds', '0'], ['--within', 'all'], ['--all']])
    assert.throws(() => runBruteForce(args), { code: 'usage' });
});
