import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { tapRow, tapText } from '../../src/cli/tap-text.js';
import { Releases } from '../../src/lifecycle.js';
import { createPool } from '../../src/load/connection.js';
import { openTap } from '../../src/roles/tap.js';
import type { CliProcess } from '../support/cli.js';
import { assertHas } from '../support/cli.js';
import { insideOf } from '../support/failed.js';
import { eventually } from '../support/queue.js';
import { type Deployment, LOGIN_COLUMNS, PIPELINE, type Stack, startStack } from '../support/stack.js';

const CANARY = 'c4naryq7zx';
const login = (i: number): string =>
  JSON.stringify({
    ...{ user_id: `${CANARY}-user-${i}`, device_type: `${CANARY}-type`, ip: `198.51.100.${i}` },
    ...{ device_id: `${CANARY}-device-${i}`, locale: 'PH', app_version: '1.2.3' },
  });

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** Waits until it watches: what passes before is not seen. */
async function watching(tap: CliProcess): Promise<CliProcess> {
  await eventually(
    () => tap.stderr,
    (said) => said.includes('Watching'),
    60_000,
  );
  return tap;
}

async function depthIsZero(deployment: Deployment): Promise<void> {
  assert.deepEqual(await deployment.depth(), { visible: 0, inFlight: 0, delayed: 0 });
}

describe('tap', { concurrency: 2 }, () => {
  for (const queue of ['redis', 'postgres'] as const) {
    test(`over ${queue} each stage shows its batches, masked values and shapes only, and takes none`, async () => {
      const deployment = await stack.deployment({ queue, pipeline: { batch: { max_messages: 10 } } });
      if (queue === 'postgres') assert.equal((await deployment.cli.run(['migrate'])).code, 0);
      const releases = new Releases();
      const { inside, keyring, pipeline } = insideOf(deployment);
      const pool = createPool({ url: deployment.database, applicationName: 'tap' });
      const points = [{ stage: 'ingest' }, { stage: 'transform', keyring }, { stage: 'load', pool }] as const;
      const taps = await Promise.all(points.map((point) => openTap(inside, [pipeline], point, releases)));
      const never = new AbortController().signal;
      const seen = taps.map(async (tap) => {
        for await (const tapped of tap.batches(never)) return { row: tapRow(tapped), text: tapText(tapped) };
        return assert.fail('it ended');
      });
      await deployment.send(Array.from({ length: 10 }, (_, i) => login(i + 1)).concat('{}'));
      const drained = await deployment.cli.run(['drain']);
      assert.equal(drained.code, 0, drained.stderr);
      assertHas(drained.rows[0], { received: 11, loaded: 10, quarantined: 1 });
      const [ingest, transform, load] = (await Promise.all(seen)).map(({ row, text }) => {
        assert.ok(!`${JSON.stringify(row)}${text}`.includes(CANARY), text);
        return row;
      });
      await Promise.all([releases.release(), pool.close()]);
      const batches = await deployment.query('select batch_id from maskline.loads');
      for (const [stage, row] of Object.entries({ ingest, transform, load })) {
        assertHas(row, { stage, pipeline: PIPELINE });
        assert.ok(
          batches.some((one) => one['batch_id'] === row?.['batch_id']),
          stage,
        );
      }
      const { records, bytes } = ingest ?? {};
      assert.ok(Number(records) > 0 && Number(bytes) > 100);
      const masked = transform ?? {};
      assert.equal(masked['policy'], 'today');
      const [row] = masked['sample'] as readonly Readonly<{ [column: string]: string }>[];
      assert.deepEqual(Object.keys(row ?? {}), Object.keys(LOGIN_COLUMNS));
      const tokens = await deployment.query(`select masked_ip from public.${PIPELINE}`);
      const shown = row?.['masked_ip'] ?? '';
      assert.match(shown, /^s1\..{16}…$/);
      assert.ok(tokens.some((one) => String(one['masked_ip']).startsWith(shown.slice(0, -1))));
      assert.equal(row?.['locale'], 'A (1-8)', 'what is kept is a shape');
      assert.match(row?.['user_id'] ?? '', /^x-a-9 \(/);
      const report = load ?? {};
      assertHas(report, { state: 'committed', duplicates: 0, released: 0 });
      assert.equal(Number(report['loaded']) + Number(report['quarantined']), report['received']);
      await depthIsZero(deployment);
    });
  }

  test('by another policy than that of the file all is shown as shapes; a signal ends it well', async () => {
    const deployment = await stack.deployment();
    const tap = await watching(deployment.cli.spawn(['tap']));
    deployment.configurePipeline({ columns: { ...LOGIN_COLUMNS, locale: { from: 'locale', type: 'text' } } });
    await deployment.send([login(1)]);
    assert.equal((await deployment.cli.run(['drain'])).code, 0);
    await eventually(
      () => tap.stdout,
      (said) => said.endsWith('\n'),
      60_000,
    );
    tap.signal('SIGINT');
    const { code, rows } = await tap.ended;
    assert.equal(code, 0);
    assertHas(rows[0], { policy: 'other', rows: 1 });
    assert.match(JSON.stringify(rows[0]?.['sample']), /"masked_ip":"a token"/);
  });

  test('queues in memory, unknown stages and a missing keyring are exit 2, and say why', async () => {
    const deployment = await stack.deployment({ keys: false });
    const keyless = await deployment.cli.run(['tap']);
    assert.equal(keyless.code, 2);
    assert.match(keyless.stderr, /KEK/);
    assert.match((await deployment.cli.run(['tap', 'lode'])).stderr, /ingest, transform, load/);
    deployment.configure((config) => ({ ...config, queue: { url: 'memory://' } }));
    const memory = await deployment.cli.run(['tap', 'ingest']);
    assert.equal(memory.code, 2);
    assert.match(memory.stderr, /memory:\/\/, where nothing passes between processes/);
  });
});
