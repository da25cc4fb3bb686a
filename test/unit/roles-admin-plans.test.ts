import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Schedule } from '../../src/config/config.js';
import type { Steering } from '../../src/load/schedules.js';
import type { ActionName, ActionRequest } from '../../src/ops/admin/actions.js';
import { planDiscard, planReplay, planRetry, planSteering } from '../../src/roles/admin-plans.js';
import type { FailedEntry } from '../../src/roles/failed.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const DAY_MS = 86_400_000;

function request(action: ActionName, over: Partial<ActionRequest> = {}): ActionRequest {
  const until = new Date(NOW).toISOString();
  return { action, pipeline: 'logins', stage: null, code: null, ids: null, until, ...over };
}

function failed(over: Partial<FailedEntry> = {}): FailedEntry {
  return {
    batchId: '019ca8c0-0000-7000-8000-00000000000a',
    pipeline: 'logins',
    stage: 'load',
    code: 'table_unfit',
    reason: 'table_unfit: a column is missing',
    payload: { version: 1, kid: 1, keyring: 'kr_a', records: 500, bytes: 9_000 },
    queuedBytes: 4_000,
    addedAt: NOW - 60_000,
    startedAt: NOW - 50_000,
    failedAt: NOW - 40_000,
    attempts: 1,
    takeovers: 0,
    ...over,
  };
}

const presence = (role: string, pipeline = 'logins') => ({
  ...{ role, owner: 'host:1', version: '0.1.0', pipelines: [pipeline], stopped: {} },
  ...{ startedAt: NOW, seenAt: NOW, silentMs: 0 },
});

test('a retry is refused without jobs, without keys, and without workers of the stages that it goes through', () => {
  const retry = (
    entries: readonly FailedEntry[],
    hasKeys: boolean,
    roles: readonly string[],
  ): string | null =>
    planRetry(request('retry'), entries, { hasKeys, live: roles.map((role) => presence(role)) }).refusal;
  assert.equal(retry([failed()], true, ['load']), null);
  assert.equal(retry([failed({ stage: 'transform' })], true, ['all']), null);
  assert.match(String(retry([], true, ['all'])), /no such failed job any more/);
  assert.match(String(retry([failed()], false, ['all'])), /no keys/);
  assert.match(String(retry([failed({ stage: 'transform' })], true, ['load'])), /no process for transform/);
  assert.match(String(retry([failed({ stage: 'transform' })], true, [])), /transform and load/);
  const elsewhere = [presence('all', 'orders')];
  assert.match(
    String(planRetry(request('retry'), [failed()], { hasKeys: true, live: elsewhere }).refusal),
    /no process for load/,
  );
});

test('a question counts what it is about, and gives the command that does the same', () => {
  const plan = planRetry(request('retry', { code: 'table_unfit' }), [failed(), failed()], {
    hasKeys: true,
    live: [presence('all')],
  });
  assert.equal(plan.title, 'Retry 2 failed jobs');
  assert.match(plan.effect[0] ?? '', /^2 failed jobs of logins with 1000 records are loaded/);
  assert.equal(plan.command, 'maskline failed retry --all -p logins --code table_unfit');
  const one = planDiscard(request('discard', { ids: ['a'] }), [failed({ addedAt: NOW - 5 * DAY_MS })], NOW);
  assert.equal(one.command, 'maskline failed discard a');
  assert.match(one.effect.join(' '), /1 of them are older than 4 days[^]*may be the last copy/);
  assert.doesNotMatch(planDiscard(request('discard'), [failed()], NOW).effect.join(' '), /last copy/);
  const replay = planReplay(request('replay', { code: 'too_long' }), 3, true);
  assert.deepEqual([replay.title, replay.refusal], ['Replay 3 records', null]);
  assert.equal(replay.command, 'maskline quarantine replay --all -p logins --code too_long');
  assert.match(String(planReplay(request('replay'), 3, false).refusal), /no keys/);
  assert.match(String(planReplay(request('replay'), 0, true).refusal), /nothing of it/);
});

const cron: Schedule = {
  ...{ kind: 'cron', cron: '* * * * *', timezone: 'UTC', catchUp: true, exclusive: false, pause: [] },
};
const continuous: Schedule = { kind: 'continuous', timezone: 'UTC', exclusive: false, pause: [] };

function steering({ paused = false, open = false } = {}): Steering {
  return {
    schedule: {
      ...{ pipeline: 'logins', pausedAt: paused ? NOW : null, reason: paused ? 'moving house' : null },
      ...{ lastStartedAt: null, lastSucceededAt: null, resumedAt: null, turnOf: null },
    },
    breaker: {
      ...{ pipeline: 'logins', state: open ? 'open' : 'closed', since: NOW },
      reason: open ? 'run 7 quarantined 8 of 10 records' : null,
    },
  };
}

test('a pipeline is run, paused and resumed only from a state in which that does something', () => {
  const refusal = (action: ActionName, schedule: Schedule | null, state = steering()): string | null =>
    planSteering(request(action), { schedule }, state, NOW).refusal;
  assert.equal(refusal('run', cron), null);
  assert.match(String(refusal('run', continuous)), /runs all the time/);
  assert.match(String(refusal('run', null)), /no schedule/);
  assert.match(String(refusal('run', cron, steering({ paused: true }))), /paused/);
  assert.match(String(refusal('run', cron, steering({ open: true }))), /breaker is open/);
  const resting: Schedule = { ...cron, pause: [{ from: 660, to: 780, days: [0, 1, 2, 3, 4, 5, 6] }] };
  assert.match(String(refusal('run', resting)), /a pause now/);
  assert.equal(refusal('pause', continuous), null);
  assert.match(String(refusal('pause', cron, steering({ paused: true }))), /paused already/);
  assert.match(String(refusal('resume', cron)), /neither paused nor/);
  const both = planSteering(
    request('resume'),
    { schedule: cron },
    steering({ paused: true, open: true }),
    NOW,
  );
  assert.equal(both.refusal, null);
  assert.match(both.effect.join(' '), /run 7 quarantined 8 of 10 records[^]*moving house/);
});
