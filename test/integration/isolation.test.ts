// Two pipelines of one deployment, one of them broken in each way that there is: the other gets on.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { type Json, assertHas } from '../support/cli.js';
import { smallEvents } from '../support/events.js';
import { withConnection } from '../support/postgres.js';
import { type RoleHere, startHere } from '../support/role-here.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { BROKEN, SOUND, newerKeyring, twoPipelines } from '../support/two-pipelines.js';

const MESSAGES = 500;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

interface Two {
  readonly deployment: Deployment;
  /** Sends that many good messages to the sound pipeline, and waits until they are rows. */
  readonly soundWorks: () => Promise<void>;
}

async function two(keys: Json = {}): Promise<Two> {
  const { deployment, sendSound } = await twoPipelines(stack, keys);
  let sent = 0;
  const soundWorks = async (): Promise<void> => {
    await sendSound(smallEvents(MESSAGES, 0).bodies);
    sent += MESSAGES;
    await deployment.countUntil(SOUND, (rows) => rows === sent);
  };
  return { deployment, soundWorks };
}

async function during(
  deployment: Deployment,
  work: (all: RoleHere) => Promise<void>,
  ...roles: readonly ('all' | 'ingest' | 'transform' | 'load')[]
): Promise<void> {
  const running = await Promise.all(roles.map((role) => startHere(deployment, role)));
  try {
    const [first] = running;
    assert.ok(first);
    await work(first);
  } finally {
    await Promise.all(running.map((role) => role.stop()));
  }
}

async function problemsOf(deployment: Deployment): Promise<string> {
  const { rows } = await deployment.cli.run(['status']);
  return JSON.stringify(rows[0]?.['problems']);
}

describe('of two pipelines in one process', () => {
  test('a table that vanishes stops its own alone, which says so everywhere, and goes on when the table is back', async () => {
    const { deployment, soundWorks } = await two();
    await during(
      deployment,
      async (all) => {
        const { port } = await all.waitFor('listening');
        const get = async (path: string): Promise<string> =>
          (await fetch(`http://127.0.0.1:${Number(port)}${path}`)).text();
        await deployment.query(`alter table ${BROKEN} rename to gone`);
        await deployment.send(smallEvents(50, 0).bodies);
        assertHas(await all.waitFor('pipeline_stopped'), { pipeline: PIPELINE });
        await soundWorks();
        assert.match(await get('/readyz?verbose'), /\[-\] pipeline user_logins failed: table_unfit/);
        assert.equal(await get('/livez'), 'ok\n');
        assert.match(await get('/metrics'), /maskline_pipeline_stopped\{pipeline="user_logins"\} 1/);
        await deployment.countUntil(`maskline.processes where stopped ? '${PIPELINE}'`, (n) => n === 1);
        assert.match(await problemsOf(deployment), /role all at here has stopped it since .*table_unfit/);
        // WHEN the table is back, THEN nobody has to start anything
        await deployment.query(`alter table gone rename to ${PIPELINE}`);
        await all.waitFor('pipeline_resumed');
        await deployment.countUntil(BROKEN, (rows) => rows === 50);
        assert.match(await get('/metrics'), /maskline_pipeline_stopped\{pipeline="user_logins"\} 0/);
      },
      'all',
    );
    assert.equal(await deployment.count('maskline.quarantine'), 0);
  });

  test('one that is unfit at the start keeps the other from nothing; when both are, nothing starts', async () => {
    const { deployment, soundWorks } = await two();
    await deployment.query(`alter table ${BROKEN} rename to gone`);
    await during(
      deployment,
      async (all) => {
        assertHas(
          all.log.all.find((line) => line['event'] === 'pipeline_stopped'),
          { pipeline: PIPELINE },
        );
        await soundWorks();
      },
      'all',
    );
    await deployment.query(`alter table ${SOUND} rename to gone_too`);
    await assert.rejects(startHere(deployment, 'all'), (error) => {
      assert.ok(error instanceof PipelineError);
      assert.equal(error.code, 'table_unfit');
      for (const name of [PIPELINE, 'sound']) assert.match(error.message, new RegExp(`pipeline ${name}:`));
      return true;
    });
  });

  test('a payload under a key that the process lacks stops its own alone', async () => {
    const { deployment, soundWorks } = await two();
    // GIVEN an ingester elsewhere whose keyring has a newer key, which this process has not been given
    const configFile = newerKeyring(deployment);
    await deployment.query(
      `insert into maskline.schedules (pipeline, paused_at) values ('${PIPELINE}', now())`,
    );
    // One batch: a second would wait for the trial that comes after a minute.
    await deployment.send(smallEvents(1, 0).bodies);
    await during(
      deployment,
      async (all) => {
        const drain = deployment.cli.spawn(['-c', configFile, 'drain', PIPELINE, '--ingest-only']);
        const stopped = await all.waitFor('pipeline_stopped');
        assertHas(stopped, { pipeline: PIPELINE });
        assert.match(JSON.stringify(stopped), /key_unavailable/);
        await soundWorks();
        assert.equal((await drain.ended).code, 1, 'its batch was given back');
      },
      'all',
    );
    assert.equal(await deployment.count(BROKEN), 0);
    assert.equal(await deployment.count('maskline.quarantine'), 0);
  });

  test('a flood of poison opens its own breaker', async () => {
    const { deployment, soundWorks } = await two();
    await deployment.send(Array.from({ length: 1_000 }, () => 'not JSON'));
    await during(
      deployment,
      async () => {
        await soundWorks();
        await deployment.countUntil(`maskline.breaker where state = 'open'`, (n) => n === 1);
        await soundWorks();
      },
      'all',
    );
    const [open] = await deployment.query(`select pipeline from maskline.breaker where state = 'open'`);
    assert.equal(open?.['pipeline'], PIPELINE);
  });
});

test('a table that is locked takes neither connections nor turns from others, in processes of their own either', async () => {
  const { deployment, soundWorks } = await two({ concurrency: { load: 6 } });
  await withConnection(deployment.database, async (client) => {
    await client.query(`begin; lock table ${BROKEN} in exclusive mode`);
    await during(
      deployment,
      async () => {
        // GIVEN more batches than the loader has connections that wait for the lock
        await deployment.send(smallEvents(3_000, 0).bodies);
        await deployment.countUntil(
          `pg_locks where not granted and relation = '${BROKEN}'::regclass`,
          (waiting) => waiting >= 5,
        );
        await soundWorks();
        // WHEN the lock is gone, THEN all is loaded
        await client.query('rollback');
        await deployment.countUntil(BROKEN, (rows) => rows === 3_000);
      },
      'load',
      'transform',
      'ingest',
    );
  });
});
