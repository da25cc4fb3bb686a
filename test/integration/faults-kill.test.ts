import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type FailpointName, failpointNames } from '../../src/proof/failpoint-syntax.js';
import type { CliProcess } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { Sent, allSettled, assertSameEnd } from '../support/same-end.js';
import { PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

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

/**
 * So few one after the other that no batch is hit too often: what is let go comes back the later, the more often it was
 * received.
 */
const KILLS_A_CHAIN = 3;

/** The points of those names, a few to a chain. */
function chainsOf(name: string, victim: Chain['victim'], pattern: RegExp, length = KILLS_A_CHAIN): Chain[] {
  const points = failpointNames.filter((point) => pattern.test(point));
  return Array.from({ length: Math.ceil(points.length / length) }, (_, at) => ({
    name,
    victim,
    points: points.slice(at * length, (at + 1) * length),
  }));
}

const chains: readonly Chain[] = [
  // Nobody works on its batches.
  ...chainsOf(
    'an ingester that waits, and gives back what it holds',
    'drain',
    /^(states|let_go|release)\./,
    1,
  ),
  ...chainsOf('an ingester', 'ingest', /^(receive|add_batch|fates|ack)\./),
  ...chainsOf('a transform worker', 'transform', /^(transform|mask|add_masked)\./),
  ...chainsOf('a load worker', 'load', /^(load|commit)\./),
];
/** They wait for locks and delays most of the time. */
const CHAINS_AT_ONCE = 5;

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

describe('killed at every point of the flow', { concurrency: CHAINS_AT_ONCE }, () => {
  for (const { name, victim, points } of chains) {
    test(`${name}, at ${points.join(', ')}: each message ends once`, async () => {
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
      // Nothing may have been left to do: one that still starts is ended by a signal, and not by itself.
      await Promise.all(living.map((process) => process.waitFor('started')));
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
