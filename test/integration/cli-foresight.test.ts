import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { badBodies, loginEvents, seededRandom } from '../../src/embedded/login-events.js';
import { type CliResult, assertHas } from '../support/cli.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const EVENTS = [...loginEvents(100, seededRandom(5))];
const BODIES = EVENTS.map((event) => JSON.stringify(event));
/** What must be seen nowhere: each is in one person's events only. */
const SECRETS = EVENTS.flatMap(({ ip, device_id }) => [ip, device_id]);

function assertNoSecrets(what: string, text: string): void {
  const found = SECRETS.filter((secret) => text.includes(secret));
  assert.equal(found.length, 0, `${what} shows ${found.length} values`);
}

describe('from a sample to a table', () => {
  let deployment: Deployment;
  let env: Readonly<{ [name: string]: string }>;
  const run = async (...args: readonly string[]): Promise<CliResult> =>
    deployment.cli.run(['-c', 'proposed.yaml', ...args], { env });
  before(async () => {
    deployment = await stack.deployment({ ddl: null });
    env = {
      MASKLINE_KEYRING: deployment.keyringFile,
      MASKLINE_KEK: readFileSync(deployment.kekFile, 'utf8').trim(),
    };
    writeFileSync(join(deployment.dir, 'events.jsonl'), BODIES.join('\n'));
  });

  test('init --from-sample, validate, test, preview, explain, migrate and drain work on one file', async () => {
    const written = await run('init', '--from-sample', 'events.jsonl', '--table', 'public.logins');
    assert.equal(written.code, 0, written.stderr);
    assertHas(written.rows[0], { samples: 100, events: 100, bad: 0, would_load: 100, would_quarantine: 0 });
    const yaml = readFileSync(join(deployment.dir, 'proposed.yaml'), 'utf8');
    assertNoSecrets('the written file', yaml);
    assertNoSecrets('init', written.stdout);

    const validated = await run('validate', '--strict', '--sample', 'events.jsonl');
    assert.equal(validated.code, 0, validated.stdout);
    assertNoSecrets('validate', validated.stdout);
    const [report] = validated.rows;
    const samples = report?.['sample'] as readonly { readonly rows: number }[] | undefined;
    assert.deepEqual([validated.rows.length, samples?.map(({ rows }) => rows)], [1, [100]]);

    const [event] = EVENTS;
    const cases = {
      pipeline: 'logins',
      cases: [
        {
          name: 'a login',
          message: { body: event },
          expect: {
            row: {
              user_id: event?.user_id,
              masked_ip: 'token',
              masked_device_id: { equal_to: 'again.masked_device_id' },
            },
          },
        },
        { name: 'again', message: { body: event }, expect: { row: { masked_ip: 'token' } } },
        {
          name: 'no address',
          message: { body: { ...event, ip: 'nowhere' } },
          expect: { rejected: { code: 'bad_ip', path: 'ip' } },
        },
      ],
    };
    writeFileSync(join(deployment.dir, 'maskline.tests.yaml'), JSON.stringify(cases));
    const tested = await run('test');
    assert.equal(tested.code, 0, tested.stdout + tested.stderr);
    assert.deepEqual(
      tested.rows.map(({ case: name, ok }) => [name, ok]),
      [
        ['a login', true],
        ['again', true],
        ['no address', true],
      ],
    );

    const shown = await run('preview', '--sample', 'events.jsonl');
    assert.equal(shown.code, 0, shown.stderr);
    assertHas(shown.rows[0], { pipeline: 'logins', records: 100, rows: 100, quarantined: 0 });
    assertNoSecrets('preview', shown.stdout + shown.stderr);

    writeFileSync(join(deployment.dir, 'other.yaml'), yaml.replace('domain: "ip"', 'domain: "address"'));
    const told = await run('explain', '--against', 'other.yaml', '--sample-file', 'events.jsonl');
    assert.equal(told.code, 0, told.stderr);
    const columns = told.rows[0]?.['columns'] as readonly { column: string; values_changed: number }[];
    const changed = columns.filter((column) => column.values_changed > 0);
    assert.deepEqual(
      changed.map(({ column, values_changed }) => [column, values_changed]),
      [['masked_ip', 100]],
    );
    assertNoSecrets('explain', told.stdout + told.stderr);

    const migrated = await run('migrate');
    assert.equal(migrated.code, 0, migrated.stderr);
    await deployment.send([...BODIES, ...badBodies(3, seededRandom(6))]);
    const drained = await run('drain');
    assertHas(drained.rows[0], { received: 103, loaded: 100 });
    const [counts] = await deployment.query(
      'select count(*)::int as rows, count(distinct masked_ip)::int as ips, count(distinct user_id)::int as users from public.logins',
    );
    const distinct = (of: (event: (typeof EVENTS)[number]) => string): number => new Set(EVENTS.map(of)).size;
    assert.deepEqual(counts, {
      rows: 100,
      ips: distinct(({ ip }) => ip),
      users: distinct((one) => one.user_id),
    });
  });
});

