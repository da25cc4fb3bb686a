import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from 'ioredis';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { eventually } from '../support/queue.js';
import { PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const TABLE = `public.${PIPELINE}`;
const MESSAGES = 500;
/** Of a second each: an intake that is not asked would have received everything by then. */
const SEVERAL_POLLS_MS = 3_000;
const LIMIT_BYTES = 48 * 1024 * 1024;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

test('a Redis that is nearly full is given nothing more, and all goes on by itself when there is room', async () => {
  const deployment = await stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32), device varchar(256))`,
    pipeline: { schedule: 'continuous', columns: SMALL_COLUMNS, source: { sqs: { wait_time: '1s' } } },
  });
  // GIVEN a Redis whose memory others have taken beyond the mark, but not to its limit
  const redis = new Redis(stack.redis.url);
  try {
    await redis.set('ballast', Buffer.alloc(LIMIT_BYTES * 0.65));
    await redis.config('SET', 'maxmemory', String(LIMIT_BYTES));
    const all = deployment.cli.spawn(['run', 'all']);
    const barred = await all.waitFor('intake_barred');
    assert.equal(barred['code'], 'queue_memory');

    // WHEN messages come
    await deployment.send(smallEvents(MESSAGES, 0).bodies);
    // THEN they stay where they are, but for what the polls brought that were under way
    const lookedLongEnough = Date.now() + SEVERAL_POLLS_MS;
    const { visible } = await eventually(
      () => deployment.depth(),
      () => Date.now() > lookedLongEnough,
    );
    assert.ok(visible > MESSAGES - 8 * 10 * 2, `${visible} of ${MESSAGES} are still in the queue`);

    // WHEN there is room again
    await redis.del('ballast');
    await all.waitFor('intake_open');
    // THEN every message is loaded once
    assert.equal(await deployment.countUntil(TABLE, (n) => n >= MESSAGES), MESSAGES);
    await eventually(
      () => deployment.depth(),
      ({ visible: left, inFlight }) => left + inFlight === 0,
    );
    all.signal('SIGTERM');
    assert.equal((await all.ended).code, 0);
    assertAddsUp(await deployment.runs());
  } finally {
    redis.disconnect();
  }
});
