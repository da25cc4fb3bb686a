import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { STOP_DEADLINE_MS } from '../../src/roles/role.js';
import { Compose, readImages, readServices } from '../support/compose.js';
import { allows } from '../support/iam.js';
import { rowsOf } from '../support/postgres.js';
import { hasPsql } from '../support/psql.js';
import { eventually } from '../support/queue.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const ROLES = { ingest: 'ingest', transform: 'transform', load: 'loader', admin: 'operator' } as const;
/** What deploy/iam has for each service that asks SQS; the command line drains and replays here. */
const POLICIES: { readonly [service: string]: string } = { ingest: 'ingest', admin: 'admin', cli: 'ingest' };
const ROLE_NAMES = ['ingest', 'transform', 'load', 'admin'] as const;

describe('docker-compose.yml says that', () => {
  const services = Object.entries(readServices());

  test('no service may write where it need not, gain a right, or keep one but for setup’s', () => {
    for (const [name, service] of services) {
      assert.equal(service.read_only, true, name);
      assert.equal(service.init, true, name);
      assert.deepEqual(service.cap_drop, ['ALL'], name);
      assert.deepEqual(service.security_opt, ['no-new-privileges:true'], name);
      assert.deepEqual(service.cap_add, name === 'setup' ? ['CHOWN'] : undefined, name);
    }
    for (const [stage, image] of readImages()) {
      if (['sqs', 'maskline'].includes(stage)) assert.match(image.user, /^[1-9]\d*:[1-9]\d*$/, stage);
    }
  });

  test('only the admin page is published, on loopback, and nothing else is on a network with a way out', () => {
    for (const [name, { ports, networks }] of services) {
      assert.deepEqual(networks, name === 'admin' ? ['inside', 'outside'] : ['inside'], name);
      if (name !== 'admin') assert.equal(ports, undefined, name);
      else for (const port of ports ?? []) assert.match(port, /^127\.0\.0\.1:/);
    }
  });

  test('the roles have more time to stop than they take, and are started again', () => {
    for (const role of ROLE_NAMES) {
      const service = readServices()[role];
      const seconds = Number(/^(\d+)s$/.exec(service?.stop_grace_period ?? '')?.[1]);
      assert.ok(seconds * 1_000 > STOP_DEADLINE_MS, role);
      assert.equal(service?.restart, 'unless-stopped');
    }
  });

  test('each volume with a secret is mounted by who needs it, and to be changed by setup alone', () => {
    const mountsOf = (volume: string): Readonly<{ [service: string]: string }> =>
      Object.fromEntries(
        services.flatMap(([name, { volumes = [] }]) =>
          volumes.filter((mount) => mount.startsWith(`${volume}:`)).map((mount) => [name, mount]),
        ),
      );
    const readers = {
      superuser: ['postgres', 'roles', 'grants'],
      owner: ['migrate'],
      ingest: ['ingest'],
      transform: ['transform'],
      loader: ['load'],
      operator: ['admin'],
      all: ['cli'],
      analyst: ['rows'],
      keys: ['keys', 'ingest', 'transform', 'load', 'cli'],
    };
    for (const [volume, expected] of Object.entries(readers)) {
      const { setup, ...others } = mountsOf(volume);
      assert.ok(setup, volume);
      assert.deepEqual(Object.keys(others).sort(), expected.sort(), volume);
      for (const [name, mount] of Object.entries(others)) {
        if (name !== 'keys') assert.match(mount, /:ro$/, `${name}: ${mount}`);
      }
    }
  });
});

