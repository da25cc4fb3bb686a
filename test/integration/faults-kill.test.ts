import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type FailpointName, failpointNames } from '../../src/proof/failpoint-syntax.js';
import type { CliProcess } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { Sent, allSettled, assertSameEnd } from '../support/same-end.js';
import { PIPELINE, type Stack, startStack } from '../support/stack.js';

/** Messages that are sent before each kill; one in ten is bad. */
const MESSAGES = 40;
const BAD_EVERY = 10;
const LIMIT_MS = 120_000;
const DDL = `create table public.${PIPELINE} (event_id varchar(32) not null, device varchar(256) not null)`;

type Role = 'ingest' | 'transform' | 'load';

/** Processes of one role that are killed one after the other, while the others live. */
interface Chain {
  readonly name: string;
  readonly victim: Role | 'drain';
  readonly points: readonly FailpointName[];
}

const named = (pattern: RegExp): readonly FailpointName[] =>
  failpointNames.filter((name) => pattern.test(name));

const chains: readonly Chain[] = [
  { name: 'an ingester', victim: 'ingest', points: named(/^(receive|add_batch|fates|ack)\./) },
  // Nobody works on its batches. One at a time: what is let go comes back the later, the more often it was received.
  ...named(/^(states|let_go|release)\./).map((point) => ({
    name: 'an ingester that waits, and gives back what it holds',
    victim: 'drain' as const,
    points: [point],
  })),
  { name: 'a transform worker', victim: 'transform', points: named(/^(transform|mask|add_masked)\./) },
  { name: 'a load worker', victim: 'load', points: named(/^(load|commit)\./) },
];

const killedAt = (point: FailpointName): { readonly [name: string]: string } => ({
  MASKLINE_ALLOW_FAILPOINTS: '1',
  MASKLINE_FAILPOINTS: `${point}=crash`,
});

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** A deployment whose messages come back soon, with events for each kill. */
async function deploymentFor(kills: number): Promise<Sent> {
  const deployment = await stack.deployment({
    ddl: DDL,
    pipeline: {
      schedule: '* * * * * *',
      source: { sqs: { visibility_timeout: '6s' } },
      batch: { max_messages: 20, linger: '50ms' },
      columns: SMALL_COLUMNS,
      limits: { breaker: { max_rejected_ratio: 1 } },
    },
  });
  return new Sent(deployment, smallEvents(kills * MESSAGES, BAD_EVERY));
}

/** One process of the role, which is killed when it comes to that point. */
async function kill({ deployment }: Sent, victim: Chain['victim'], point: FailpointName): Promise<void> {
  // It asks the queues after five seconds, and lets go when its time is up.
  const timeout = point.startsWith('states') ? '30s' : '1s';
  const args = victim === 'drain' ? ['drain', '--ingest-only', '--timeout', timeout] : ['run', victim];
  const process = deployment.cli.spawn(args, { env: killedAt(point), limitMs: LIMIT_MS });
  const { signal, stderr } = await process.ended;
  assert.equal(signal, 'SIGKILL', `it was not killed at ${point}: ${stderr}`);
}

describe('killed at every point of the flow', { concurrency: chains.length }, () => {
  for (const { name, victim, points } of chains) {
    const where = points.length === 1 ? points.join() : 'each point in turn';
    test(`${name}, at ${where}: each message ends once`, async () => {
      const sent = await deploymentFor(points.length);
      const start = (role: Role | 'all'): CliProcess =>
        sent.deployment.cli.spawn(['run', role], { limitMs: LIMIT_MS });
      const others = (['ingest', 'transform', 'load'] as const).filter((role) => role !== victim);
      const living = victim === 'drain' ? [] : others.map(start);
      for (const point of points) {
        await sent.send(MESSAGES);
        await kill(sent, victim, point);
      }
      living.push(start(victim === 'drain' ? 'all' : victim));
      await allSettled(sent);
      for (const process of living) {
        assert.ok(process.isRunning, process.stderr);
        process.signal('SIGTERM');
      }
      for (const process of living) assert.equal((await process.ended).code, 0, process.stderr);
      await assertSameEnd(sent);
    });
  }

  test('no point is left out', () => {
    const hit = chains.flatMap(({ points }) => points);
    const ofTheFlow = failpointNames.filter((name) => !name.startsWith('reveal.'));
    assert.deepEqual([...hit].sort(), ofTheFlow.sort());
  });
});
