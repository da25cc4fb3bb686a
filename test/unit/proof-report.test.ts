import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Life } from '../../src/proof/fleet.js';
import { reportOf, reportText, verdictLine } from '../../src/proof/report.js';
import type { StormResult } from '../../src/proof/storm.js';

/** A life that ended by a kill, with so many batches in hand. */
const killed = (batches: number): Life => ({
  role: 'load',
  slot: 0,
  pid: 1,
  journal: '/nonexistent/journal',
  armed: '',
  endedAt: 1,
  end: 'killed',
  exitCode: null,
  unfinished: {
    batchIds: Array.from({ length: batches }, (_, index) => `b${index}`),
    messages: 0,
    lastPoint: 'load.begun',
  },
});

const clean: StormResult = {
  kills: 4,
  fleet: { lives: [killed(1), killed(2), killed(0)] },
  nemesis: { counts: { killed_load: 3, redis_flushed: 1 } },
  findings: {
    lost: 0,
    twice: 0,
    misplaced: 0,
    strays: 0,
    wrong: 0,
    leaks: [],
    problems: [],
    facts: { runs: 2 },
  },
  recovery: { kills: 3, next_commit: null, batch_in_hand: null, undisturbed: 1, over_budget: 0 },
  problems: [],
  sent: 100,
};
const context = {
  seed: 7,
  profile: 'storm',
  queueBackend: 'redis',
  wallMs: 60_000,
  redeliveries: 5,
  repeat: 'npm run chaos -- --seed 7',
} as const;

test('a run that is right, and whose kills hit, has passed; the line says so', () => {
  const report = reportOf(clean, context);
  assert.equal(report.verdict, 'passed');
  assert.equal(verdictLine(report), 'lost 0 · twice 0 · leaked 0 · kills 4 · seed 7');
  assert.deepEqual([report.process_kills, report.hits, report.batches_hit], [3, 2, 3]);
  assert.doesNotMatch(reportText(report), /repeat it/);
});

test('a run whose kills hit nothing proves nothing', () => {
  const report = reportOf(
    { ...clean, fleet: { lives: [killed(1), killed(0), killed(0), killed(0)] } },
    context,
  );
  assert.equal(report.verdict, 'invalid');
  assert.match(reportText(report), /invalid: too few kills hit/);
  assert.equal(reportOf({ ...clean, fleet: { lives: [] } }, context).verdict, 'invalid');
});

for (const [what, result] of [
  ['lost', { ...clean, findings: { ...clean.findings, lost: 1 } }],
  ['twice', { ...clean, findings: { ...clean.findings, twice: 1 } }],
  ['misplaced', { ...clean, findings: { ...clean.findings, misplaced: 1 } }],
  ['of nobody', { ...clean, findings: { ...clean.findings, strays: 1 } }],
  ['not what was sent', { ...clean, findings: { ...clean.findings, wrong: 1 } }],
  [
    'leaked',
    {
      ...clean,
      findings: { ...clean.findings, leaks: [{ canary: 'secret', encoding: 'hex', where: 'load-0.log' }] },
    },
  ],
  [
    'a run that does not add up',
    { ...clean, findings: { ...clean.findings, problems: ['1 runs do not add up'] } },
  ],
  ['a process that died', { ...clean, problems: ['1 load processes ended of their own accord'] }],
  ['a recovery beyond the budget', { ...clean, recovery: { ...clean.recovery, over_budget: 1 } }],
] satisfies readonly (readonly [string, StormResult])[]) {
  test(`one thing that is not right is enough to have failed, and is said with the command to repeat it: ${what}`, () => {
    const report = reportOf(result, context);
    assert.equal(report.verdict, 'failed');
    assert.match(reportText(report), /repeat it: npm run chaos -- --seed 7/);
  });
}
