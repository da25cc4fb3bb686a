import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { CliResult, Json } from '../support/cli.js';
import { allowLogins, applyRoles, urlAs } from '../support/database-roles.js';
import { ask } from '../support/http.js';
import { tokenOracle } from '../support/oracle.js';
import { rowsOf, withConnection } from '../support/postgres.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const COLUMNS = {
  event_id: { from: 'event_id', type: 'text', max_length: 64 },
  mask_kid: { from: '$mask_kid', type: 'integer' },
  device: { from: 'device', mask: { method: 'siv', domain: 'device' } },
  padded: { from: 'device', mask: { method: 'siv', domain: 'padded', pad: 32 } },
  ip: { from: 'ip', mask: { method: 'siv', domain: 'ip', as: 'ip' } },
  counted: { from: 'device', mask: { method: 'hmac', domain: 'device' } },
  ssn: { from: 'ssn', mask: { method: 'ff1', domain: 'ssn', template: '^(\\d{3})-(\\d{2})-(\\d{4})$' } },
  address: { from: 'ip', mask: { method: 'ipcrypt-det', domain: 'ip' } },
  mail: { from: 'mail', mask: { method: 'vault', domain: 'mail', subject: 'event_id' } },
} as const;
const CANARY = 'c4naryq7zx';
const PURPOSE = 'a lawful request';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (file: Json = {}): Promise<Deployment> =>
  stack.deployment({
    roles: true,
    file,
    pipeline: { columns: COLUMNS, batch: { linger: '50ms' } },
  });

/** A deployment with two rows in its table. */
async function loaded(file: Json = {}): Promise<Deployment> {
  const deployment = await deploymentOf(file);
  await deployment.send(
    ['a', 'b'].map((name, i) =>
      JSON.stringify({
        event_id: `subject-${name}`,
        device: `${CANARY}-${name}`,
        ip: `192.0.2.${i + 1}`,
        ssn: `123-45-678${i}`,
        mail: `${CANARY}-${name}@example.org`,
      }),
    ),
  );
  const { code, stderr } = await deployment.cli.run(['drain'], { env: deployment.environmentOf('all') });
  assert.equal(code, 0, stderr);
  assert.equal(await deployment.count(TABLE), 2);
  return deployment;
}

const rowOf = async (deployment: Deployment, event = 'subject-a'): Promise<Json> => {
  const [row] = await deployment.query(`select * from ${TABLE} where event_id = $1`, [event]);
  assert.ok(row);
  return row;
};

const asRole = (deployment: Deployment, role: string): { readonly env: { DATABASE_URL: string } } => ({
  env: { DATABASE_URL: urlAs(deployment.database, role) },
});
const asRevealer = (deployment: Deployment) => asRole(deployment, 'maskline_revealer');
const asAuditor = (deployment: Deployment) => asRole(deployment, 'maskline_auditor');

const reveal = (deployment: Deployment, ...args: readonly string[]): Promise<CliResult> =>
  deployment.cli.run(['reveal', ...args, '--purpose', PURPOSE], asRevealer(deployment));
const verify = (deployment: Deployment, ...args: readonly string[]): Promise<CliResult> =>
  deployment.cli.run(['reveal', '--verify', ...args], asAuditor(deployment));

/** The chain, without what differs from run to run. */
const records = (deployment: Deployment): Promise<readonly Json[]> =>
  deployment.query(
    'select action, database_user, purpose, ticket, token, outcome, details from maskline.reveals order by seq',
  );

/** Changes rows of the chain as only an owner who means it can. */
const tamper = (deployment: Deployment, sql: string): Promise<unknown> =>
  withConnection(deployment.database, (client) =>
    client.query(
      `alter table maskline.reveals disable trigger reveals_append_only; ${sql};
       alter table maskline.reveals enable always trigger reveals_append_only`,
    ),
  );