describe('test', () => {
  let deployment: Deployment;
  before(async () => {
    deployment = await stack.deployment();
  });

  test('ends with 1 and the differences when a case fails, and with 2 and all problems for a bad file', async () => {
    const file = (name: string, text: string): string => {
      writeFileSync(join(deployment.dir, name), text);
      return name;
    };
    const failing = file(
      'failing.yaml',
      'cases: [{ name: a, message: { body: { user_id: u, ip: 192.0.2.1, device_id: d } }, expect: { row: { user_id: v } } }]',
    );
    const failed = await deployment.cli.run(['test', failing]);
    assert.equal(failed.code, 1, failed.stderr);
    assert.deepEqual(failed.rows[0]?.['differences'], [
      { column: 'user_id', expected: '"v"', actual: '"u"' },
    ]);
    const bad = file('bad.yaml', 'cases:\n  - { nam: a }\n');
    const refused = await deployment.cli.run(['test', failing, bad]);
    assert.deepEqual([refused.code, refused.stdout], [2, '']);
    assert.match(refused.stderr, /bad\.yaml:2:7 unknown key; did you mean "name"/);
    assert.match(refused.stderr, /bad\.yaml:2:5 `message` is required/);
    assert.equal((await deployment.cli.run(['test', 'absent.yaml'])).code, 2);
  });

  test('needs neither a server nor a keyring, and says that the key is a throwaway one', async () => {
    writeFileSync(
      join(deployment.dir, 'token.yaml'),
      'cases: [{ name: a, message: { body: { user_id: u, ip: 192.0.2.1, device_id: d } }, expect: { row: { masked_ip: token } } }]',
    );
    const alone = { DATABASE_URL: undefined, REDIS_URL: 'redis://127.0.0.1:1', SQS_QUEUE_URL: undefined };
    deployment.configure((config) => ({ ...config, keyring: { file: './none.json' } }));
    const { code, stderr } = await deployment.cli.run(['test', 'token.yaml'], { env: alone });
    assert.equal(code, 0, stderr);
    assert.match(stderr, /throwaway key/);
  });
});

