import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CliResult, type Json, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { rowsOf } from '../support/postgres.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

describe('a process with a subset of the keyring', () => {
  let deployment: Deployment;
  let subset: string;
  let kek: string;
  before(async () => {
    deployment = await stack.deployment();
    subset = join(deployment.dir, 'subset.json');
    kek = join(deployment.dir, 'worker-kek');
    for (const args of [
      ['keys', 'add'],
      ['keys', 'derive', '--domain', 'ip', '--method', 'siv', '--out', `${subset}.ip`],
      ['keys', 'derive', '--out', subset, '--kek-file', kek],
    ]) {
      const { code, stderr } = await deployment.cli.run(args);
      assert.equal(code, 0, stderr);
    }
    use(subset, kek);
  });

  function use(file: string, path: string): void {
    deployment.configure((config) => ({ ...config, keyring: { file, kek: { type: 'file', path } } }));
  }
  const refused = async (pattern: RegExp, ...args: string[]): Promise<CliResult> => {
    const result = await deployment.cli.run(args);
    assert.equal(result.code, 2, `${args.join(' ')}: ${result.stderr}${result.stdout}`);
    assert.match(result.stderr, pattern);
    return result;
  };

  test('masks, seals and loads as one with the keyring itself', async () => {
    const login = { user_id: 'u1', ip: '198.51.100.7', device_id: 'device-1' };
    await deployment.send([JSON.stringify(login), '{"bad":1}']);
    const { code, rows, stderr } = await deployment.cli.run(['drain']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { received: 2, loaded: 1, quarantined: 1 });
    const master = deployment.masters().get(1);
    assert.ok(master);
    assert.deepEqual(await deployment.query(`select masked_ip, masked_device_id from public.${PIPELINE}`), [
      {
        masked_ip: tokenOracle(master, 1, 'siv', 'ip', 'ip', login.ip),
        masked_device_id: tokenOracle(master, 1, 'siv', 'device_id', 'text', login.device_id),
      },
    ]);
    const [entry] = await deployment.query('select id::text as id from maskline.quarantine');
    const show = ['quarantine', 'show', String(entry?.['id']), '--unseal', '--reason', 'test'];
    assert.match((await deployment.cli.run(show)).stdout, /bad/);
    const listed = await deployment.cli.run(['keys', 'list']);
    assert.deepEqual(
      listed.rows.map(({ kid, state }) => [kid, state]),
      [
        [1, 'primary'],
        [2, 'decrypt-only'],
      ],
    );
    assert.equal((await deployment.cli.run(['keys', 'check'])).code, 0);
  });

  test('holds the keys of its domains and the seals, and no master key', () => {
    const file = JSON.parse(readFileSync(subset, 'utf8')) as { format: string; keys: readonly Json[] };
    assert.equal(file.format, 'maskline-keyring-subset/1');
    const names = file.keys.map(
      ({ kid, method, domain }) => `${String(kid)} ${String(method)} ${String(domain)}`,
    );
    const each = ['siv ip', 'siv device_id', 'seal payload', 'seal quarantine', 'seal redrive'];
    assert.deepEqual(names, [...each.map((name) => `1 ${name}`), ...each.map((name) => `2 ${name}`)]);
    assert.equal(
      readFileSync(deployment.keyringFile, 'utf8').includes(String(file.keys[0]?.['wrapped'])),
      false,
    );
  });

  test('fails by name for a domain that is not in it, before anything is received', async () => {
    use(`${subset}.ip`, deployment.kekFile);
    await deployment.send([JSON.stringify({ user_id: 'u2', ip: '198.51.100.8', device_id: 'device-2' })]);
    await refused(/key 1 for siv of device_id is not in this subset of keyring kr_.*keys derive/, 'drain');
    assert.equal((await deployment.depth()).visible, 1);
    use(subset, kek);
    assert.equal((await deployment.cli.run(['drain'])).code, 0);
  });

  test('changes no key, remasks nothing and destroys nothing', async () => {
    await refused(/not a keyring of format maskline-keyring\/1/, 'keys', 'add');
    await refused(/not a keyring of format/, 'keys', 'promote', '2');
    await refused(/not a keyring of format/, 'keys', 'destroy', '2', '--yes');
    await refused(/not a keyring of format/, 'keys', 'derive', '--domain', 'ip', '--out', `${subset}.other`);
    await refused(/remask needs the keyring .* itself/, 'remask', '--from-kid', '2', '--yes');
  });

  test('is refused with another KEK, and when a key in it was given another domain', async () => {
    use(subset, deployment.kekFile);
    await refused(/subset\.json: key 1 for siv of ip does not open with the KEK file/, 'keys', 'check');
    const altered = `${subset}.altered`;
    writeFileSync(altered, readFileSync(subset, 'utf8').replace('"domain": "ip"', '"domain": "it"'), {
      mode: 0o600,
    });
    use(altered, kek);
    await refused(/key 1 for siv of it does not open/, 'keys', 'check');
  });
});

