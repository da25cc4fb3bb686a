import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { bench } from '../../src/proof/bench/bench.js';
import type { BenchReport } from '../../src/proof/bench/report.js';
import { runLedger } from '../bench/ledger.js';

const MAIN = fileURLToPath(new URL('../bench/main.js', import.meta.url));

const MESSAGES = 300;
/** The kernel's counters are cut to 10 ms, and there are two of each process. */
const RESOLUTION_US = 20_000 / MESSAGES;

process.env['AWS_ACCESS_KEY_ID'] ??= 'bench';
process.env['AWS_SECRET_ACCESS_KEY'] ??= 'bench';

const measured = () =>
  bench({
    profile: 'end-to-end',
    messages: MESSAGES,
    runs: 1,
    cpuProfileDir: null,
    searchPath: process.env['PATH'] ?? '',
    signal: new AbortController().signal,
    tell: () => undefined,
  });

/** These start servers: each is the benchmark itself, only small. */
test('a small benchmark accounts for every message, adds up, and has its floor beside it', async () => {
  const { parameters, summary, runs } = await measured();
  assert.equal(parameters['messages'], MESSAGES);
  const [only = {}, more] = runs;
  assert.equal(more, undefined);
  const of = (unit: string) => ['ingest', 'transform', 'load'].map((role) => only[`${role}_${unit}`] ?? NaN);
  const [ingest = 0, transform = 0, load = 0] = of('cpu_us_per_message');
  const all = only['cpu_us_per_message'] ?? 0;
  assert.ok(Math.abs(ingest + transform + load - all) < 1e-6);
  // Receiving takes work that no counter can miss.
  assert.ok(ingest > RESOLUTION_US, `ingest took ${ingest} µs a message`);
  const floor = only['floor_cpu_us_per_message'] ?? 0;
  assert.ok(floor > RESOLUTION_US, `the floor took ${floor} µs a message`);
  assert.equal(only['times_the_floor'], all / floor);
  for (const mib of of('peak_rss_mib')) assert.ok(mib > 20 && mib < 1_000, `${mib} MiB`);
  for (const ms of of('start_up_cpu_ms')) assert.ok(ms > 50, `${ms} ms until ready`);
  assert.equal(summary['cpu_us_per_message']?.median, all);
});

test('a stage is measured alone, from the command line: masked batches in Redis to committed rows', async () => {
  const args = ['--profile', 'load', '--rows', String(MESSAGES), '--runs', '1', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args]);
  const { profile, runs } = JSON.parse(stdout) as BenchReport;
  assert.equal(profile, 'load');
  const rate = runs[0]?.['messages_per_second'] ?? 0;
  assert.ok(rate > 0 && rate < 10_000_000, `${rate} messages a second`);
});

test('a small ledger is filled with ids that the loader knows again, and one beside it stays empty until then', async () => {
  const args = ['--ids', '20000', '--batches', '2', '--runs', '1', '--json'];
  const { parameters, summary, runs } = JSON.parse(await runLedger(args)) as BenchReport;
  assert.equal(parameters['ids'], 20_000);
  // The program itself has counted the duplicates of every batch.
  for (const name of ['new', 'half_known']) {
    const [full = 0, empty = 0] = ['', '_empty'].map((of) => runs[0]?.[`${name}_rows_per_second${of}`]);
    assert.ok(full > 0 && full < 10_000_000 && empty > 0, `${full} and ${empty} rows a second`);
    assert.equal(summary[`${name}_rate_ratio`]?.median, full / empty);
  }
});
