import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createKekFile } from '../../src/masking/kek.js';
import { createKeyring } from '../../src/masking/keyring-file.js';
import { writeKeyring } from '../../src/masking/keyring.js';
import type { CliProcess } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { keyringOracle } from '../support/oracle.js';
import { Sent, allSettled, assertSameEnd } from '../support/same-end.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const LIMIT_MS = 120_000;
const COUNT = 40;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** A deployment with events in its queue. */
async function withEvents(): Promise<Sent> {
  const deployment = await stack.deployment({
    ddl: `create table public.${PIPELINE} (event_id varchar(32) not null, device varchar(256) not null)`,
    pipeline: {
      schedule: '* * * * * *',
      source: { sqs: { visibility_timeout: '5s' } },
      batch: { linger: '100ms' },
      columns: SMALL_COLUMNS,
    },
  });
  return new Sent(deployment, smallEvents(COUNT, 10));
}

const start = ({ cli }: Deployment, role: string): CliProcess =>
  cli.spawn(['run', role], { limitMs: LIMIT_MS });

/** Nothing is in any table, and all messages are still SQS's. */
async function assertUntouched(deployment: Deployment): Promise<void> {
  for (const table of [`public.${PIPELINE}`, 'maskline.ledger', 'maskline.quarantine'])
    assert.equal(await deployment.count(table), 0, table);
  const { visible, inFlight } = await deployment.depth();
  assert.equal(visible + inFlight, COUNT);
}

async function sameEnd(sent: Sent, processes: readonly CliProcess[]): Promise<void> {
  await allSettled(sent);
  for (const process of processes) {
    process.signal('SIGTERM');
    assert.equal((await process.ended).code, 0, process.stderr);
  }
  await assertSameEnd(sent);
}

describe('without the right keys', { concurrency: 3 }, () => {
  test('no process starts: not without its keyring, nor with another KEK, nor without one, and nothing is received', async () => {
    const sent = await withEvents();
    const { deployment } = sent;
    await sent.send(COUNT);
    const { keyringFile, kekFile } = deployment;
    const right = readFileSync(kekFile);
    const refused = async (said: RegExp): Promise<void> => {
      for (const args of [['drain'], ['run', 'transform']]) {
        const { code, stderr } = await deployment.cli.run(args);
        assert.equal(code, 2, stderr);
        assert.match(stderr, said);
      }
    };
    renameSync(keyringFile, `${keyringFile}.away`);
    await refused(/keyring .*maskline\.keyring\.json cannot be read \(ENOENT\)/);
    renameSync(`${keyringFile}.away`, keyringFile);
    rmSync(kekFile);
    await refused(/KEK file .* does not exist/);
    createKekFile(kekFile);
    await refused(/key 1 of keyring kr_\S+ does not open with the KEK file/);
    assert.deepEqual(await deployment.receiveCounts(), new Array(10).fill(0));
    await assertUntouched(deployment);
    // and with the right one all is well
    writeFileSync(kekFile, right);
    await sameEnd(sent, [start(deployment, 'all')]);
  });

  test('a worker with another keyring stops, names both, and nothing is masked, quarantined or acked', async () => {
    const sent = await withEvents();
    const { deployment } = sent;
    const { keyringFile, kekFile } = deployment;
    const right = readFileSync(keyringFile);
    const id = (JSON.parse(right.toString()) as { id: string }).id;
    await sent.send(COUNT);
    const ingest = start(deployment, 'ingest');
    await ingest.waitFor('started');
    // GIVEN another keyring with a key of the same number
    const other = join(deployment.dir, 'other.json');
    const otherKek = createKekFile(join(deployment.dir, 'other-kek'));
    const ring = createKeyring(otherKek, Date.now());
    writeKeyring(other, ring);
    writeFileSync(keyringFile, readFileSync(other));
    const kek = readFileSync(kekFile);
    writeFileSync(kekFile, readFileSync(join(deployment.dir, 'other-kek')));
    const { code, stderr } = await start(deployment, 'transform').ended;
    assert.equal(code, 2, stderr);
    for (const named of [id, ring.id, 'key_unavailable', 'pipeline_stopped'])
      assert.ok(stderr.includes(named), named);
    await assertUntouched(deployment);
    writeFileSync(keyringFile, right);
    writeFileSync(kekFile, kek);
    // The batch that failed is let go after a while; a new ingester does not wait for that.
    await ingest.kill();
    await sameEnd(sent, [start(deployment, 'all')]);
  });

  test('a worker whose keyring lacks the key of a payload stops and says which, and nothing is masked, quarantined or acked', async () => {
    const sent = await withEvents();
    const { deployment } = sent;
    const { keyringFile, kekFile } = deployment;
    await sent.send(COUNT);
    const old = readFileSync(keyringFile, 'utf8');
    const { id } = JSON.parse(old) as { id: string };
    const masters = new Map(deployment.masters());
    // GIVEN an ingester whose keyring has a newer key, which the worker has not been given
    masters.set(2, randomBytes(32));
    writeFileSync(keyringFile, keyringOracle(masters, readFileSync(kekFile, 'utf8').trim(), id));
    const ingest = start(deployment, 'ingest');
    await ingest.waitFor('started');
    writeFileSync(keyringFile, old);
    const { code, stderr } = await start(deployment, 'transform').ended;
    assert.equal(code, 2, stderr);
    assert.match(stderr, new RegExp(`key 2 is not in keyring ${id}`));
    await assertUntouched(deployment);
    await ingest.kill();
    await sameEnd(sent, [start(deployment, 'all')]);
  });

  test('a process that has its keys goes on with them, whatever becomes of the files', async () => {
    const sent = await withEvents();
    const { deployment } = sent;
    const { keyringFile, kekFile } = deployment;
    const [ring, kek] = [readFileSync(keyringFile), readFileSync(kekFile)];
    const all = start(deployment, 'all');
    await all.waitFor('started');
    rmSync(keyringFile);
    rmSync(kekFile);
    createKekFile(kekFile);
    await sent.send(COUNT);
    await allSettled(sent);
    all.signal('SIGTERM');
    assert.equal((await all.ended).code, 0, all.stderr);
    // What it wrote opens with the keys that it had.
    writeFileSync(keyringFile, ring);
    writeFileSync(kekFile, kek);
    await assertSameEnd(sent);
  });
});