describe('a worker that masks by the vault with a subset of the keyring', () => {
  const COLUMNS = {
    n: { from: 'n', type: 'integer' },
    mail: { from: 'mail', mask: { method: 'vault', domain: 'mail', subject: 'user' } },
  } as const;
  const LOGIN = JSON.stringify({ n: 1, user: 'alice', mail: 'alice@example.org' });
  let deployment: Deployment;
  let subset: string;
  before(async () => {
    deployment = await stack.deployment({ roles: true, pipeline: { columns: COLUMNS } });
    subset = join(deployment.dir, 'subset.json');
    for (const args of [
      ['--out', subset],
      ['--domain', 'mail', '--method', 'siv', '--out', `${subset}.siv`],
    ]) {
      const { code, stderr } = await deployment.cli.run(['keys', 'derive', ...args]);
      assert.equal(code, 0, stderr);
    }
  });
  const use = (file: string): void =>
    deployment.configure((config) => ({
      ...config,
      keyring: { file, kek: { type: 'file', path: deployment.kekFile } },
    }));
  const drain = (): Promise<CliResult> =>
    deployment.cli.run(['drain'], { env: deployment.environmentOf('all') });

  test('has the keys to enter values and subjects, of these domains, and enters what the keyring itself opens', async () => {
    const file = JSON.parse(readFileSync(subset, 'utf8')) as { keys: readonly Json[] };
    assert.deepEqual(
      file.keys.map(({ method, domain }) => `${String(method)} ${String(domain)}`),
      [
        'vault mail',
        ...['payload', 'quarantine', 'redrive', 'vault'].map((purpose) => `seal ${purpose}`),
        'hmac maskline/subject',
      ],
    );
    use(subset);
    await deployment.send([LOGIN]);
    const { code, rows, stderr } = await drain();
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { received: 1, loaded: 1 });
    use(deployment.keyringFile);
    const [row] = await deployment.query(`select mail from public.${PIPELINE}`);
    const args = ['reveal', String(row?.['mail']), '--purpose', 'a lawful request'];
    const revealed = await deployment.cli.run(args, { env: deployment.environmentOf('reveal') });
    assert.equal(revealed.rows[0]?.['value'], 'alice@example.org', revealed.stderr);
  });

  test('reveals nothing and erases nothing, and reads nothing of the vault as its database user', async () => {
    use(subset);
    const [row] = await deployment.query(`select mail from public.${PIPELINE}`);
    for (const [args, user] of [
      [['reveal', String(row?.['mail'])], 'reveal'],
      [['erase', '--subject', 'alice', '--yes'], 'owner'],
    ] as const) {
      const { code, stdout, stderr } = await deployment.cli.run([...args, '--purpose', 'a lawful request'], {
        env: deployment.environmentOf(user),
      });
      assert.equal(code, 2, stdout);
      assert.match(stderr, /needs the keyring .* itself/);
    }
    assert.equal(await deployment.count('maskline.vault'), 1);
    for (const sql of [
      'select sealed from maskline.vault',
      'select sealed from maskline.vault_subjects',
      'select lookup from maskline.vault_former',
      "select * from maskline.vault_sealed(array['v1.x'])",
    ]) {
      await assert.rejects(rowsOf(deployment.environmentOf('transform')['DATABASE_URL'] ?? '', sql), {
        code: '42501',
      });
    }
  });

  test('fails by name, before anything is received, where its subset was not derived for the vault', async () => {
    use(`${subset}.siv`);
    await deployment.send([LOGIN]);
    const { code, stderr } = await drain();
    assert.equal(code, 2);
    assert.match(stderr, /key 1 for vault of mail is not in this subset/);
    assert.equal((await deployment.depth()).visible, 1);
  });
});