describe('docker-compose.yml, each service as a process with its command and environment,', () => {
  let compose: Compose;
  before(async (t) => {
    if (!hasPsql())
      (t as { diagnostic?: (text: string) => void }).diagnostic?.('no psql here: a stand-in runs its files');
    compose = new Compose();
    for (const name of ['postgres', 'valkey', 'sqs', ...ROLE_NAMES]) await compose.port(name);
    await compose.guardQueue((service, action) => {
      asked.push(`${service} ${action}`);
      const policy = POLICIES[service];
      const isAllowed = policy !== undefined && allows(policy, action);
      if (!isAllowed) refused.push(`${service} ${action}`);
      return isAllowed;
    });
  });
  after(() => compose.down());
  const seen: string[] = [];
  /** Services and what they asked SQS for. */
  const asked: string[] = [];
  const refused: string[] = [];

  test('comes up from empty volumes, in the order of its dependencies, and is healthy', async () => {
    const names = Object.entries(compose.services).flatMap(([name, { profiles }]) =>
      profiles ? [] : [name],
    );
    await Promise.all(names.map((name) => compose.up(name)));
    for (const role of ROLE_NAMES) {
      await eventually(
        async () => compose.health(role),
        ({ code }) => code === 0,
        30_000,
      );
    }
  });

  test('each process works under a database role of its own', async () => {
    const users = await eventually(
      () =>
        rowsOf(
          compose.databaseUrl,
          `select application_name, string_agg(distinct usename, ',') as users from pg_stat_activity
            where application_name like 'maskline-%' group by 1 order by 1`,
        ),
      (rows) => rows.length === ROLE_NAMES.length,
    );
    const expected = ROLE_NAMES.map((role) => ({
      application_name: `maskline-${role}`,
      users: `maskline_${ROLES[role]}`,
    }));
    assert.deepEqual(
      users,
      expected.sort((a, b) => a.application_name.localeCompare(b.application_name)),
    );
  });

  test('`run --rm send` sends events, and `run --rm rows` shows them, masked', async () => {
    const sent = await compose.run('send', ['300']);
    assert.equal(sent.code, 0, sent.output);
    assert.match(sent.output, /sent 300 events/);
    const rows = await eventually(
      () => compose.run('rows'),
      ({ output }) => /\b297\b/.test(output),
      60_000,
    );
    assert.equal(rows.code, 0, rows.output);
    assert.match(rows.output, /s1\.[\w-]{10}/);
    const quarantined = await rowsOf(
      compose.databaseUrl,
      'select code, count(*)::int from maskline.quarantine group by 1',
    );
    assert.deepEqual(quarantined, [{ code: 'missing_field', count: 3 }]);
  });

  test('its admin page asks for the password that setup has made, and an operator finds the commands', async () => {
    const url = `http://127.0.0.1:${await compose.port('admin')}`;
    assert.equal((await fetch(`${url}/`)).status, 401);
    assert.equal((await fetch(`${url}/api/status`)).status, 401);
    assert.equal((await fetch(`${url}/livez`)).status, 200);
    const password = await compose.exec('admin', ['cat', '/run/secrets/admin_password']);
    const authorization = `Basic ${Buffer.from(`admin:${password.output.trim()}`).toString('base64')}`;
    const page = await fetch(`${url}/api/status`, { headers: { authorization } });
    assert.equal(page.status, 200, await page.clone().text());
    const status = await compose.exec('admin', ['maskline', 'status', '--check']);
    assert.equal(status.code, 0, status.output);
    const shown = await compose.run('cli');
    assert.equal(shown.code, 0, shown.output);
    assert.match(shown.output, /"user_logins"/);
    // They lack their address still, and stay; but all that a replay needs is there.
    const replayed = await compose.run('cli', ['--yes', 'quarantine', 'replay', '--all']);
    assert.match(replayed.output, /"quarantined":3/);
    const drained = await compose.run('cli', ['drain']);
    assert.equal(drained.code, 0, drained.output);
  });

  test('each process did with what deploy/iam grants it, and transform and load asked AWS for nothing', () => {
    assert.deepEqual(refused, []);
    const services = new Set(asked.map((each) => each.split(' ')[0]));
    assert.deepEqual(services, new Set(['ingest', 'admin', 'cli']));
    for (const call of ['ingest ReceiveMessage', 'ingest DeleteMessageBatch', 'admin GetQueueAttributes'])
      assert.ok(asked.includes(call), call);
  });

  test('what runs once can run again, and leaves passwords and keys as they are', async () => {
    const secrets = (): readonly string[] =>
      ['superuser', 'owner', 'ingest', 'transform', 'loader', 'operator', 'all', 'analyst', 'keys'].flatMap(
        (volume) =>
          readdirSync(compose.volume(volume)).map((file) =>
            readFileSync(join(compose.volume(volume), file), 'utf8'),
          ),
      );
    seen.push(...secrets());
    assert.equal(new Set(seen).size, seen.length, 'no two are alike');
    for (const name of ['setup', 'keys', 'roles', 'migrate', 'grants']) {
      const { code, output } = await compose.run(name);
      assert.equal(code, 0, `${name}: ${output}`);
    }
    assert.deepEqual(secrets(), seen);
  });

  test('each role ends with 0 at SIGTERM, within its grace, and has told no secret', async () => {
    const ends = await Promise.all(
      ROLE_NAMES.map(async (role) => ({ role, ...(await compose.container(role).stop()) })),
    );
    for (const { role, code, ms, output } of ends) {
      assert.equal(code, 0, `${role}: ${output}`);
      assert.ok(ms < 30_000, `${role} took ${ms} ms`);
      const passwords = seen.flatMap((text) => text.match(/[0-9a-f]{48}/g) ?? []);
      assert.ok(passwords.length > 10);
      for (const password of passwords) assert.ok(!output.includes(password), role);
    }
    for (const role of ROLE_NAMES) assert.equal((await compose.health(role)).code, 1, `${role} is gone`);
    const left = await rowsOf(compose.databaseUrl, 'select role from maskline.processes');
    assert.deepEqual(left, [], 'each has taken its leave');
  });
});
