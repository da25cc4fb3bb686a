// Each fault as those see it who watch: what `status` names, whether the process is ready, and the alert that fires on
// what it then serves as metrics.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import type { Problem, ProblemKind, Status } from '../../src/ops/status.js';
import { FaultProxy } from '../../src/proof/fault-proxy.js';
import { withConnection } from '../support/postgres.js';
import { promtool } from '../support/promtool.js';
import { eventually } from '../support/queue.js';
import { type RoleHere, startHere } from '../support/role-here.js';
import { type Scrape, type ScrapedFault, rulesTest } from '../support/scraped.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const RULES = join(
  dirname(fileURLToPath(new URL('../../../package.json', import.meta.url))),
  'deploy/prometheus/alerts.yml',
);
const TABLE = `public.${PIPELINE}`;
const LIMIT_MS = 60_000;
const BALLAST_BYTES = 40 * 1024 * 1024;
const COLUMNS = {
  event_id: { from: 'event_id', type: 'text', max_length: 32, required: true },
  device: { from: 'device', required: true, mask: { method: 'siv', domain: 'device' } },
  note: { from: 'note', type: 'text', max_length: 80 },
} as const;

/** Who watches, and who works. */
const ADMIN = 'admin';
const ALL = 'all';

let stack: Stack;
let deployment: Deployment;
let roles: { readonly [instance: string]: RoleHere };
let ports: { readonly [instance: string]: number };
let proxies: { readonly [variable: string]: FaultProxy };
let sent = 0;
const faults: ScrapedFault[] = [];

before(async () => {
  stack = await startStack();
  deployment = await stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32) not null, device varchar(256) not null, note varchar(80))`,
    file: { health: { max_lag: '5s' } },
    pipeline: {
      schedule: '* * * * * *',
      leak_gate: true,
      batch: { max_messages: 100, linger: '50ms' },
      columns: COLUMNS,
    },
  });
  const env: { [variable: string]: string } = {};
  const made: { [variable: string]: FaultProxy } = {};
  for (const variable of ['DATABASE_URL', 'REDIS_URL', 'AWS_ENDPOINT_URL_SQS']) {
    const url = new URL(deployment.environment[variable] ?? '');
    const proxy = await FaultProxy.start(Number(url.port));
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    made[variable] = proxy;
    env[variable] = variable.startsWith('AWS') ? url.origin : url.href;
  }
  proxies = made;
  const [all, admin] = await Promise.all([
    startHere(deployment, ALL, { owner: ALL, env }),
    startHere(deployment, ADMIN, { owner: ADMIN, env }),
  ]);
  roles = { all, admin };
  const listening = async (role: RoleHere): Promise<number> =>
    Number((await role.waitFor('listening'))['port']);
  ports = { all: await listening(all), admin: await listening(admin) };
  await send(20);
  await deployment.countUntil(TABLE, (rows) => rows === 20);
  await well();
});
after(async () => {
  await Promise.all(Object.values(roles ?? {}).map((role) => role.stop('hard')));
  await Promise.all(Object.values(proxies ?? {}).map((proxy) => proxy.stop()));
  await stack.stop();
});

async function send(count: number, fields: object = {}): Promise<void> {
  const bodies = Array.from({ length: count }, () => {
    sent += 1;
    return JSON.stringify({
      event_id: `event-${sent}`,
      device: `device-number-${sent}`,
      note: 'none',
      ...fields,
    });
  });
  await deployment.send(bodies);
}

const get = (instance: string, path: string): Promise<Response> =>
  fetch(`http://127.0.0.1:${ports[instance]}${path}`);

interface Seen {
  readonly kinds: readonly ProblemKind[];
  readonly problems: readonly Problem[];
  /** What the process that works says of itself. */
  readonly isReady: boolean;
}

async function look(): Promise<Seen> {
  const [status, ready] = await Promise.all([
    get(ADMIN, '/api/status'),
    get(ALL, '/readyz').catch(() => null),
  ]);
  const { problems, healthy } = (await status.json()) as Status;
  assert.equal(healthy, problems.length === 0);
  return { kinds: problems.map(({ kind }) => kind), problems, isReady: ready?.status === 200 };
}

/** All is well, and both serve so: each looks for itself, once a second. */
async function well(): Promise<readonly Scrape[]> {
  await eventually(look, ({ kinds, isReady }) => kinds.length === 0 && isReady, LIMIT_MS);
  return eventually(scrape, (scrapes) =>
    scrapes.every(({ text }) => text.includes('\nmaskline_healthy 1\n')),
  );
}