describe('a look into the queue', () => {
  test('gives every message back at once, received once more, and shows none', async () => {
    const deployment = await stack.deployment();
    const bodies = BODIES.slice(0, 6);
    await deployment.send([...bodies, '{"user_id":1}']);
    const { code, rows, stdout, stderr } = await deployment.cli.run(['preview', '--from-queue', '50']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { records: 7, rows: 6, quarantined: 1 });
    assert.match(stderr, /received 7 messages .* deleted none .* received once more/);
    assertNoSecrets('preview', stdout + stderr);
    assert.deepEqual(await deployment.depth(), { visible: 7, inFlight: 0, delayed: 0 });
    assert.deepEqual(await deployment.receiveCounts(), Array(7).fill(1));
    const drained = await deployment.cli.run(['drain']);
    assertHas(drained.rows[0], { received: 7, loaded: 6, quarantined: 1 });
  });

  test('unsealed, puts who and why on record before it shows values', async () => {
    const deployment = await stack.deployment();
    await deployment.send(BODIES.slice(0, 1));
    const unseal = ['preview', '--from-queue', '1', '--unseal'];
    assert.equal((await deployment.cli.run(unseal)).code, 2);
    const { code, stdout, log } = await deployment.cli.run([
      ...unseal,
      '--reason',
      'ticket 7',
      '--log-level',
      'silent',
    ]);
    assert.equal(code, 0);
    assert.ok(stdout.includes(EVENTS[0]?.ip ?? 'none'));
    assertHas(
      log.find(({ event }) => event === 'preview_unsealed'),
      { reason: 'ticket 7', records: 1, pipelines: [PIPELINE] },
    );
    const records = await deployment.query(
      'select action, purpose, token, outcome, details from maskline.reveals order by seq',
    );
    assert.deepEqual(records, [
      {
        action: 'unseal',
        purpose: 'ticket 7',
        token: null,
        outcome: 'granted',
        details: JSON.stringify({ preview: true, records: 1, pipelines: [PIPELINE] }),
      },
    ]);
  });

  test('unsealed, shows and receives nothing while it cannot go on record', async () => {
    const deployment = await stack.deployment({ roles: true, file: { startup_timeout: '1s' } });
    await deployment.send(BODIES.slice(0, 1));
    writeFileSync(join(deployment.dir, 'sample.jsonl'), `${BODIES[0] ?? ''}\n`);
    const away = { DATABASE_URL: 'postgres://127.0.0.1:1/none' };
    const forbidden = deployment.environmentOf('load');
    const unnamed = { DATABASE_URL: undefined };
    for (const [env, expected] of [
      [away, 3],
      [forbidden, 2],
      [unnamed, 2],
    ] as const) {
      for (const from of [
        ['--from-queue', '1'],
        ['--sample', 'sample.jsonl'],
      ]) {
        const args = ['preview', ...from, '--unseal', '--reason', 'ticket 7'];
        const { code, stdout, stderr } = await deployment.cli.run(args, { env });
        assert.equal(code, expected, stderr);
        assert.equal(stdout, '');
        assertNoSecrets('preview', stderr);
      }
    }
    assert.deepEqual(await deployment.receiveCounts(), [1], 'where only the record was refused');
    assert.equal(await deployment.count('maskline.reveals'), 0);
  });

  test('is refused where a redrive policy allows few receives, unless told to go on', async () => {
    await stack.sqs.createQueue('few-dead');
    const RedrivePolicy = JSON.stringify({
      deadLetterTargetArn: `arn:aws:sqs:${stack.sqs.region}:000000000000:few-dead`,
      maxReceiveCount: 2,
    });
    const deployment = await stack.deployment({ queueAttributes: { RedrivePolicy } });
    await deployment.send(BODIES.slice(0, 2));
    for (const args of [
      ['preview', '--from-queue', '2'],
      ['explain', '--against', 'maskline.yaml', '--sample', '2'],
    ]) {
      const refused = await deployment.cli.run(args);
      assert.equal(refused.code, 2, refused.stderr);
      assert.match(refused.stderr, /after 2 receives.*--yes/);
    }
    assert.deepEqual(await deployment.receiveCounts(), [0, 0]);
    const allowed = await deployment.cli.run(['preview', '--from-queue', '2', '--yes']);
    assert.equal(allowed.code, 0, allowed.stderr);
    assert.match(allowed.stderr, /2 of them have been received as often as the redrive policy allows/);
    assert.deepEqual(await deployment.depth(), { visible: 2, inFlight: 0, delayed: 0 });
  });

  test('explains against a file with the default sample, and names pipelines that only one file has', async () => {
    const deployment = await stack.deployment();
    await deployment.send(BODIES.slice(0, 3));
    const yaml = readFileSync(deployment.configFile, 'utf8').replace(`  ${PIPELINE}:\n`, `  elsewhere:\n`);
    writeFileSync(join(deployment.dir, 'other.yaml'), yaml);
    const other = await deployment.cli.run(['explain', '--against', 'other.yaml']);
    assert.deepEqual([other.code, other.stdout], [0, '']);
    assert.match(other.stderr, /has no pipeline user_logins/);
    assert.match(other.stderr, /has a pipeline elsewhere/);
    const same = await deployment.cli.run(['explain', '--against', 'maskline.yaml']);
    assertHas(same.rows[0], { records: 3, loaded_before: 3, loaded_after: 3, newly_quarantined: [] });
  });

  const misused: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['preview'], /either --sample FILE or --from-queue N/],
    [['preview', '--sample', 'absent'], /cannot be read \(ENOENT\)/],
    [['preview', '--from-queue', '0'], /from 1 to 1000/],
    [['preview', '--sample', 'kek', '--reason', 'x'], /--reason goes with --unseal/],
    [['explain'], /--against/],
    [['explain', '--against', 'absent.yaml'], /absent\.yaml.*ENOENT/],
    [['explain', '--against', 'maskline.yaml', '--sample', '1', '--sample-file', 'x'], /either --sample N/],
  ];
  test('ends with 2 and says why when it is misused', async () => {
    const deployment = await stack.deployment();
    for (const [args, message] of misused) {
      const { code, stderr, stdout } = await deployment.cli.run(args);
      assert.deepEqual([code, stdout], [2, ''], `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, message);
    }
  });
});
