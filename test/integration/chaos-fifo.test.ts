import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportText, verdictLine } from '../../src/proof/report.js';
import { torture } from '../../src/proof/torture.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const GROUPS = 10;
const MESSAGES = 200;
const KILLS = 2;

test('the groups of a FIFO queue are loaded in their order while processes and servers are killed', async (t) => {
  // Another one at every run; the line says which, and how to run it again.
  const seed = Number(process.env['MASKLINE_CHAOS_SEED'] ?? Date.now() % 100_000);
  const report = await torture({
    messages: MESSAGES,
    kills: KILLS,
    groups: GROUPS,
    seed,
    profile: 'storm',
    backend: 'redis',
    searchPath: process.env['PATH'] ?? '',
    repeat: `npm run chaos -- --profile fifo --groups ${GROUPS} --messages ${MESSAGES} --kills ${KILLS} --seed ${seed}`,
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
  assert.equal(report.profile, 'fifo');
  assert.equal(report.facts['groups_in_order'], GROUPS);
  assert.ok((report.facts['batches_in_order'] ?? 0) >= MESSAGES / GROUPS);
  assert.notEqual(report.verdict, 'failed', reportText(report));
});
