// A masker of the user's in a whole deployment: what hangs it is one quarantined record, and its neighbours load.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Found, LeakScan } from '../../src/proof/leak-scan.js';
import { type CliResult, assertHas } from '../support/cli.js';
import { postgresContents, redisContents } from '../support/leak-scan.js';
import { keyOracle } from '../support/oracle.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const EXAMPLE = fileURLToPath(new URL('../../../examples/support-tickets', import.meta.url));
const COUNT = 60;
const HANGS_AT = 17;
const THROWS_AT = 31;
/** Where people are in what the masker sees; each is to be found nowhere afterwards. */
const SECRETS = {
  mail: 'canary.person@example.com',
  phone: '+49 30 77123456',
  hangs: 'canary-that-hangs-71b2',
  throws: 'canary-that-throws-55a1',
  printed: 'canary-that-is-printed-9c',
  customer: '770077007712',
};
const COLUMNS = {
  ticket_id: { from: 'id', type: 'text', max_length: 64, required: true },
  message: {
    from: 'message',
    mask: { method: 'custom', file: './masks/prose.ts', options: { words: ['confidential'] } },
  },
  customer: {
    from: 'customer.id',
    max_length: 24,
    mask: { method: 'custom', file: './masks/pseudonym.ts', export: 'pseudonym', domain: 'customer_id' },
  },
  mood: { from: 'mood', mask: { method: 'custom', file: './masks/mood.ts', timeout: '500ms' } },
  mask_kid: { from: '$mask_kid', type: 'integer' },
};
/** Works for all but two values, and tells all it sees to whoever listens. */
const MOOD = `import { defineMasker } from 'maskline';
const enum Mood { Good = 'good', Bad = 'bad' }
export default defineMasker({
  mask: (value: string): string => {
    console.log(value);
    console.error(value);
    process.emitWarning(value);
    if (value === '${SECRETS.hangs}') for (;;) { /* for ever */ }
    if (value === '${SECRETS.throws}') throw new Error('no such mood: ' + value, { cause: value });
    return value.includes('!') ? Mood.Bad : Mood.Good;
  },
});
`;

let stack: Stack;
let deployment: Deployment;
before(async () => {
  stack = await startStack({ log_statement: 'all' });
  deployment = await stack.deployment({
    ddl: null,
    pipeline: { columns: COLUMNS, target: { table: `public.${PIPELINE}`, create: true } },
  });
  cpSync(path.join(EXAMPLE, 'masks'), path.join(deployment.dir, 'masks'), { recursive: true });
  writeFileSync(path.join(deployment.dir, 'masks/mood.ts'), MOOD);
});
after(() => stack.stop());

const outputs: [string, string][] = [];
const run = async (...args: readonly string[]): Promise<CliResult> => {
  const result = await deployment.cli.run(['--log-level', 'trace', ...args]);
  outputs.push(
    [`stdout of ${args.join(' ')}`, result.stdout],
    [`stderr of ${args.join(' ')}`, result.stderr],
  );
  return result;
};

function mood(i: number): string {
  if (i === HANGS_AT) return SECRETS.hangs;
  if (i === THROWS_AT) return SECRETS.throws;
  return i % 2 === 0 ? `${SECRETS.printed} ${i}` : `no!${i}`;
}

function ticket(i: number): string {
  const message = `Hi,\nwrite to ${SECRETS.mail} or call ${SECRETS.phone}.\nConfidential ${i}`;
  return JSON.stringify({ id: `t${i}`, message, customer: { id: SECRETS.customer }, mood: mood(i) });
}

