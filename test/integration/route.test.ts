// One queue for several pipelines, one of which is broken, and what fits none.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Json, assertHas } from '../support/cli.js';
import { SMALL_COLUMNS } from '../support/events.js';
import { eventually } from '../support/queue.js';
import { startHere } from '../support/role-here.js';
import { type Deployment, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const KINDS = ['first', 'second', 'third'] as const;
type Kind = (typeof KINDS)[number];

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** Three pipelines on one queue, whose records say in `kind` whose they are. */
async function routed(): Promise<Deployment> {
  const tables = KINDS.map(
    (kind) => `create table public.${kind} (event_id varchar(32) not null, device varchar(256) not null)`,
  );
  const deployment = await stack.deployment({ ddl: tables.join(';') });
  const pipeline = (kind: Kind): Json => ({
    schedule: '* * * * * *',
    source: { sqs: { visibility_timeout: '6s' } },
    route: { from: 'kind', equals: [kind] },
    batch: { max_messages: 20, linger: '50ms' },
    columns: SMALL_COLUMNS,
    target: { table: `public.${kind}` },
  });
  deployment.configure((config) => ({
    ...config,
    pipelines: Object.fromEntries(KINDS.map((kind) => [kind, pipeline(kind)])),
  }));
  return deployment;
}

const event = (kind: string, n: number): Json => ({ kind, event_id: `${kind}-${n}`, device: `device-${n}` });

async function assertLoaded(deployment: Deployment, count: number): Promise<void> {
  for (const kind of KINDS) {
    const rows = await deployment.query(`select event_id from public.${kind} order by event_id collate "C"`);
    const expected = Array.from({ length: count }, (_, n) => `${kind}-${n}`).sort();
    assert.deepEqual(
      rows.map((row) => row['event_id']),
      expected,
    );
  }
}

test('one whose table vanishes stops alone, and loses nothing; messages for several wait for it', async () => {
  const deployment = await routed();
  const all = await startHere(deployment, 'all');
  try {
    await deployment.query('alter table public.second rename to gone');
    // GIVEN messages of each kind, some of all kinds, and some of none
    await deployment.send(KINDS.flatMap((kind) => [0, 1, 2, 3].map((n) => JSON.stringify(event(kind, n)))));
    assertHas(await all.waitFor('pipeline_stopped'), { pipeline: 'second' });
    await deployment.send([
      ...KINDS.flatMap((kind) => Array.from({ length: 40 }, (_, n) => JSON.stringify(event(kind, n + 4)))),
      ...Array.from({ length: 6 }, (_, n) => JSON.stringify(KINDS.map((kind) => event(kind, n + 44)))),
      JSON.stringify(event('unknown', 0)),
      JSON.stringify({ event_id: 'none' }),
      'not JSON',
    ]);
    // THEN the others get on
    for (const kind of ['first', 'third'])
      await deployment.countUntil(`public.${kind}`, (rows) => rows === 50, 60_000);
    const codes = await eventually(
      () => deployment.query('select pipeline, code from maskline.quarantine order by code'),
      (rows) => rows.length === 3,
    );
    assert.deepEqual(codes, [
      { pipeline: 'first', code: 'no_route' },
      { pipeline: 'first', code: 'no_route' },
      { pipeline: 'first', code: 'not_json' },
    ]);
    // Two receives of those that it had in hand, one of the others: they are held.
    const { visible, inFlight } = await deployment.depth();
    assert.equal(visible, 0);
    assert.ok(inFlight >= 50, `${inFlight} messages are held`);
    // WHEN the table is back, THEN it goes on by itself
    await deployment.query('alter table gone rename to second');
    await all.waitFor('pipeline_resumed');
    await deployment.countUntil('public.second', (rows) => rows === 50, 60_000);
    await eventually(
      () => deployment.depth(),
      (depth) => depth.visible + depth.inFlight + depth.delayed === 0,
      60_000,
    );
  } finally {
    await all.stop();
  }
  await assertLoaded(deployment, 50);
  assertAddsUp(await deployment.runs());

  // WHEN the route is mended, THEN a replay loads what is the pipeline's own now, and nothing else.
  deployment.configure((config) => ({
    ...config,
    pipelines: {
      ...config.pipelines,
      first: { ...config.pipelines['first'], route: { from: 'kind', equals: ['first', 'unknown'] } },
    },
  }));
  await deployment.cli.run(['quarantine', 'replay', '-p', 'first', '--code', 'no_route', '--all', '--yes']);
  assert.deepEqual(
    await deployment.query(`select event_id from public.first where event_id not like 'first-%'`),
    [{ event_id: 'unknown-0' }],
  );
  assert.deepEqual(
    await deployment.query(`select code from maskline.quarantine where replayed_at is null order by code`),
    [{ code: 'no_route' }, { code: 'not_json' }],
  );
});

test('a process that dies after a commit leaves nothing to be lost or loaded twice, in any of the pipelines', async () => {
  const deployment = await routed();
  await deployment.send([
    ...KINDS.flatMap((kind) => Array.from({ length: 30 }, (_, n) => JSON.stringify(event(kind, n)))),
    ...Array.from({ length: 10 }, (_, n) => JSON.stringify(KINDS.map((kind) => event(kind, n + 30)))),
  ]);
  const victim = deployment.cli.spawn(['drain'], {
    env: { MASKLINE_ALLOW_FAILPOINTS: '1', MASKLINE_FAILPOINTS: 'ack.before=crash' },
  });
  assert.equal((await victim.ended).signal, 'SIGKILL');
  const all = await startHere(deployment, 'all');
  try {
    await eventually(
      () => deployment.depth(),
      (depth) => depth.visible + depth.inFlight + depth.delayed === 0,
      60_000,
    );
  } finally {
    await all.stop();
  }
  await assertLoaded(deployment, 40);
  assert.equal(await deployment.count('maskline.quarantine'), 0);
  const [{ duplicates } = {}] = await deployment.query(
    'select sum(duplicates)::int as duplicates from maskline.loads',
  );
  assert.ok(Number(duplicates) > 0, 'nothing was committed before it died');
});
