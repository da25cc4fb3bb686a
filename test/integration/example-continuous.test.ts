// examples/continuous as it stands there: soon in the table, and quiet while nothing comes.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { Json } from '../support/cli.js';
import { NotedSqs } from '../support/noted-sqs.js';
import { eventually } from '../support/queue.js';
import { startHere } from '../support/role-here.js';
import { type ConfigFile, type Deployment, type Stack, startStack } from '../support/stack.js';

const EXAMPLE = fileURLToPath(new URL('../../../examples/continuous', import.meta.url));
const NAME = 'door_alarms';
const TABLE = `public.${NAME}`;
/** Far above what it takes, also on a machine that is busy with others; with the linger of batches it takes a second. */
const SOON_MS = 5_000;
const IDLE_MS = 3_000;

let stack: Stack;
let sqs: NotedSqs;
let deployment: Deployment;
before(async () => {
  stack = await startStack();
  sqs = await NotedSqs.start(stack);
  deployment = await stack.deployment({ ddl: null });
  copyFileSync(path.join(EXAMPLE, 'maskline.tests.yaml'), path.join(deployment.dir, 'maskline.tests.yaml'));
  const example = parse(readFileSync(path.join(EXAMPLE, 'maskline.yaml'), 'utf8')) as ConfigFile;
  const pipeline = example.pipelines[NAME] as Json & {
    readonly schedule: { readonly pause: readonly Json[] };
  };
  // The test may run in the very pause of the example.
  const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][(new Date().getUTCDay() + 3) % 7];
  const pause = pipeline.schedule.pause.map((each) => ({ ...each, days }));
  const quiet = { ...pipeline, schedule: { ...pipeline.schedule, pause } };
  deployment.configure(({ keyring }) => ({ ...example, keyring, pipelines: { [NAME]: quiet } }));
});
after(async () => {
  await stack.stop();
  await sqs.stop();
});

const alarm = (n: number): string =>
  JSON.stringify({
    id: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    at: '2026-11-21T09:30:00Z',
    door: `north-${n % 3}`,
    badge: `badge-${n % 5}`,
  });

test('an alarm that comes while nothing else does is soon a row, and one receive is all that waits for it', async () => {
  assert.equal((await deployment.cli.run(['migrate'])).code, 0);
  const cases = await deployment.cli.run(['test']);
  assert.equal(cases.code, 0, cases.stdout);

  const all = await startHere(deployment, 'all', { env: sqs.env });
  try {
    // GIVEN a pipeline that waits
    await eventually(
      async () => sqs.proxy.of('ReceiveMessage').length,
      (calls) => calls > 0,
    );
    for (let n = 0; n < 3; n += 1) {
      // WHEN a single message comes, THEN it is soon there
      const sentAt = Date.now();
      await deployment.send([alarm(n)]);
      await deployment.countUntil(TABLE, (rows) => rows === n + 1, SOON_MS);
      assert.ok(Date.now() - sentAt < SOON_MS);
    }
    // WHEN nothing comes, THEN nothing is asked: one poll of twenty seconds is under way
    const before = sqs.proxy.of('ReceiveMessage').length;
    const until = Date.now() + IDLE_MS;
    const asked = await eventually(
      async () => sqs.proxy.of('ReceiveMessage').length - before,
      () => Date.now() > until,
    );
    assert.ok(asked <= 2, `${asked} receives in ${IDLE_MS} ms`);
    // WHEN many come, THEN all are taken
    await deployment.send(Array.from({ length: 500 }, (_, n) => alarm(n + 3)));
    await deployment.countUntil(TABLE, (rows) => rows === 503);
  } finally {
    await all.stop('hard');
  }
  const [row] = await deployment.query(`select badge, door from ${TABLE} where door = 'north-0' limit 1`);
  assert.match(String(row?.['badge']), /^s1\./);
});
