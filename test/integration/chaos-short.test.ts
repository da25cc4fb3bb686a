import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportText, verdictLine } from '../../src/proof/report.js';
import { torture } from '../../src/proof/torture.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const MESSAGES = 3_000;
const KILLS = 6;

test('nothing is lost, nothing is double and nothing leaks while processes and servers are killed', async (t) => {
  // Another one at every run; the line says which, and how to run it again.
  const seed = Number(process.env['MASKLINE_CHAOS_SEED'] ?? Date.now() % 100_000);
  const report = await torture({
    messages: MESSAGES,
    kills: KILLS,
    seed,
    profile: 'storm',
    backend: 'redis',
    searchPath: process.env['PATH'] ?? '',
    repeat: `npm run chaos -- --messages ${MESSAGES} --kills ${KILLS} --seed ${seed}`,
    keep: false,
    signal: new AbortController().signal,
    tell: (line) => t.diagnostic(line),
  });
  t.diagnostic(verdictLine(report));
  const { lost, twice, leaked, misplaced, strays, wrong, problems } = report;
  assert.deepEqual(
    { lost, twice, leaked, misplaced, strays, wrong, problems },
    { lost: 0, twice: 0, leaked: 0, misplaced: 0, strays: 0, wrong: 0, problems: [] },
    reportText(report),
  );
  assert.ok(report.kills >= KILLS);
  assert.notEqual(report.verdict, 'failed', reportText(report));
});