async function scrape(): Promise<readonly Scrape[]> {
  const running = Object.keys(ports);
  return Promise.all(
    running.map(async (instance) => ({ instance, text: await (await get(instance, '/metrics')).text() })),
  );
}

/** The sum of a counter over all that serve it. */
function total(counter: string, scrapes: readonly Scrape[]): number {
  const samples = new RegExp(`^${counter}\\S* (\\d+)$`, 'gm');
  return scrapes
    .flatMap(({ text }) => [...text.matchAll(samples)])
    .reduce((sum, [, count]) => sum + Number(count), 0);
}

interface Fault {
  readonly what: string;
  /** Of these, `status` names each while it lasts; empty: it is content. */
  readonly status: readonly ProblemKind[];
  readonly isReady: boolean;
  readonly alerts: readonly string[];
  /** What has counted by the time that `status` says so, or soon after. */
  readonly counts?: string;
  readonly begin: () => Promise<unknown>;
  readonly end: () => Promise<unknown>;
}

const away = (what: string, variable: string, kind: ProblemKind, alert: string): Fault => ({
  what,
  status: [kind],
  isReady: false,
  alerts: [alert, 'MasklineWaiting'],
  counts: 'maskline_outage_waits_total',
  begin: async () => proxies[variable]?.set({ kind: 'refuse' }),
  end: async () => proxies[variable]?.set({ kind: 'pass' }),
});

async function readOnly(isOn: boolean): Promise<void> {
  const name = new URL(deployment.database).pathname.slice(1);
  await withConnection(stack.postgres.server.url, async (client) => {
    await client.query(`alter database ${name} set default_transaction_read_only = ${isOn ? 'on' : 'off'}`);
    // Sessions that are there keep what they began with.
    await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'maskline%'`,
    );
  });
}

let unlock: () => void = () => undefined;
let locking: Promise<void> = Promise.resolve();

async function lock(): Promise<void> {
  await new Promise<void>((locked, failed) => {
    const held = new Promise<void>((resolve) => (unlock = resolve));
    locking = withConnection(
      stack.postgres.server.url.replace(/[^/]*$/, new URL(deployment.database).pathname.slice(1)),
      async (client) => {
        await client.query(`begin; lock table ${TABLE}`);
        locked();
        await held;
        await client.query('rollback');
      },
    );
    locking.catch(failed);
  });
}

async function redisDo(work: (redis: Redis) => Promise<unknown>): Promise<void> {
  const redis = new Redis(stack.redis.url);
  try {
    await work(redis);
  } finally {
    redis.disconnect();
  }
}

/** They are told for an hour. */
async function forgetFailedJobs(): Promise<void> {
  const { code, stderr } = await deployment.cli.run(['failed', 'discard', '--all', '--yes']);
  assert.equal(code, 0, stderr);
}

const FAULTS: readonly Fault[] = [
  away('Postgres is away', 'DATABASE_URL', 'postgres', 'MasklinePostgresAway'),
  away('Redis is away', 'REDIS_URL', 'queue', 'MasklineQueueAway'),
  away('SQS is away', 'AWS_ENDPOINT_URL_SQS', 'source', 'MasklineSourceAway'),
  {
    what: 'Postgres takes no writes',
    status: ['postgres'],
    isReady: false,
    alerts: ['MasklinePostgresAway'],
    begin: () => readOnly(true),
    end: () => readOnly(false),
  },
  {
    what: 'the disk is full, though every look is answered',
    status: ['lag'],
    isReady: false,
    alerts: ['MasklineWaiting', 'MasklineLagging'],
    counts: 'maskline_outage_waits_total',
    begin: async () => {
      await deployment.query(
        `create function full_disk() returns trigger language plpgsql as
           $$ begin raise exception 'No space left on device' using errcode = '53100'; end $$;
         create trigger full_disk before insert on ${TABLE} for each row execute function full_disk()`,
      );
      await send(10);
    },
    end: () => deployment.query(`drop trigger full_disk on ${TABLE}`),
  },
  {
    what: 'somebody holds a lock on the table',
    status: ['lag'],
    isReady: true,
    alerts: ['MasklineLagging'],
    begin: async () => {
      await lock();
      await send(10);
    },
    end: async () => {
      unlock();
      await locking;
    },
  },
  {
    what: 'the table is gone',
    status: ['pipeline_stopped'],
    isReady: false,
    alerts: ['MasklinePipelineStopped'],
    begin: async () => {
      await deployment.query(`alter table ${TABLE} rename to gone`);
      await send(10);
    },
    end: async () => {
      await deployment.query(`alter table public.gone rename to ${PIPELINE}`);
      await forgetFailedJobs();
    },
  },
  {
    what: 'the memory of Redis is nearly full',
    status: ['schedule_overdue'],
    isReady: true,
    alerts: ['MasklineIntakeBarred', 'MasklineScheduleOverdue'],
    begin: async () => {
      await redisDo(async (redis) => {
        await redis.set('ballast', Buffer.alloc(BALLAST_BYTES));
        await redis.config('SET', 'maxmemory', String(BALLAST_BYTES * 1.5));
      });
      await roles[ALL]?.waitFor('intake_barred');
      await eventually(scrape, (scrapes) =>
        scrapes.some(({ text }) => text.includes('reason="queue_memory"')),
      );
    },
    end: () => redisDo((redis) => redis.del('ballast')),
  },
  {
    what: 'somebody looks for holes in the admin page',
    status: [],
    isReady: true,
    alerts: ['MasklineAccessRefused'],
    begin: async () => {
      for (let tries = 0; tries < 15; tries += 1) {
        assert.equal((await get(ADMIN, `/none-${tries}`)).status, 404);
        const posted = fetch(`http://127.0.0.1:${ports[ADMIN]}/queues/api/x`, { method: 'POST', body: 'x' });
        assert.ok((await posted).status >= 400);
      }
    },
    end: () => Promise.resolve(),
  },
  {
    what: 'too many messages are bad',
    status: ['breaker_open'],
    isReady: true,
    alerts: ['MasklineBreakerOpen', 'MasklineQuarantineGrowing'],
    // As many as the breaker wants: more would open it again.
    begin: () => send(100, { device: null }),
    end: async () => {
      const { code, stderr } = await deployment.cli.run(['schedule', 'resume', PIPELINE]);
      assert.equal(code, 0, stderr);
    },
  },
  {
    // Comes again and again, so it is the last.
    what: 'a batch would carry a masked value away',
    status: ['jobs_failed'],
    isReady: true,
    alerts: ['MasklineLeakFound', 'MasklineJobsFailed', 'MasklineReleasing'],
    counts: 'maskline_rows_released_total',
    begin: () => send(1, { device: 'device-7f3a91b2c4', note: 'asked about device-7f3a91b2c4' }),
    end: () => Promise.resolve(),
  },
];

