import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { type Clock, systemClock } from '../../src/clock.js';
import { loadConfig } from '../../src/config/load.js';
import { checks } from '../../src/doctor/checks.js';
import { type Diagnosis, diagnose } from '../../src/doctor/diagnosis.js';
import { type HostOptions, lookAround } from '../../src/doctor/host.js';
import { freePort } from '../../src/embedded/free-port.js';
import { Releases } from '../../src/lifecycle.js';
import { createPool } from '../../src/load/connection.js';
import { memberships, missingRights, rightsOf } from '../../src/load/rights.js';
import { createKmsKek } from '../../src/masking/kek-kms.js';
import { createKekFile } from '../../src/masking/kek.js';
import { createKeyring } from '../../src/masking/keyring-file.js';
import { writeKeyring } from '../../src/masking/keyring.js';
import { createLogger } from '../../src/ops/logger.js';
import { createDeployment } from '../../src/roles/deployment.js';
import { readEnvironment } from '../../src/roles/environment.js';
import type { Json } from '../support/cli.js';
import { applyRoles, urlAs } from '../support/database-roles.js';
import { startKms } from '../support/kms.js';
import { NotedSqs } from '../support/noted-sqs.js';
import { type ConfigFile, type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const DAY_S = 86_400;
/** A server reads them anew at each start. */
const settings = { fsync: 'on', full_page_writes: 'on' };

let stack: Stack;
let redis: Redis;
let proxied: NotedSqs;
let deployment: Deployment;
let queues = 0;

/** A redrive policy to a dead-letter queue as it should be, unless its attributes say otherwise. */
async function redrive(
  maxReceiveCount = 5,
  letters: Readonly<{ [name: string]: string }> = {},
): Promise<{ readonly RedrivePolicy: string }> {
  queues += 1;
  const name = `dead-${queues}`;
  await stack.sqs.createQueue(name, { MessageRetentionPeriod: String(14 * DAY_S), ...letters });
  const deadLetterTargetArn = stack.sqs.queueArn(name);
  return { RedrivePolicy: JSON.stringify({ deadLetterTargetArn, maxReceiveCount }) };
}

/** A queue of that kind instead of the good one. */
async function queueWith(attributes: Readonly<{ [name: string]: string }>): Promise<Look> {
  queues += 1;
  await stack.sqs.createQueue(`planted-${queues}`, attributes);
  return { env: { SQS_QUEUE_URL: `planted-${queues}` } };
}

interface Look extends Partial<HostOptions> {
  readonly env?: Readonly<{ [name: string]: string | undefined }>;
  readonly clock?: Clock;
}

/** What doctor says of the deployment, asked in this process. */
async function look({ env = {}, clock = systemClock, ...options }: Look = {}): Promise<Diagnosis> {
  const variables = { ...deployment.environment, ...deployment.environmentOf('all'), ...env };
  // The SDK of AWS asks the environment of the process.
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION'])
    process.env[name] = deployment.environment[name];
  const environment = readEnvironment({ ...variables });
  const config = loadConfig({ file: deployment.configFile, env: environment.variables });
  const quiet = createLogger({ level: 'silent', pretty: false });
  const here = { ...createDeployment(config, environment, quiet), clock };
  const releases = new Releases();
  try {
    const place = { directory: deployment.dir, pm2File: null, graceMs: 30_000, ...options };
    const host = await lookAround(here, place);
    return await diagnose(here, config.pipelines, { host, made: checks, releases });
  } finally {
    await releases.release();
  }
}

/** Exactly these checks find something, in this order, and the first finding says and advises so. */
function assertFinds(diagnosis: Diagnosis, names: readonly string[], says?: RegExp, remedy?: RegExp): void {
  const all = JSON.stringify(diagnosis.findings, null, 1);
  assert.deepEqual([...new Set(diagnosis.findings.map(({ check }) => check))], names, all);
  assert.equal(diagnosis.ok, names.length === 0);
  for (const finding of diagnosis.findings) {
    assert.ok(finding.found !== '' && finding.remedy !== '', all);
    assert.ok(finding.pipeline === null || finding.pipeline.startsWith(PIPELINE), all);
  }
  if (says) assert.match(diagnosis.findings[0]?.found ?? '', says);
  if (remedy) assert.match(diagnosis.findings[0]?.remedy ?? '', remedy);
}

/** The first command in a remedy's back-quotes, or the whole. */
function remedyOf({ findings }: Diagnosis): string {
  return findings[0]?.remedy ?? '';
}

before(async () => {
  stack = await startStack(settings);
  redis = new Redis(stack.redis.url);
  await redis.config('SET', 'appendonly', 'yes');
  await redis.config('SET', 'maxmemory', '256mb');
  proxied = await NotedSqs.start(stack);
  deployment = await stack.deployment({ roles: true, queueAttributes: await redrive() });
});

after(async () => {
  redis.disconnect();
  await proxied.stop();
  await stack.stop();
});

/** What doctor must leave as it is. */
async function state(): Promise<unknown> {
  const names = ['processes', 'runs', 'loads', 'ledger', 'quarantine', 'schedules', 'breaker', 'purged'];
  const tables = await Promise.all(names.map((name) => deployment.query(`select * from maskline.${name}`)));
  return { tables, depth: await deployment.depth() };
}

describe('doctor on a good set-up', () => {
  test('finds nothing, has looked at everything, and changes nothing', async () => {
    await deployment.send(['{}', '{}']);
    const before = await state();
    const diagnosis = await look();
    assertFinds(diagnosis, []);
    assert.deepEqual(diagnosis.unchecked, []);
    assert.deepEqual(
      diagnosis.good,
      checks.map(({ name }) => name).filter((name) => name !== 'buckets'),
    );
    assert.deepEqual(await state(), before);
    assert.deepEqual(await deployment.receiveCounts(), [0, 0]);
  });

  test('finds nothing with a URL for each process', async () => {
    const users = ['ingest', 'transform', 'load', 'admin', 'owner', 'reveal', 'audit'] as const;
    const roles = Object.fromEntries(
      users.map((user) => [user, deployment.environmentOf(user)['DATABASE_URL']]),
    );
    await configured(
      (file) => ({ ...file, database: { roles } }),
      async () => {
        assertFinds(await look({ env: { DATABASE_URL: undefined } }), []);
      },
    );
  });

  test('finds nothing where a process has the URL of its own role only', async () => {
    for (const user of ['ingest', 'transform', 'load', 'admin'] as const)
      assertFinds(await look({ env: deployment.environmentOf(user) }), []);
  });
});

/** Runs `work` under another maskline.yaml. */
async function configured(
  change: (file: ConfigFile) => ConfigFile,
  work: () => Promise<void>,
): Promise<void> {
  const written = readFileSync(deployment.configFile, 'utf8');
  try {
    deployment.configure((file) => {
      const changed = change(file);
      original = file;
      return changed;
    });
    await work();
  } finally {
    const back = original;
    deployment.configure(() => back);
    assert.equal(readFileSync(deployment.configFile, 'utf8'), written);
  }
}

let original: ConfigFile = { pipelines: {} };

test('the rights that doctor looks at are rights to what there is, each missing for who has none', async () => {
  await sql(`create role nobody_of_doctor login password 'one-for-all'`)();
  const pool = createPool({ url: urlAs(deployment.database, 'nobody_of_doctor'), applicationName: 'test' });
  try {
    const all = rightsOf(['ingest', 'transform', 'load', 'admin', 'reveal', 'audit']);
    assert.ok(all.length > 40);
    assert.deepEqual(await missingRights(pool, all), all);
    assert.deepEqual(await memberships(pool), []);
  } finally {
    await pool.close();
  }
});

/** A misconfiguration: how it comes about, what finds it, and how it is undone. */
interface Plant {
  readonly what: string;
  /** Returns what doctor is then asked with. */
  readonly plant: () => Promise<Look | void> | Look | void;
  readonly finds: readonly string[];
  readonly says: RegExp;
  readonly remedy: RegExp;
  readonly undo?: () => unknown;
}

const sql =
  (...statements: string[]) =>
  async (): Promise<void> => {
    for (const statement of statements) await deployment.query(statement);
  };

const setRedis = (name: string, value: string) => async (): Promise<void> => {
  await redis.config('SET', name, value);
};

const writeFile = (name: string, text: string) => (): void => writeFileSync(join(deployment.dir, name), text);

const removeFile = (name: string) => (): void => rmSync(join(deployment.dir, name));

const pipelineWith =
  (keys: Json, file: Json = {}) =>
  (): void => {
    deployment.configure((now) => {
      original = now;
      return { ...now, ...file, pipelines: { [PIPELINE]: { ...now.pipelines[PIPELINE], ...keys } } };
    });
  };

const secondPipeline = (keys: Json) => (): void => {
  deployment.configure((now) => {
    original = now;
    const second = { ...now.pipelines[PIPELINE], ...keys };
    return { ...now, pipelines: { ...now.pipelines, [`${PIPELINE}_2`]: second } };
  });
};

const reconfigure = (): void => deployment.configure(() => original);

const anHourAhead: Clock = { ...systemClock, now: () => Date.now() + 3_600_000 };

const APPS = `export const apps = [
  { name: 'maskline-load', script: 'node_modules/maskline/dist/workers/load.js', kill_timeout: 30000 },
  { name: 'maskline-ingest', script: 'node_modules/maskline/dist/workers/ingest.js', kill_timeout: 5000 },
  { name: 'website', script: 'server.js' },
];
`;

const PLANTS: readonly Plant[] = [
  {
    what: 'a Redis that may drop batches',
    plant: setRedis('maxmemory-policy', 'allkeys-lru'),
    finds: ['redis_policy'],
    says: /maxmemory-policy allkeys-lru/,
    remedy: /CONFIG SET maxmemory-policy noeviction/,
    undo: setRedis('maxmemory-policy', 'noeviction'),
  },
  {
    what: 'a Redis without an append-only file',
    plant: setRedis('appendonly', 'no'),
    finds: ['redis_persistence'],
    says: /comes back from SQS/,
    remedy: /CONFIG SET appendonly yes/,
    undo: setRedis('appendonly', 'yes'),
  },
  {
    what: 'a Redis without a limit of its memory',
    plant: setRedis('maxmemory', '0'),
    finds: ['redis_memory'],
    says: /no maxmemory/,
    remedy: /CONFIG SET maxmemory/,
    undo: setRedis('maxmemory', '256mb'),
  },
  {
    what: 'a Redis that is too full to receive',
    plant: setRedis('maxmemory', '1mb'),
    finds: ['redis_memory'],
    says: /more than queue.high_water/,
    remedy: /CONFIG SET maxmemory/,
    undo: setRedis('maxmemory', '256mb'),
  },
  {
    what: 'a Redis that is away',
    plant: async () => ({ env: { REDIS_URL: `redis://:s3cret@127.0.0.1:${await freePort()}` } }),
    finds: ['queue'],
    says: /ECONNREFUSED/,
    remedy: /bring Redis back/,
  },
  {
    what: 'a queue on Postgres that is not migrated',
    plant: () => ({ env: { REDIS_URL: deployment.environmentOf('all')['DATABASE_URL'] } }),
    finds: ['queue'],
    says: /has no queue schema yet/,
    remedy: /`maskline migrate`/,
  },
  {
    what: 'a Postgres that is away',
    plant: async () => ({ env: { DATABASE_URL: `postgres://u:s3cret@127.0.0.1:${await freePort()}/db` } }),
    finds: ['postgres'],
    says: /database\.url: .*ECONNREFUSED/,
    remedy: /bring Postgres back/,
  },
  {
    what: 'a Postgres that can lose what it committed',
    plant: async () => {
      settings.fsync = 'off';
      await stack.postgres.server.restart({ mode: 'fast' });
    },
    finds: ['durability'],
    says: /^fsync of Postgres is off/,
    remedy: /alter system set fsync = on/,
    undo: async () => {
      settings.fsync = 'on';
      await stack.postgres.server.restart({ mode: 'fast' });
    },
  },
  {
    what: 'a right that the loader lacks',
    plant: sql('revoke insert on maskline.ledger from maskline_loader'),
    finds: ['rights'],
    says: /maskline_all is to work for ingest, transform, load, admin, and lacks insert on maskline\.ledger/,
    remedy: /roles\.sql.*grant insert on maskline\.ledger to "maskline_all"/,
    undo: sql('grant insert on maskline.ledger to maskline_loader'),
  },
  {
    what: 'a function that the ingester may not call',
    plant: sql(
      'revoke execute on function maskline.process_seen from maskline_ingest, maskline_transform, maskline_loader, maskline_operator',
    ),
    finds: ['rights'],
    says: /lacks execute on maskline\.process_seen/,
    remedy: /grant execute on function maskline\.process_seen/,
    undo: () => applyRoles(deployment.database),
  },
  {
    what: 'a column that the table lacks',
    plant: sql(`alter table public.${PIPELINE} drop column locale`),
    finds: ['tables'],
    says: /column locale of public\.user_logins does not exist/,
    remedy: /`maskline migrate`/,
    undo: async () => {
      // As the remedy says.
      const { code, stderr } = await deployment.cli.run(['migrate'], {
        env: deployment.environmentOf('owner'),
      });
      assert.equal(code, 0, stderr);
    },
  },
  {
    what: 'a column that is too short for its tokens',
    plant: sql(`alter table public.${PIPELINE} alter column masked_ip type varchar(10)`),
    finds: ['tables'],
    says: /column masked_ip .* varying\(10\), but needs \d+ characters/,
    remedy: /migrate plan.*alter table "public"\."user_logins" alter column "masked_ip"/,
    undo: async () => {
      // As the remedy says.
      const [, statement = ''] = /(alter table .*)$/.exec(remedyOf(await look())) ?? [];
      await deployment.query(statement);
    },
  },
  {
    what: 'a role with fewer connections than its process needs',
    plant: sql('alter role maskline_all connection limit 7'),
    finds: ['connections'],
    says: /maskline_all may have 7 connections, and its processes may open 8/,
    remedy: /alter role "maskline_all" connection limit 12/,
    undo: sql('alter role maskline_all connection limit -1'),
  },
  {
    what: 'more processes than Postgres has connections for',
    plant: sql(`select maskline.process_seen(gen_random_uuid(), role, 'host:' || n, '0.0.0', '{${PIPELINE}}')
                  from generate_series(1, 12) as n, unnest(array['transform', 'load']) as role`),
    finds: ['connections'],
    // 12 of 6, twice, and 4 for commands; 100 less 3 reserved.
    says: /24 processes on record may open 148 connections.* has 97/,
    remedy: /max_connections of Postgres to 151/,
    undo: sql('delete from maskline.processes'),
  },
  {
    what: 'more ingesters than SQS has messages in flight for',
    plant:
      sql(`select maskline.process_seen(gen_random_uuid(), 'ingest', 'host:' || n, '0.0.0', '{${PIPELINE}}')
                  from generate_series(1, 7) as n`),
    finds: ['in_flight'],
    says: /7 ingesters may hold 140000 messages .* hands out 120000/,
    remedy: /limits\.in_flight to 17142 or less/,
    undo: sql('delete from maskline.processes'),
  },
  {
    what: 'a limit that ends long transactions',
    plant: sql(`alter role maskline_all set transaction_timeout = '20s'`),
    finds: ['database_timeouts'],
    says: /transaction_timeout of maskline_all is 20s.* may take 1m/,
    remedy: /alter role "maskline_all" set transaction_timeout = 0/,
    undo: async () => deployment.query(remedyOf(await look()).replace('run: ', '')),
  },
  {
    what: 'a breaker that is open',
    plant: sql(
      `insert into maskline.breaker (pipeline, state, since, reason) values ('${PIPELINE}', 'open', now(), 'planted')`,
    ),
    finds: ['health'],
    says: /breaker has been open/,
    remedy: /maskline schedule resume user_logins/,
    undo: sql('delete from maskline.breaker'),
  },
  {
    what: 'a queue that does not exist',
    plant: () => ({ env: { SQS_QUEUE_URL: 'no-such-queue' } }),
    finds: ['sqs'],
    says: /queue no-such-queue does not exist/,
    remedy: /create it, or mend pipelines\.user_logins\.source\.sqs/,
  },
  {
    what: 'a right that the ingester lacks at SQS',
    plant: () => {
      proxied.proxy.fault = ({ action }) =>
        action === 'DeleteMessage' || action === 'ReceiveMessage'
          ? { kind: 'error', status: 403, type: 'com.amazon.coral.service#AccessDeniedException' }
          : null;
      return { env: proxied.env };
    },
    finds: ['sqs_rights'],
    says: /may not sqs:ReceiveMessage, sqs:DeleteMessage on queue queue-1/,
    remedy: /allow sqs:ReceiveMessage, sqs:DeleteMessage on arn:aws:sqs:.*:queue-1/,
    undo: () => {
      proxied.proxy.fault = () => null;
    },
  },
  {
    what: 'a queue without a redrive policy',
    plant: () => queueWith({}),
    finds: ['redrive'],
    says: /has no redrive policy/,
    remedy: /RedrivePolicy of planted-\d+, with maxReceiveCount 5/,
  },
  {
    what: 'a redrive policy that gives a message one receive',
    plant: async () => queueWith(await redrive(1)),
    finds: ['receive_count'],
    says: /maxReceiveCount of queue planted-\d+ is 1/,
    remedy: /maxReceiveCount .* to 3 or more/,
  },
  {
    what: 'dead letters that are dropped before anybody sees them',
    plant: async () => queueWith(await redrive(5, { MessageRetentionPeriod: String(4 * DAY_S) })),
    finds: ['dead_letters'],
    says: /dead-\d+ keeps messages for 4d, counted from when they were first sent, and queue planted-\d+ keeps them for 4d/,
    remedy: /MessageRetentionPeriod of dead-\d+ to 1209600/,
  },
  {
    what: 'a ledger that forgets sooner than SQS',
    plant: pipelineWith(
      {},
      { retention: { ledger: '4d' }, queue: { url: '${REDIS_URL}', keep_failed: { age: '1d' } } },
    ),
    finds: ['ledger_retention'],
    says: /retention\.ledger is 4d, and queue queue-1 keeps messages for 4d/,
    remedy: /set retention\.ledger to 5d/,
    undo: reconfigure,
  },
  {
    what: 'two pipelines on one queue under two names',
    plant: async () => {
      await sql(
        `create table public.other (like public.${PIPELINE} including all)`,
        'grant insert on public.other to maskline_loader',
      )();
      const queue = await stack.sqs.queueUrl(deployment.queue);
      secondPipeline({ source: { sqs: { queue } }, target: { table: 'public.other' } })();
    },
    finds: ['shared_queue'],
    says: /pipelines user_logins and user_logins_2 receive from arn:aws:sqs:[^ ]*:queue-1/,
    remedy: /a `route`/,
    undo: async () => {
      reconfigure();
      await sql('drop table public.other')();
    },
  },
  {
    what: 'two pipelines with one table',
    plant: async () => {
      const { env = {} } = await queueWith(await redrive());
      secondPipeline({ source: { sqs: { queue: env['SQS_QUEUE_URL'] } } })();
    },
    finds: ['shared_table'],
    says: /user_logins_2 and user_logins load one table, public\.user_logins/,
    remedy: /from: \$message_id/,
    undo: reconfigure,
  },
  {
    what: 'a heartbeat without room for a second try',
    plant: pipelineWith({ source: { sqs: { visibility_timeout: '12s' } } }),
    finds: ['visibility'],
    says: /visibility_timeout is 12s/,
    remedy: /pipelines\.user_logins\.source\.sqs\.visibility_timeout to 30s/,
    undo: reconfigure,
  },
  {
    what: 'batches that are formed for longer than messages are hidden',
    plant: pipelineWith({ batch: { linger: '50s' }, source: { sqs: { visibility_timeout: '40s' } } }),
    finds: ['linger'],
    says: /batch\.linger is 50s, and visibility_timeout 40s/,
    remedy: /batch\.linger to less/,
    undo: reconfigure,
  },
  {
    what: 'batches that are let go before their workers are replaced',
    plant: pipelineWith({ limits: { residence: '1m' } }),
    finds: ['residence'],
    // 19 s until a takeover; seven waits of 1, 2, 4, 8, 16, 30 and 30 s.
    says: /limits\.residence is 1m: .* after 19s, .* for 91s/,
    remedy: /residence to 110s or more/,
    undo: reconfigure,
  },
  {
    what: 'a pm2 that kills early',
    plant: writeFile('ecosystem.config.mjs', APPS),
    finds: ['kill_time'],
    says: /ecosystem\.config\.mjs, app maskline-ingest: a process is killed 5s after .* up to 25s/,
    remedy: /kill_timeout of the app maskline-ingest/,
    undo: removeFile('ecosystem.config.mjs'),
  },
  {
    what: 'a pm2 that runs it, and kills by its default',
    plant: () => ({ env: { pm_id: '3', name: 'doctor' } }),
    finds: ['kill_time'],
    says: /pm2, app doctor: a process is killed 1600ms after/,
    remedy: /kill_timeout/,
  },
  {
    what: 'a container that is given 10 s',
    plant: () => ({ graceMs: 10_000 }),
    finds: ['kill_time'],
    says: /--grace: a process is killed 10s after/,
    remedy: /stop_grace_period/,
  },
  {
    what: 'clocks that differ',
    plant: () => ({ clock: anHourAhead }),
    finds: ['clocks'],
    says: /Postgres 3600s behind, Redis 3600s behind, SQS (3599|3600|3601)s behind/,
    remedy: /clock of this machine by NTP/,
  },
  {
    what: 'a key-encryption key that is not that of the keyring',
    plant: () => {
      kek = readFileSync(deployment.kekFile, 'utf8');
      rmSync(deployment.kekFile);
      createKekFile(deployment.kekFile);
    },
    finds: ['keyring'],
    says: /does not open with the KEK file/,
    remedy: /maskline keys check/,
    undo: () => writeFileSync(deployment.kekFile, kek),
  },
  {
    what: 'a keyring that others may read',
    plant: () => chmodSync(deployment.keyringFile, 0o644),
    finds: ['keyring_mode'],
    says: /mode 0644/,
    remedy: /chmod 600 .*maskline\.keyring\.json/,
    undo: () => chmodSync(deployment.keyringFile, 0o600),
  },
  {
    what: 'quarantined records of a key that the keyring lacks',
    plant:
      sql(`insert into maskline.quarantine (id, pipeline, record_id, message_id, batch_id, code, path, kind, sealed, kid, sent_at)
                select gen_random_uuid(), '${PIPELINE}', 'r', 'r', gen_random_uuid(), 'not_json', null, 'raw', '\\x00', 7, now()`),
    finds: ['keys'],
    says: /maskline\.quarantine holds what was made under key 7/,
    remedy: /keyring that has key 7/,
    undo: sql('delete from maskline.quarantine'),
  },
  {
    what: 'rows of a key that the keyring lacks, where the rows may be read',
    plant: async () => {
      await sql(`insert into public.${PIPELINE} (user_id, masked_ip, masked_device_id)
                 values ('u', 's9.AAAAAAAAAAAAAAAAAAAAAA', 's1.AAAAAAAAAAAAAAAAAAAAAA')`)();
      return { env: { DATABASE_URL: deployment.database } };
    },
    finds: ['keys'],
    says: /^public\.user_logins\.masked_ip holds what was made under key 9/,
    remedy: /keyring that has key 9/,
    undo: sql(`delete from public.${PIPELINE}`),
  },
  {
    what: 'admin pages for everybody',
    plant: () => ({ env: { HOST: '0.0.0.0' } }),
    finds: ['admin'],
    says: /on 0\.0\.0\.0/,
    remedy: /MASKLINE_ADMIN_USER/,
  },
  {
    what: 'failpoints that were left behind',
    plant: () => ({ env: { MASKLINE_ALLOW_FAILPOINTS: '1' } }),
    finds: ['failpoints'],
    says: /MASKLINE_ALLOW_FAILPOINTS is set/,
    remedy: /unset MASKLINE_ALLOW_FAILPOINTS/,
  },
  {
    what: 'a .env that nobody reads',
    plant: writeFile('.env', 'MASKLINE_ADMIN_USER=someone\nUNRELATED=1\nREDIS_URL=redis://elsewhere\n'),
    finds: ['env_file'],
    says: /^\.env sets MASKLINE_ADMIN_USER, and the environment does not/,
    remedy: /set -a; \. \.\/\.env; set \+a/,
    undo: removeFile('.env'),
  },
];

let kek = '';

describe('doctor finds, by real servers and files, and nothing besides', () => {
  for (const { what, plant, finds, says, remedy, undo } of PLANTS) {
    test(what, async () => {
      let options: Look;
      try {
        options = (await plant()) ?? {};
        const diagnosis = await look(options);
        assertFinds(diagnosis, finds, says, remedy);
        assert.ok(!JSON.stringify(diagnosis).includes('s3cret'), 'it quotes a password');
      } finally {
        await undo?.();
      }
    });
  }

  test('an empty database, and nothing once its remedy is carried out', async () => {
    const env = { DATABASE_URL: await stack.postgres.database() };
    const diagnosis = await look({ env });
    assertFinds(diagnosis, ['schema', 'tables'], /schema maskline is missing/, /`maskline migrate`/);
    const { code, stderr } = await deployment.cli.run(['migrate'], { env });
    assert.equal(code, 0, stderr);
    assertFinds(await look({ env }), []);
  });

  test('a keyring that is missing, and nothing once it is back', async () => {
    const keyring = readFileSync(deployment.keyringFile);
    rmSync(deployment.keyringFile);
    const diagnosis = await look();
    assertFinds(diagnosis, ['keyring'], /keyring .* cannot be read \(ENOENT\): `maskline keys init`/);
    assert.deepEqual(
      diagnosis.unchecked.map(({ check }) => check),
      ['keyring_mode', 'keys'],
    );
    writeFileSync(deployment.keyringFile, keyring, { mode: 0o600 });
  });

  test('a key of AWS KMS that this process may not use, and nothing while it may', async () => {
    const kms = await startKms();
    // The SDK of AWS asks the environment of the process.
    process.env['AWS_ENDPOINT_URL_KMS'] = kms.endpoint;
    try {
      const keyArn = kms.key('doctor');
      const file = join(deployment.dir, 'kms.keyring.json');
      writeKeyring(file, createKeyring(await createKmsKek({ keyArn, context: {} }), Date.now()));
      const keyring = { file, kek: { type: 'aws-kms', key_arn: keyArn } };
      await configured(
        (config) => ({ ...config, keyring }),
        async () => {
          assertFinds(await look(), []);
          kms.fault = { status: 400, type: 'AccessDeniedException' };
          assertFinds(await look(), ['keyring'], /AWS KMS refused Decrypt by arn:.*kms:Decrypt/);
        },
      );
    } finally {
      delete process.env['AWS_ENDPOINT_URL_KMS'];
      await kms.stop();
    }
  });

  test('what is wrong elsewhere, while Postgres, Redis and SQS are each away in turn', async () => {
    const port = await freePort();
    const away = {
      postgres: { DATABASE_URL: `postgres://u:p@127.0.0.1:${port}/db` },
      queue: { REDIS_URL: `redis://127.0.0.1:${port}` },
      sqs: { AWS_ENDPOINT_URL_SQS: `http://127.0.0.1:${port}` },
    };
    for (const [check, env] of Object.entries(away)) {
      const diagnosis = await look({ env, graceMs: 10_000 });
      assertFinds(diagnosis, [check, 'kill_time']);
      assert.ok(diagnosis.unchecked.length >= 4, JSON.stringify(diagnosis.unchecked));
      for (const other of Object.keys(away).filter((name) => name !== check))
        assert.ok(diagnosis.good.includes(other), `${check} away, and ${other} is not looked at`);
    }
  });

  test('and nothing is left of it', async () => assertFinds(await look(), []));
});

describe('maskline doctor', () => {
  const env = (): { readonly [name: string]: string } => ({ ...deployment.environmentOf('all') });

  test('prints one JSON object, and ends with 0 when nothing is wrong', async () => {
    const { code, rows, stderr } = await deployment.cli.run(['doctor', '--grace', '30s'], {
      env: env(),
      process: true,
    });
    assert.equal(code, 0, stderr);
    assert.equal(rows.length, 1);
    assert.deepEqual({ ...rows[0], good: [] }, { ok: true, findings: [], good: [], unchecked: [] });
    assert.equal(stderr, '');
  });

  test('ends with 1 when something is, and leaves out what it is told to', async () => {
    const short = await deployment.cli.run(['doctor', '--grace', '10s'], { env: env() });
    assert.equal(short.code, 1, short.stderr);
    const findings = short.rows[0]?.['findings'] as readonly Json[];
    assert.deepEqual(
      findings.map(({ check, severity, pipeline }) => ({ check, severity, pipeline })),
      [{ check: 'kill_time', severity: 'error', pipeline: null }],
    );
    const without = await deployment.cli.run(['doctor', '--grace', '10s', '--except', 'kill_time'], {
      env: env(),
    });
    assert.equal(without.code, 0, without.stdout);
    const good: unknown = without.rows[0]?.['good'];
    assert.ok(Array.isArray(good) && good.length > 20 && !good.includes('kill_time'));
  });

  test('ends with 2 for usage that is wrong and for an unfit file, and says what .env has that it lacks', async () => {
    for (const args of [
      ['--except', 'no_such_check'],
      ['--grace', 'soon'],
      ['-p', 'no_such_pipeline'],
    ]) {
      const { code, stderr } = await deployment.cli.run(['doctor', ...args], { env: env() });
      assert.equal(code, 2, stderr);
      assert.match(stderr, new RegExp(args[1] === 'soon' ? '--grace must be a duration' : (args[1] ?? '')));
    }
    writeFileSync(join(deployment.dir, '.env'), 'DATABASE_URL=postgres://u:s3cret@h/d\n');
    const { code, stderr } = await deployment.cli.run(['doctor'], { env: { DATABASE_URL: '' } });
    rmSync(join(deployment.dir, '.env'));
    assert.equal(code, 2);
    assert.match(stderr, /^\.env sets DATABASE_URL, and is not read: set -a; \. \.\/\.env; set \+a$/m);
    assert.match(stderr, /database\.url/);
    assert.ok(!stderr.includes('s3cret'));
  });
});
