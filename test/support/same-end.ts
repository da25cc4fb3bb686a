// The end that every disturbance must come to: each id once, in the table with its token or in the quarantine; nothing
// left in SQS or the queues; reports that add up. Tokens are recomputed by another implementation of masking.

import assert from 'node:assert/strict';
import { SMALL_COLUMNS, type SmallEvents, smallEvents } from './events.js';
import { tokenOracle } from './oracle.js';
import { eventually } from './queue.js';
import { type Deployment, type DeploymentOptions, PIPELINE, type Stack, assertAddsUp } from './stack.js';

/** The table of the small events. */
const TABLE = `public.${PIPELINE}`;

/** Events on their way to their end. */
export class Sent {
  readonly deployment: Deployment;
  readonly events: SmallEvents;
  readonly #ids: string[] = [];

  constructor(deployment: Deployment, events: SmallEvents) {
    this.deployment = deployment;
    this.events = events;
  }

  /** Message ids of the events that are to be quarantined, sorted. */
  get badIds(): readonly string[] {
    return this.events.badAt.map((at) => this.#ids[at] ?? '').sort();
  }

  /** Sends so many more of the events. */
  async send(count: number): Promise<void> {
    const from = this.#ids.length;
    this.#ids.push(...(await this.deployment.send(this.events.bodies.slice(from, from + count))));
  }
}

/** Long enough for what SQS hides for 8 s and a stalled job, which others take over within 20 s. */
const LIMIT_MS = 120_000;

/** A deployment with a database role for each process, and so many events to send, of which some are bad. */
export async function prepareSmallEvents(
  stack: Stack,
  count: number,
  options: Pick<DeploymentOptions, 'queue'> = {},
): Promise<Sent> {
  const deployment = await stack.deployment({
    ...options,
    roles: true,
    pipeline: {
      schedule: '* * * * * *',
      source: { sqs: { visibility_timeout: '8s' } },
      batch: { max_messages: 250, linger: '100ms' },
      columns: SMALL_COLUMNS,
    },
  });
  return new Sent(deployment, smallEvents(count, 200));
}

/** Waits until so many records are settled, and makes sure that the others are not. */
export async function settledBetween({ deployment }: Sent, least: number, most: number): Promise<void> {
  const settled = await deployment.countUntil('maskline.ledger', (count) => count > least, LIMIT_MS);
  assert.ok(settled < most, `too late to disturb anything: ${settled} records are settled`);
  const { inFlight } = await deployment.depth();
  assert.ok(inFlight > 0, 'nothing is in flight');
}

/** Resolves when all is settled and nothing is left in SQS. */
export async function allSettled({ deployment, events }: Sent): Promise<void> {
  await deployment.countUntil('maskline.ledger', (count) => count >= events.bodies.length, LIMIT_MS);
  await eventually(
    () => deployment.depth(),
    ({ visible, inFlight, delayed }) => visible + inFlight + delayed === 0,
    LIMIT_MS,
  );
}

/** Compares all that is there with all that was sent; to be called when every process has ended. */
export async function assertSameEnd({ deployment, events, badIds }: Sent): Promise<void> {
  const master = deployment.masters().get(1);
  assert.ok(master);
  const tokens = new Map<string, string | null>();
  const expected = events.bodies.flatMap((body) => {
    const { event_id, device } = JSON.parse(body) as { event_id: string; device?: string };
    if (device === undefined) return [];
    if (!tokens.has(device)) tokens.set(device, tokenOracle(master, 1, 'siv', 'device', 'text', device));
    return [`${event_id} ${tokens.get(device)}`];
  });
  const rows = await deployment.query(
    `select event_id || ' ' || device as row from ${TABLE} order by event_id collate "C"`,
  );
  assert.deepEqual(
    rows.map(({ row }) => row),
    expected,
  );
  const quarantined = await deployment.query(
    'select message_id, code, path from maskline.quarantine order by message_id collate "C"',
  );
  assert.deepEqual(
    quarantined,
    badIds.map((message_id) => ({ message_id, code: 'missing_field', path: 'device' })),
  );
  const runs = await deployment.runs();
  assert.ok(runs.length > 0);
  // One that is killed after its last ack leaves nothing for another run: all may have been abandoned.
  assertAddsUp(runs.filter(({ state }) => state !== 'abandoned'));
  const [sums] = await deployment.query(
    `select sum(loaded)::int as loaded, sum(quarantined)::int as quarantined
       from maskline.loads where state = 'committed'`,
  );
  assert.deepEqual(sums, { loaded: expected.length, quarantined: badIds.length });
}
