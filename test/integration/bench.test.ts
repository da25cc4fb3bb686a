import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Report } from '../bench/report.js';

const MAIN = fileURLToPath(new URL('../bench/main.js', import.meta.url));
const run = promisify(execFile);
const MESSAGES = 300;
/** The kernel's counters are cut to 10 ms, and there are two of each process. */
const RESOLUTION_US = 20_000 / MESSAGES;

/** This one starts servers: it is the benchmark itself, only small. */
test('a small benchmark accounts for every message and adds up', async () => {
  const { stdout } = await run(process.execPath, [
    MAIN,
    '--messages',
    String(MESSAGES),
    '--runs',
    '1',
    '--json',
  ]);

  const { parameters, summary, runs } = JSON.parse(stdout) as Report;
  assert.equal(parameters['messages'], MESSAGES);
  assert.equal(runs.length, 1);
  const [only] = runs;
  assert.ok(only);
  const { ingest, transform, load, total } = only.cpu_us_per_message;
  assert.ok(Math.abs(ingest + transform + load - total) < 1e-6);
  assert.ok(Math.abs(only.messages_per_second * only.wall_ms - MESSAGES * 1_000) < 1e-6 * MESSAGES * 1_000);
  // Receiving takes work that no counter can miss.
  assert.ok(ingest > RESOLUTION_US, `ingest took ${ingest} µs a message`);
  for (const mib of Object.values(only.peak_rss_mib)) assert.ok(mib > 20 && mib < 1_000, `${mib} MiB`);
  for (const ms of Object.values(only.start_up_cpu_ms)) assert.ok(ms > 50, `${ms} ms until ready`);
  assert.equal(summary.cpu_us_per_message.total.median, total);
});