describe('reveal', () => {
  let deployment: Deployment;
  before(async () => {
    deployment = await loaded();
  });

  test('gives back the values of siv and vault tokens, each on record before, and none of it in the record', async () => {
    const row = await rowOf(deployment);
    const kid = Number(row['mask_kid']);
    const master = deployment.masters().get(kid);
    assert.ok(master);
    const token = tokenOracle(master, kid, 'siv', 'device', 'text', `${CANARY}-a`);
    assert.equal(row['device'], token);
    const args = ['device', 'padded', 'ip', 'mail'].map((name) => String(row[name]));
    const { code, rows, stderr, stdout } = await reveal(deployment, ...args, '--ticket', 'T-1');
    assert.equal(code, 0, stderr);
    assert.deepEqual(
      rows.map(({ value, outcome, domain }) => [value, outcome, domain]),
      [
        [`${CANARY}-a`, 'opened', 'device'],
        [`${CANARY}-a`, 'opened', 'padded'],
        ['192.0.2.1', 'opened', 'ip'],
        [`${CANARY}-a@example.org`, 'opened', 'mail'],
      ],
      stdout,
    );
    const said = await records(deployment);
    assert.deepEqual(
      said.map(({ action, token: recorded, outcome, ticket }) => [action, recorded, outcome, ticket]),
      [...args.map((text) => ['reveal', text, 'granted', 'T-1']), ['opened', null, 'done', 'T-1']],
    );
    assert.deepEqual(
      new Set(said.map(({ database_user: user, purpose }) => `${String(user)} ${String(purpose)}`)),
      new Set([`maskline_revealer ${PURPOSE}`]),
    );
    assert.deepEqual(JSON.parse(String(said.at(-1)?.['details'])), { opened: 4 });
    assert.ok(!JSON.stringify(said).includes(CANARY));
    assert.ok(!stderr.includes(CANARY));
  });

  test('refuses hmac by name, altered tokens, and what is none, of which nothing goes on record', async () => {
    const row = await rowOf(deployment);
    const altered = String(row['device']).replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A'));
    const unknown = `s9${String(row['device']).slice(2)}`;
    const given = [String(row['counted']), altered, unknown, `${CANARY}@example.org`];
    const { code, rows, stderr } = await reveal(deployment, ...given);
    assert.equal(code, 1);
    assert.match(stderr, /Tokens of hmac/);
    assert.deepEqual(
      rows.map(({ value, outcome }) => [value, outcome]),
      [
        [null, 'hmac'],
        [null, rows[1]?.['outcome'] === 'no_token' ? 'no_token' : 'not_authentic'],
        [null, 'no_key'],
        [null, 'no_token'],
      ],
    );
    assert.ok(!JSON.stringify(await records(deployment)).includes(CANARY));
  });

  test('undoes ff1 and ipcrypt by pipeline, column and kid, and records a keyed reference instead of what was given', async () => {
    const row = await rowOf(deployment);
    for (const [name, value] of [
      ['ssn', '123-45-6780'],
      ['address', '192.0.2.1'],
    ] as const) {
      const stored = String(row[name]);
      const { rows, code, stderr } = await reveal(
        deployment,
        stored,
        '-p',
        PIPELINE,
        '--column',
        name,
        '--kid',
        '1',
      );
      assert.equal(code, 0, stderr);
      assert.deepEqual(
        rows.map((one) => [one['token'], one['value']]),
        [[stored, value]],
      );
      const said = JSON.stringify(await records(deployment));
      assert.ok(!said.includes(stored) && !said.includes(value));
    }
    const wrong = await reveal(deployment, 'x', '-p', PIPELINE, '--column', 'counted', '--kid', '1');
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /masked by hmac/);
  });

  test('takes tokens from a query with the rights of its own user, and quotes nothing of one that fails', async () => {
    const sql = `select device from ${TABLE} order by event_id`;
    const denied = await reveal(deployment, '--sql', sql, '--column', 'device');
    assert.equal(denied.code, 2);
    assert.match(denied.stderr, /grant it select/);
    await deployment.query(`grant select on ${TABLE} to maskline_revealer`);
    const { rows, code } = await reveal(deployment, '--sql', sql, '--column', 'device');
    assert.equal(code, 0);
    assert.deepEqual(
      rows.map(({ value }) => value),
      [`${CANARY}-a`, `${CANARY}-b`],
    );
    const broken = await reveal(
      deployment,
      '--sql',
      `select '${CANARY}'::int as device`,
      '--column',
      'device',
    );
    assert.equal(broken.code, 2);
    assert.ok(!broken.stderr.includes(CANARY), broken.stderr);
    const writes = await reveal(
      deployment,
      '--sql',
      `delete from ${TABLE} returning device`,
      '--column',
      'device',
    );
    assert.equal(writes.code, 2);
    assert.equal(await deployment.count(TABLE), 2);
  });

  test('is counted by the admin process, from the records, as they come', async () => {
    const counted = async (port: unknown): Promise<Json> => {
      const { text } = await ask(port, '/metrics');
      const lines = text.matchAll(/^maskline_reveals_total\{outcome="(\w+)"\} (\d+)$/gm);
      return Object.fromEntries(
        [...lines].map(([, outcome = '', count]): [string, number] => [outcome, Number(count)]),
      );
    };
    const recorded = async (): Promise<Json> => {
      const rows = await deployment.query(
        `select outcome, count(*)::int as n from maskline.reveals where action = 'reveal' group by outcome`,
      );
      return Object.fromEntries(rows.map(({ outcome, n }): [string, number] => [String(outcome), Number(n)]));
    };
    const row = await rowOf(deployment);
    await reveal(deployment, String(row['device']), String(row['counted']));
    const admin = deployment.start('admin');
    const { port } = await admin.waitFor('listening');
    const before = await recorded();
    assert.ok(Number(before['granted']) > 0 && Number(before['hmac']) > 0, 'one opened, one did not');
    assert.deepEqual(await counted(port), before);
    await reveal(deployment, String(row['device']), String(row['counted']), 'no token');
    const after = await recorded();
    assert.deepEqual(await counted(port), after);
    assert.equal(after['granted'], Number(before['granted']) + 1);
    admin.signal('SIGTERM');
    assert.equal((await admin.ended).code, 0);
  });

  test('asks for a purpose, and does nothing without one', async () => {
    const before = await deployment.count('maskline.reveals');
    for (const purpose of [[], ['--purpose', ' short ']]) {
      const { code, stderr } = await deployment.cli.run(
        ['reveal', 's1.x', ...purpose],
        asRevealer(deployment),
      );
      assert.equal(code, 2);
      assert.match(stderr, /--purpose/);
    }
    assert.equal(await deployment.count('maskline.reveals'), before);
  });

  test('ends with 3 when Postgres is away, and with 2 for who may not reveal; no value is shown', async () => {
    const { device } = await rowOf(deployment);
    deployment.configure((config) => ({ ...config, startup_timeout: '1s' }));
    const url = new URL(deployment.database);
    url.port = '1';
    const away = await deployment.cli.run(['reveal', String(device), '--purpose', PURPOSE], {
      env: { DATABASE_URL: url.href },
    });
    assert.equal(away.code, 3, away.stderr);
    const others = ['maskline_transform', 'maskline_loader', 'maskline_operator', 'maskline_auditor'];
    for (const role of others) {
      const args = ['reveal', String(device), '--purpose', PURPOSE];
      const { code, stdout, stderr } = await deployment.cli.run(args, asRole(deployment, role));
      assert.equal(code, 2, `${role}: ${stderr}`);
      assert.equal(stdout, '');
    }
    assert.equal(away.stdout, '');
  });

  test('has what is sealed given out for the tokens that are on record as granted to that user, and for no others', async () => {
    const [a, b] = [await rowOf(deployment), await rowOf(deployment, 'subject-b')];
    const tokens = [String(a['mail']), String(b['mail'])];
    await withConnection(deployment.database, (client) =>
      client.query(`create role another_revealer login password 'one-for-all' in role maskline_revealer`),
    );
    const given = async (role: string): Promise<readonly string[]> =>
      (
        await rowsOf(urlAs(deployment.database, role), 'select token from maskline.vault_sealed($1)', [
          tokens,
        ])
      ).map(({ token }) => String(token));
    assert.deepEqual(await given('another_revealer'), []);
    const args = ['reveal', String(a['mail']), '--purpose', PURPOSE];
    assert.equal((await deployment.cli.run(args, asRole(deployment, 'another_revealer'))).code, 0);
    assert.deepEqual(await given('another_revealer'), [a['mail']]);
    assert.ok(!(await given('maskline_revealer')).includes(String(b['mail'])));
    // A record of an hour ago has expired.
    await tamper(deployment, `update maskline.reveals set at = at - interval '61 minutes'`);
    assert.deepEqual(await given('another_revealer'), []);
    await tamper(deployment, `update maskline.reveals set at = at + interval '61 minutes'`);
  });

  test('leaves its record though it is killed before it opens anything', async () => {
    const row = await rowOf(deployment, 'subject-b');
    const tokens = [String(row['device']), String(row['mail'])];
    const before = (await records(deployment)).length;
    const killed = await deployment.cli.run(['reveal', ...tokens, '--purpose', PURPOSE], {
      env: {
        ...asRevealer(deployment).env,
        MASKLINE_ALLOW_FAILPOINTS: '1',
        MASKLINE_FAILPOINTS: 'reveal.recorded=crash',
      },
    });
    assert.equal(killed.signal, 'SIGKILL');
    assert.equal(killed.stdout, '');
    const said = (await records(deployment)).slice(before);
    assert.deepEqual(
      said.map(({ action, token, outcome }) => [action, token, outcome]),
      tokens.map((token) => ['reveal', token, 'granted']),
    );
    const { code, rows } = await verify(deployment);
    assert.equal(code, 0, JSON.stringify(rows));
  });
});

