import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { kekFromFile } from '../../src/masking/kek.js';
import { promoteKey } from '../../src/masking/keyring-change.js';
import { Keyring, readKeyringFile } from '../../src/masking/keyring.js';
import { sealMasked } from '../../src/masking/quarantined.js';
import { PayloadSealer } from '../../src/masking/seal.js';
import { openQueues } from '../../src/roles/queues.js';
import { type CliResult, type Json, assertHas } from '../support/cli.js';
import { failBatch, failIn, insideOf } from '../support/failed.js';
import { batchOf } from '../support/masking.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const LOGIN = JSON.stringify({ user_id: 'u1', ip: '198.51.100.7', device_id: 'device-1' });

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

for (const queue of ['redis', 'postgres'] as const) {
  describe(`a key that only batches in queues need (${queue})`, () => {
    let deployment: Deployment;
    before(async () => {
      deployment = await stack.deployment({ queue, file: { startup_timeout: '1s' } });
      if (queue === 'postgres') await command('migrate');
    });

    async function command(...args: string[]): Promise<CliResult> {
      const result = await deployment.cli.run(args);
      assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}`);
      return result;
    }
    const destroy = (env: Readonly<{ [name: string]: string }> = {}): Promise<CliResult> =>
      deployment.cli.run(['keys', 'destroy', '1', '--yes'], { env });
    async function uses(): Promise<Json> {
      const { code, rows, stderr } = await destroy();
      assert.equal(code, 1, stderr);
      assertHas(rows[0], { kid: 1, destroyed: false });
      const found = rows[0]?.['uses'] as readonly { place: string; count: number }[];
      return Object.fromEntries(found.map(({ place, count }) => [place, count]));
    }

    test('is not destroyed while they wait or have failed, whichever key has sealed them', async () => {
      await failBatch(deployment, { bodies: [LOGIN], stage: 'transform' });
      const first = insideOf(deployment);
      const old = await openQueues(first.inside, new PayloadSealer(first.keyring), PIPELINE);
      await old.transformQueue.add({
        ...batchOf([LOGIN]),
        batchId: systemClock.id(),
        pipeline: PIPELINE,
      });
      await command('keys', 'add');
      // Masked under the first key, as the file has it, and sealed under the second, as a retry does.
      const kek = kekFromFile(deployment.kekFile);
      const file = readKeyringFile(deployment.keyringFile);
      const promoted = new Keyring(promoteKey({ file, kek, where: 'test' }, 2), kek, 'test');
      const later = await openQueues(first.inside, new PayloadSealer(promoted), PIPELINE);
      await failIn(deployment, later, { bodies: [LOGIN], stage: 'load' });
      const [failed] = await later.loadQueue.failed({ codes: [], since: null, limit: null });
      assert.equal(failed?.payload.kid, 2);
      await Promise.all(
        [old, later].flatMap((each) => [each.transformQueue.close(), each.loadQueue.close()]),
      );
      await command('keys', 'promote', '2');
      assert.deepEqual(await uses(), {
        [`waiting jobs of transform.${PIPELINE}`]: 1,
        [`failed jobs of transform.${PIPELINE}`]: 1,
        [`failed jobs of load.${PIPELINE}`]: 1,
      });
    });

    test('is not destroyed, with exit code 3, while a database or a queue can’t be asked', async () => {
      const away = queue === 'redis' ? 'redis://127.0.0.1:1' : 'postgres://127.0.0.1:1/none';
      for (const env of [{ REDIS_URL: away }, { DATABASE_URL: 'postgres://127.0.0.1:1/none' }]) {
        const { code, stderr } = await destroy(env);
        assert.equal(code, 3, stderr);
      }
      const { rows } = await command('keys', 'list');
      assert.deepEqual(
        rows.map(({ state }) => state),
        ['decrypt-only', 'primary'],
      );
    });

    test('is destroyed once they are gone, and only when it is said off a terminal', async () => {
      const { inside, keyring } = insideOf(deployment);
      const queues = await openQueues(inside, new PayloadSealer(keyring), PIPELINE);
      for (const each of [queues.transformQueue, queues.loadQueue]) {
        const worker = each.process(async () => undefined, { concurrency: 1 });
        await eventually(
          () => each.backlog(),
          ({ waiting, active }) => waiting + active === 0,
        );
        await worker.stop();
        for (const { batchId } of await each.failed({ codes: [], since: null, limit: null }))
          await each.discardFailed(batchId);
        await each.close();
      }
      const asked = await deployment.cli.run(['keys', 'destroy', '1']);
      assert.equal(asked.code, 2);
      assert.match(asked.stderr, /gone for ever.*redriven under it.*--yes/s);
      const { code, rows, stderr } = await destroy();
      assert.equal(code, 0, stderr);
      assert.deepEqual(rows, [{ kid: 1, destroyed: true, uses: [] }]);
    });
  });
}

describe('a key under which the vault holds values', () => {
  let deployment: Deployment;
  before(async () => {
    deployment = await stack.deployment({
      ddl: null,
      file: { startup_timeout: '1s' },
      pipeline: {
        columns: {
          n: { from: 'n', type: 'integer' },
          mail: { from: 'mail', mask: { method: 'vault', domain: 'mail', subject: 'user' } },
          mails: {
            from: 'mails[*]',
            type: 'jsonb',
            mask: { method: 'vault', domain: 'mail', subject: 'user' },
          },
        },
        target: { table: `public.${PIPELINE}`, create: true },
      },
    });
    await command('migrate');
    await deployment.send(
      ['alice', 'bob'].map((user, n) =>
        JSON.stringify({ n, user, mail: `${user}@example.org`, mails: [`${user}@example.net`] }),
      ),
    );
    await command('drain');
    await command('keys', 'add');
    await command('keys', 'promote', '2');
    // Rows that the table refused, sealed after the promotion by a process that met batches from before.
    const { keyring } = insideOf(deployment);
    for (const { mail } of await tokens()) {
      const id = systemClock.id();
      const { kid, sealed } = sealMasked(keyring, id, Buffer.from(`mail\n${String(mail)}\n`));
      assert.equal(kid, 2);
      await deployment.query(
        `insert into maskline.quarantine
           (id, pipeline, record_id, message_id, batch_id, code, kind, sealed, kid, sent_at)
         values ($1, $2, 'r', 'm', $1, 'refused_23514', 'masked', $3, $4, now())`,
        [id, PIPELINE, sealed, kid],
      );
    }
  });

  async function command(...args: string[]): Promise<CliResult> {
    const result = await deployment.cli.run([...args, '--yes']);
    assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}${result.stdout}`);
    return result;
  }
  const tokens = (): Promise<readonly Json[]> =>
    deployment.query(`select mail, mails ->> 0 as first from public.${PIPELINE} order by n`);

  test('is not destroyed while entries, subjects or tokens of it are there, by name and count; erased ones are none', async () => {
    const before = await tokens();
    const counted = async (n: number): Promise<void> => {
      const { code, rows, stderr } = await deployment.cli.run(['keys', 'destroy', '1', '--yes']);
      assert.equal(code, 1, stderr);
      assert.deepEqual(rows[0]?.['uses'], [
        { place: `public.${PIPELINE}.mail`, count: n },
        { place: `public.${PIPELINE}.mails`, count: n },
        { place: 'maskline.vault', count: 2 * n },
        { place: 'maskline.vault_subjects', count: 2 * n },
        { place: 'tokens in masked rows of maskline.quarantine', count: n },
      ]);
    };
    await counted(2);
    await command('erase', '--subject', 'alice', '--purpose', 'article 17, on demand');
    assert.deepEqual(await tokens(), before, 'her tokens stay, and mean nothing');
    await counted(1);
  });

  test('is destroyed when all that means anything has come over, and leaves the tokens of erased values as they are', async () => {
    const [alice, bob] = await tokens();
    const { rows } = await command('remask', '--from-kid', '1');
    assertHas(rows[0], {
      state: 'done',
      remasked: 1,
      unopened: 0,
      left: 0,
      quarantine_resealed: 1,
      vault_remasked: 2,
      vault_unopened: 0,
    });
    const after = await tokens();
    assert.deepEqual(after[0], alice);
    for (const token of Object.values(after[1] ?? {})) assert.match(String(token), /^v2\./);
    assert.notDeepEqual(after[1], bob);
    assert.deepEqual((await command('keys', 'destroy', '1')).rows, [{ kid: 1, destroyed: true, uses: [] }]);
    const asked = [...Object.values(after[1] ?? {}), ...Object.values(bob ?? {}), alice?.['mail']].map(
      String,
    );
    const revealed = await deployment.cli.run(['reveal', ...asked, '--purpose', 'to see what is left']);
    assert.deepEqual(
      revealed.rows.map(({ value }) => value),
      ['bob@example.org', 'bob@example.net', 'bob@example.org', 'bob@example.net', null],
    );
    assert.equal(revealed.rows.at(-1)?.['outcome'], 'not_in_vault');
  });
});
