import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DrillOptions } from '../chaos/drill.js';
import { drillOutage, outageText } from '../chaos/outage.js';
import { soak, soakText } from '../chaos/soak.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const ACKS_AT_ONCE = 16;
/** What is lost with a connection comes back soon enough for a test. */
const settings = { sqs: { visibility_timeout: '10s' }, batch: { linger: '200ms' } };

function options(messages: number, tell: (line: string) => void): DrillOptions {
  return {
    messages,
    seed: 1,
    backend: 'redis',
    searchPath: process.env['PATH'] ?? '',
    repeat: 'npm test -- chaos-drills',
    keep: false,
    signal: new AbortController().signal,
    tell,
    settings,
  };
}

test('everything is away at once, and comes back: no dead letter, no attempt spent, and work goes on by itself', async (t) => {
  const common = options(1_500, (line) => t.diagnostic(line));
  const report = await drillOutage({ ...common, of: 'all', outageMs: 4_000 });
  assert.equal(report.verdict, 'passed', outageText(report));
  assert.ok(report.backlog_peak > report.backlog_before, outageText(report));
});

test('under steady load no key, descriptor or message is left behind', async (t) => {
  const common = options(4_000, (line) => t.diagnostic(line));
  // In seconds nothing can be said of memory, and each ingester's connections for acks are still being opened.
  const report = await soak({ ...common, soakMs: 5_000, maxGrowth: 1, moreDescriptors: ACKS_AT_ONCE });
  assert.equal(report.verdict, 'passed', soakText(report));
});