describe('the chain of reveals', () => {
  let deployment: Deployment;
  before(async () => {
    deployment = await loaded();
    const a = await rowOf(deployment);
    const b = await rowOf(deployment, 'subject-b');
    for (const token of [a['device'], b['device'], a['ip']]) {
      const { code, stderr } = await reveal(deployment, String(token));
      assert.equal(code, 0, stderr);
    }
  });

  const head = async (): Promise<string> => {
    const { rows, code } = await deployment.cli.run(['reveal', '--head'], asAuditor(deployment));
    assert.equal(code, 0);
    return String(rows[0]?.['hash']);
  };
  /** Verifies while the chain is changed, and puts it back. */
  const whileTampered = async (sql: string, ...args: readonly string[]): Promise<CliResult> => {
    await deployment.query('create table public.kept as select * from maskline.reveals');
    await tamper(deployment, sql);
    const result = await verify(deployment, ...args);
    await tamper(
      deployment,
      'delete from maskline.reveals; insert into maskline.reveals select * from public.kept',
    );
    await deployment.query('drop table public.kept');
    assert.equal((await verify(deployment)).code, 0);
    return result;
  };
  const problems = ({ rows }: CliResult): unknown => rows[0]?.['problems'];

  test('is what an independent reading of its rule makes of it', async () => {
    const rows = await deployment.query(
      `select seq::text, to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') as at, action, database_user, os_user,
              purpose, ticket, request::text, token, outcome, details, encode(hash, 'hex') as hash
         from maskline.reveals as r order by r.seq`,
    );
    let previous = createHash('sha256').update('maskline/reveals/1').digest();
    for (const row of rows) {
      const [, seconds = '', micros = ''] = /^(.*)\.(\d{6})$/.exec(String(row['at'])) ?? [];
      const at = `${Date.parse(`${seconds.replace(' ', 'T')}Z`) / 1000}${micros}`;
      const fields = [
        'action',
        'database_user',
        'os_user',
        'purpose',
        'ticket',
        'request',
        'token',
        'outcome',
        'details',
      ];
      const parts = [row['seq'], at, ...fields.map((name) => row[name])].map((field) => {
        if (field === null) return Buffer.from([255, 255, 255, 255]);
        const text = Buffer.from(field as string);
        return Buffer.concat([Buffer.from(text.length.toString(16).padStart(8, '0'), 'hex'), text]);
      });
      previous = createHash('sha256')
        .update(Buffer.concat([previous, ...parts]))
        .digest();
      assert.equal(row['hash'], previous.toString('hex'));
    }
    assert.equal(await head(), previous.toString('hex'));
    assert.equal(rows.length, 6);
  });

  test('shows an edited row', async () => {
    for (const change of [
      "purpose = 'another one'",
      "database_user = 'nobody'",
      'token = null',
      "at = at + '1 us'",
    ]) {
      const result = await whileTampered(`update maskline.reveals set ${change} where seq = 3`);
      assert.equal(result.code, 1, change);
      assert.deepEqual(problems(result), [{ seq: 3, problem: 'edited' }], change);
    }
    const rehashed = await whileTampered(
      "update maskline.reveals set purpose = 'x' where seq = 3; update maskline.reveals r set hash = maskline.chain_hash(r) where seq = 3",
    );
    assert.deepEqual(problems(rehashed), [{ seq: 4, problem: 'unlinked' }]);
  });

  test('shows a removed row', async () => {
    const first = await whileTampered('delete from maskline.reveals where seq = 1');
    assert.deepEqual(problems(first), [{ seq: 2, problem: 'removed' }]);
    const middle = await whileTampered('delete from maskline.reveals where seq = 3');
    assert.equal(middle.code, 1);
    assert.deepEqual(problems(middle), [{ seq: 4, problem: 'removed' }]);
    const closed = await whileTampered(
      'delete from maskline.reveals where seq = 3; update maskline.reveals set seq = seq - 1 where seq > 3',
    );
    assert.equal(closed.code, 1);
  });

  test('shows reordered rows', async () => {
    const swap = `update maskline.reveals set seq = seq + 100 where seq in (2, 3);
      update maskline.reveals set seq = 105 - seq where seq > 100`;
    const result = await whileTampered(swap);
    assert.equal(result.code, 1);
    const found = problems(result) as readonly { seq: number }[];
    assert.deepEqual([...new Set(found.map(({ seq }) => seq))], [2, 3, 4]);
    const rehashed = await whileTampered(
      `${swap}; update maskline.reveals r set hash = maskline.chain_hash(r)`,
    );
    assert.equal(rehashed.code, 1);
  });

  test('shows with an earlier head that its tail was cut off, or that all was written anew', async () => {
    const earlier = await head();
    assert.equal((await verify(deployment, '--head', earlier)).code, 0);
    const cut = 'delete from maskline.reveals where seq > 4';
    assert.equal((await whileTampered(cut)).code, 0, 'by itself a shorter chain is whole');
    const result = await whileTampered(cut, '--head', earlier);
    assert.equal(result.code, 1);
    assert.deepEqual(problems(result), [{ seq: null, problem: 'head_missing' }]);
    const empty = await whileTampered('delete from maskline.reveals', '--head', earlier);
    assert.equal(empty.code, 1);
    const { device } = await rowOf(deployment);
    assert.equal((await reveal(deployment, String(device))).code, 0);
    assert.equal((await verify(deployment, '--head', earlier)).code, 0, 'it may grow');
  });

  test('cannot be changed by its owner by mistake', async () => {
    for (const sql of [
      'delete from maskline.reveals',
      "update maskline.reveals set outcome = ''",
      'truncate maskline.reveals',
    ])
      await assert.rejects(deployment.query(sql), { code: '42501' });
  });

  test('stays one chain when many reveal at once', async () => {
    const { device } = await rowOf(deployment);
    const all = await Promise.all(
      Array.from({ length: 8 }, () =>
        rowsOf(
          urlAs(deployment.database, 'maskline_revealer'),
          "select decision from maskline.begin_reveal('u', 'at the same time', null, null, array[$1::text, null], array['granted', 'no_token'], null)",
          [device],
        ),
      ),
    );
    assert.deepEqual(new Set(all.map(([row]) => row?.['decision'])), new Set(['granted']));
    assert.equal((await verify(deployment)).code, 0);
  });
});

