import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type CliResult, type Json, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
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