describe('a deployment with custom masks', () => {
  test('is found fit before a message is received', async () => {
    for (const args of [['migrate'], ['validate', '--connect', '--strict']]) {
      const { code, stdout, stderr } = await run(...args);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
    }
  });

  test('loads every record but those that hang the masker or make it throw: these are quarantined', async () => {
    await deployment.send(Array.from({ length: COUNT }, (_, i) => ticket(i)));
    const { code, rows, log, stderr } = await run('drain');
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { received: COUNT, loaded: COUNT - 2, quarantined: 2, duplicates: 0, released: 0 });
    assertAddsUp(await deployment.runs());
    const told = log
      .filter(({ event }) => event === 'mask_failed')
      .map(({ file, at, msg }) => ({ file, at, msg }));
    const of = 'column mood: the masker ./masks/mood.ts';
    // It has an enum: its lines are no longer where they were, and so no place is told.
    assert.ok(
      told.some(
        ({ file, at, msg }) =>
          file === './masks/mood.ts' && at === undefined && msg === `${of} failed with a value`,
      ),
    );
    assert.ok(told.some(({ msg }) => msg === `${of} gave no answer to a record`));
    assert.deepEqual(
      await deployment.query(
        'select code, path, kind, count(*)::int as n from maskline.quarantine group by 1, 2, 3',
      ),
      [{ code: 'mask_failed', path: 'mood', kind: 'raw', n: 2 }],
    );
  });

  test('stores what the maskers made of the values, under a key that the row names', async () => {
    const master = deployment.masters().get(1);
    assert.ok(master);
    const letters = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';
    const digest = createHmac('sha256', keyOracle(master, 'hmac', 'customer_id', 1, 32))
      .update(SECRETS.customer)
      .digest();
    const customer = `CUST-${[...digest.subarray(0, 12)].map((byte) => letters[byte & 31]).join('')}`;
    const expected = Array.from({ length: COUNT }, (_, i) => i)
      .filter((i) => i !== HANGS_AT && i !== THROWS_AT)
      .map((i) => ({
        ticket_id: `t${i}`,
        message: `Hi,\nwrite to [address] or call [number].\n[word] ${i}`,
        customer,
        mood: i % 2 === 0 ? 'good' : 'bad',
        mask_kid: 1,
      }));
    const rows = await deployment.query(
      `select ticket_id, message, customer, mood, mask_kid from public.${PIPELINE} order by substr(ticket_id, 2)::int`,
    );
    assert.deepEqual(rows, expected);
    assert.deepEqual(await deployment.query("select kids from maskline.loads where state = 'committed'"), [
      { kids: [1] },
    ]);
  });

  test('is stopped at its start by a masker that is none, with the place and none of its text', async () => {
    const file = path.join(deployment.dir, 'masks/mood.ts');
    writeFileSync(file, `${MOOD}\nconst secret = '${SECRETS.printed}' +;\n`);
    const validated = await run('validate');
    assert.equal(validated.code, 2);
    assert.match(
      validated.stdout,
      /column mood: the masker \.\/masks\/mood\.ts is no JavaScript or TypeScript that can be compiled at mood\.ts:\d+:\d+/,
    );
    await deployment.send([ticket(0)]);
    const drained = await run('drain');
    assert.equal(drained.code, 2, drained.stderr);
    assert.match(drained.stderr, /mood\.ts:\d+:\d+/);
    assert.equal((await deployment.depth()).visible, 1, 'nothing was received');
  });

  test('replays what failed once its file is mended: another policy, and the rows are there', async () => {
    const [old] = await deployment.query('select distinct policy_sha256 as sha from maskline.loads');
    writeFileSync(
      path.join(deployment.dir, 'masks/mood.ts'),
      `import { defineMasker } from 'maskline';\nexport default defineMasker({ mask: () => 'mended' });\n`,
    );
    assert.equal((await run('drain')).code, 0);
    const { code, stderr } = await run('quarantine', 'replay', '--all', '--yes');
    assert.equal(code, 0, stderr);
    assert.equal(await deployment.count(`public.${PIPELINE} where mood = 'mended'`), 3);
    const policies = await deployment.query('select distinct policy_sha256 as sha from maskline.loads');
    assert.equal(policies.length, 2);
    assert.ok(policies.some(({ sha }) => sha === old?.['sha']));
  });

  test('shows what was sent nowhere: not in logs, Redis, Postgres or its log, nor beside the quarantine', async () => {
    await run('quarantine', 'list', '--all');
    await run('preview', '--from-queue', '5');
    const scan = new LeakScan(SECRETS);
    const found: readonly Found[] = [
      ...scan.scanAll(outputs),
      ...scan.scanAll(await redisContents(stack.redis.url, stack.redis.dir)),
      ...scan.scanAll(await postgresContents((sql) => deployment.query(sql), ['maskline.quarantine.sealed'])),
      ...scan.scan("Postgres's log", await stack.postgres.log()),
    ];
    assert.deepEqual(found, []);
    assert.ok(outputs.some(([, text]) => text.includes('mask_failed')));
  });
});

describe('the example of custom masks', () => {
  test('does in its own cases what it says', async () => {
    for (const file of ['maskline.yaml', 'maskline.tests.yaml'])
      writeFileSync(
        path.join(deployment.dir, `example.${file}`),
        readFileSync(path.join(EXAMPLE, file), 'utf8'),
      );
    const tested = await deployment.cli.run(
      ['-c', 'example.maskline.yaml', 'test', 'example.maskline.tests.yaml'],
      { env: { MASKLINE_KEYRING: './none.json' } },
    );
    assert.equal(tested.code, 0, tested.stdout + tested.stderr);
    assert.deepEqual(
      tested.rows.map(({ ok }) => ok),
      [true, true],
    );
  });
});