describe('the limits of reveal', () => {
  test('above the quota it takes another database user, for those very tokens and once', async () => {
    const deployment = await loaded({ reveal: { rate: 100, quota: 1 } });
    const a = await rowOf(deployment);
    const b = await rowOf(deployment, 'subject-b');
    const tokens = [String(a['device']), String(b['device'])];
    const asked = await reveal(deployment, ...tokens);
    assert.equal(asked.code, 1, asked.stderr);
    const id = String(asked.rows[0]?.['request']);
    assert.ok(!asked.stdout.includes(CANARY));
    const early = await deployment.cli.run(['reveal', '--request', id], asRevealer(deployment));
    assert.equal(early.code, 2);
    assert.match(early.stderr, /nobody has approved/);
    const own = await deployment.cli.run(['--yes', 'approve', id], asRevealer(deployment));
    assert.equal(own.code, 2);
    assert.match(own.stderr, /another database user/);
    await withConnection(deployment.database, (client) =>
      client.query(`create role second_pair login password 'one-for-all' in role maskline_revealer`),
    );
    const approved = await deployment.cli.run(['--yes', 'approve', id], asRole(deployment, 'second_pair'));
    assert.equal(approved.code, 0, approved.stderr);
    const others = await reveal(deployment, String(a['mail']), '--request', id);
    assert.equal(others.code, 2);
    const done = await deployment.cli.run(['reveal', '--request', id], asRevealer(deployment));
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual(
      done.rows.map(({ value }) => value),
      [`${CANARY}-a`, `${CANARY}-b`],
    );
    const again = await deployment.cli.run(['reveal', '--request', id], asRevealer(deployment));
    assert.equal(again.code, 2);
    assert.match(again.stderr, /carried out before/);
    assert.equal((await reveal(deployment, tokens[0] ?? '')).code, 0, 'one a day is free');
    assert.equal((await reveal(deployment, tokens[1] ?? '')).code, 1, 'the next is not');
    assert.deepEqual(
      (await records(deployment)).map(({ action }) => action),
      ['limits', 'request', 'approve', 'reveal', 'reveal', 'opened', 'reveal', 'opened', 'request'],
    );
    assert.equal((await verify(deployment)).code, 0);
  });

  test('in a minute, one user gets no more than the rate', async () => {
    const deployment = await loaded({ reveal: { rate: 1, quota: 100 } });
    const { device } = await rowOf(deployment);
    assert.equal((await reveal(deployment, String(device))).code, 0);
    const second = await reveal(deployment, String(device));
    assert.equal(second.code, 1);
    assert.equal(second.stdout, '');
    assert.match(second.stderr, /reveal\.rate/);
    assert.equal((await records(deployment)).at(-1)?.['outcome'], 'rate_limited');
  });
});