describe('status, /readyz and alerts agree while', () => {
  for (const fault of FAULTS) {
    test(fault.what, async () => {
      const { counts } = fault;
      const calm = await well();
      await fault.begin();
      try {
        const isAsExpected = ({ kinds, isReady }: Seen): boolean =>
          isReady === fault.isReady &&
          (fault.status.length === 0
            ? kinds.length === 0
            : fault.status.every((kind) => kinds.includes(kind)));
        const { problems } = await eventually(look, isAsExpected, LIMIT_MS);
        for (const { remedy } of problems) assert.ok(remedy.length > 0);
        const during = await eventually(
          scrape,
          (scrapes) => counts === undefined || total(counts, scrapes) > total(counts, calm),
          LIMIT_MS,
        );
        faults.push({ name: fault.what, before: calm, during, alerts: fault.alerts });
      } finally {
        await fault.end();
      }
    });
  }

  test('the process that works has ended', async () => {
    const { all } = roles;
    await all?.stop();
    ports = { admin: ports[ADMIN] ?? 0 };
    const { problems } = await eventually(look, ({ kinds }) => kinds.includes('role_missing'), LIMIT_MS);
    assert.deepEqual(problems[0]?.subject, 'role all');
    faults.push({
      name: 'the process that works has ended',
      before: faults[0]?.before ?? [],
      during: await scrape(),
      alerts: ['MasklineRoleMissing'],
    });
  });

  test('and on what was served before there is no alert, and on what was served in each there is its own', () => {
    assert.equal(faults.length, FAULTS.length + 1);
    const dir = mkdtempSync(join(tmpdir(), 'maskline-alerts-'));
    try {
      writeFileSync(join(dir, 'faults.yml'), rulesTest(RULES, faults));
      assert.match(promtool(['test', 'rules', 'faults.yml'], dir), /SUCCESS/);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
