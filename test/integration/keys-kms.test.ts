import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { readKeyringFile } from '../../src/masking/keyring.js';
import { Cli, type CliResult, type Json, assertHas } from '../support/cli.js';
import { type TestKms, startKms } from '../support/kms.js';
import { openKeyringOracle } from '../support/oracle.js';

const AWS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'us-east-1' };

let kms: TestKms;
before(async () => {
  kms = await startKms();
});
after(() => kms.stop());

describe('a keyring whose key-encryption key is in AWS KMS', () => {
  let dir: string;
  let file: string;
  let cli: Cli;
  let keyArn: string;
  let names = 0;
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'maskline-kms-'));
    file = join(dir, 'ring.json');
    cli = new Cli(dir, { ...AWS, AWS_ENDPOINT_URL_KMS: kms.endpoint, MASKLINE_KEYRING: file });
    names += 1;
    keyArn = kms.key(`key-${names}`);
    kms.fault = null;
    await command('keys', 'init', '--kms', keyArn);
  });
  after(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  async function command(...args: string[]): Promise<CliResult> {
    const result = await cli.run(args);
    assert.equal(result.code, 0, result.stderr);
    return result;
  }
  /** The rest of the file names nothing that is there: `keys` looks at the keyring only. */
  function configure(kek: Json): void {
    const config = {
      version: 1,
      database: { url: 'postgres://127.0.0.1:1/none' },
      startup_timeout: '1s',
      keyring: { file, kek },
      pipelines: {
        logins: {
          source: { sqs: { queue: 'logins' } },
          columns: { ip: { from: 'ip', mask: { method: 'siv' } } },
          target: { table: 'public.logins' },
        },
      },
    };
    writeFileSync(join(dir, 'maskline.yaml'), stringify(config));
  }
  const check = (): Promise<CliResult> => cli.run(['keys', 'check']);

  test('opens with one Decrypt, by the configured key and in the context that it was made in', async () => {
    configure({ type: 'aws-kms', key_arn: keyArn });
    const before = kms.calls.length;
    const { code, rows, stderr } = await check();
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { primary_kid: 1, kids: [1], ok: true });
    const { id, kek } = readKeyringFile(file);
    assert.deepEqual(kms.calls.slice(before), [
      { action: 'Decrypt', keyArn, context: { app: 'maskline', keyring: id } },
    ]);
    assert.equal(kek.type, 'aws-kms');
    const given = kms.given.at(-1) ?? '';
    assert.deepEqual([...openKeyringOracle(readFileSync(file, 'utf8'), given).keys()], [1]);
    assert.ok(!readFileSync(file, 'utf8').includes(given));
  });

  test('is refused by name in another context, by another key, without the right to it, and when it is not KMS’s', async () => {
    const other = kms.key(`other-${names}`);
    const refused = async (kek: Json, pattern: RegExp): Promise<void> => {
      configure(kek);
      const { code, stderr } = await check();
      assert.equal(code, 2, stderr);
      assert.match(stderr, pattern);
    };
    await refused(
      { type: 'aws-kms', key_arn: keyArn, context: { app: 'another' } },
      /refused Decrypt by .*key-\d+ \(InvalidCiphertextException, HTTP 400\).*context/,
    );
    await refused(
      { type: 'aws-kms', key_arn: other },
      /IncorrectKeyException.*encrypted KEK is of another key/,
    );
    await refused({ type: 'aws-kms', key_arn: `${keyArn}-none` }, /NotFoundException.*there is no such key/);
    kms.fault = { status: 400, type: 'AccessDeniedException' };
    await refused({ type: 'aws-kms', key_arn: keyArn }, /AccessDeniedException.*kms:Decrypt/);
  });

  test('waits for a KMS that is away for startup_timeout, and ends with exit code 3', async () => {
    configure({ type: 'aws-kms', key_arn: keyArn });
    kms.fault = { status: 500, type: 'KMSInternalException' };
    const before = kms.calls.length;
    const { code, stderr } = await check();
    assert.equal(code, 3, stderr);
    assert.match(stderr, /KMSInternalException, HTTP 500/);
    assert.equal(kms.calls.length, before);
  });

  test('is rewrapped to and from other key-encryption keys, and its keys stay the same', async () => {
    const masters = (): Map<number, Buffer> =>
      openKeyringOracle(readFileSync(file, 'utf8'), kms.given.at(-1) ?? '');
    const first = masters();
    configure({ type: 'aws-kms', key_arn: keyArn });
    const other = kms.key(`other-${names}`);
    await command('keys', 'rewrap', '--kms', other);
    const encryptedBy = await check();
    assert.equal(encryptedBy.code, 2, 'the key of before opens it no longer');
    configure({ type: 'aws-kms', key_arn: other });
    await command('keys', 'check');
    assert.deepEqual(masters(), first);
    const kekFile = join(dir, 'kek');
    await command('keys', 'rewrap', '--kek-file', kekFile);
    assert.match((await check()).stderr, /is not wrapped by a key of AWS KMS \(its KEK is of type file\)/);
    configure({ type: 'file', path: kekFile });
    await command('keys', 'check');
    assert.deepEqual(
      openKeyringOracle(readFileSync(file, 'utf8'), readFileSync(kekFile, 'utf8').trim()),
      first,
    );
  });
});