test('what is unsealed from the quarantine is in the same chain, and not shown where it cannot be', async () => {
  const deployment = await loaded();
  await deployment.send([`no json, but ${CANARY}`]);
  await deployment.cli.run(['drain'], { env: deployment.environmentOf('all') });
  const [entry] = await deployment.query('select id from maskline.quarantine');
  const id = String(entry?.['id']);
  const admin = { env: deployment.environmentOf('admin') };
  const args = ['--unseal', '--reason', 'looking into it'];
  for (const command of [
    ['quarantine', 'show', id],
    ['quarantine', 'export', id],
  ]) {
    const shown = await deployment.cli.run([...command, ...args], admin);
    assert.equal(shown.code, 0, shown.stderr);
    assert.ok(shown.stdout.includes(CANARY));
  }
  const said = await records(deployment);
  assert.deepEqual(
    said.map(({ action, database_user: user, purpose, outcome }) => [action, user, purpose, outcome]),
    Array.from({ length: 2 }, () => ['unseal', 'maskline_operator', 'looking into it', 'granted']),
  );
  assert.deepEqual(JSON.parse(String(said[0]?.['details'])), {
    records: 1,
    ids: [id],
    pipelines: [PIPELINE],
  });
  assert.equal((await verify(deployment)).code, 0);
  await deployment.query('revoke execute on function maskline.note_unsealing from maskline_operator');
  const denied = await deployment.cli.run(['quarantine', 'show', id, ...args], admin);
  assert.equal(denied.code, 2);
  assert.ok(!`${denied.stdout}${denied.stderr}`.includes(CANARY));
});

test('who could reveal before the roles were made anew can reveal after', async () => {
  const deployment = await loaded();
  await applyRoles(deployment.database);
  await allowLogins(deployment.database);
  const { device } = await rowOf(deployment);
  assert.equal((await reveal(deployment, String(device))).code, 0);
});
