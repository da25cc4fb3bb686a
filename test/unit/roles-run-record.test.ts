import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RunReport, noCounts } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { RunRecord } from '../../src/roles/run-record.js';

test('a run that lost sight of batches is on record as abandoned, and claims not to add up; any other as it ended', async () => {
  const closed: RunReport[] = [];
  const runs = {
    open: async () => undefined,
    heartbeat: async () => undefined,
    close: async (report: RunReport) => void closed.push(report),
    abandonStale: async () => 0,
  };
  const parts = { runs, clock: systemClock, onWait: () => undefined, owner: 'host:1' };
  const report: RunReport = {
    ...{
      ...noCounts,
      runId: 'r',
      pipeline: 'p',
      trigger: 'drain',
      state: 'canceled',
      startedAt: 1,
      finishedAt: 2,
    },
    received: 3,
    loaded: 2,
  };
  const run = {
    options: { runId: 'r', pipeline: 'p', trigger: 'drain' as const, startedAt: 1 },
    report: () => report,
  };
  const record = new RunRecord(parts, run, new AbortController().signal);
  await record.close(report);
  await record.close({ ...report, released: 1 });
  assert.deepEqual(
    closed.map(({ state }) => state),
    ['abandoned', 'canceled'],
  );
});
