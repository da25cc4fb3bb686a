import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { stringify } from 'yaml';
import { diagnosisText } from '../../src/cli/doctor-text.js';
import { loadConfig } from '../../src/config/load.js';
import { checks } from '../../src/doctor/checks.js';
import { SESSION_STATEMENT_TIMEOUT_MS } from '../../src/doctor/ask-postgres.js';
import { type Diagnosis, checksExcept, judgeAll } from '../../src/doctor/diagnosis.js';
import type { DatabaseFacts, Facts, HostFacts, SourceFacts } from '../../src/doctor/facts.js';
import { unreadVariables } from '../../src/doctor/host.js';
import {
  findComposeFile,
  findPm2File,
  ownPm2,
  readComposeFile,
  readPm2File,
} from '../../src/doctor/supervisors.js';
import { PipelineError } from '../../src/errors.js';
import type { ServerReport } from '../../src/load/server-report.js';
import type { RedisReport } from '../../src/queue/bullmq-check.js';
import type { QueueAttributes } from '../../src/source/queue-client.js';
import type { QueueProbe } from '../../src/source/sqs-probe.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DAY_S = 86_400;
const MIB = 1024 ** 2;

const GOOD_HOST: HostFacts = {
  nodeVersion: '20.19.0',
  unreadVariables: [],
  failpoints: [],
  killTimes: [{ where: '--grace', ms: 30_000, how: 'set it' }],
  endpoint: { host: '127.0.0.1' },
  hasCredentials: false,
};

const GOOD_SERVER: ServerReport = {
  user: 'app',
  maxConnections: 100,
  reservedConnections: 3,
  userLimit: null,
  databaseLimit: null,
  statementTimeoutMs: SESSION_STATEMENT_TIMEOUT_MS,
  transactionTimeoutMs: 0,
  fsync: true,
  fullPageWrites: true,
  asynchronousStandbys: 0,
  aheadMs: 0,
};

const GOOD_REDIS: RedisReport = {
  version: '7.2.4',
  maxmemoryPolicy: 'noeviction',
  maxmemory: 100 * MIB,
  usedMemory: MIB,
  appendOnly: true,
  isPrimary: true,
  aheadMs: 0,
};

const GOOD_QUEUE: QueueAttributes = {
  arn: 'arn:aws:sqs:us-east-1:000000000000:logins',
  visible: 0,
  inFlight: 0,
  delayed: 0,
  fifo: false,
  visibilityTimeoutS: 30,
  retentionS: 4 * DAY_S,
  redrive: { deadLetterArn: 'arn:aws:sqs:us-east-1:000000000000:dead', maxReceiveCount: 5 },
};

const GOOD_PROBE: QueueProbe = {
  queue: 'logins',
  attributes: GOOD_QUEUE,
  isKmsEncrypted: false,
  deadLetters: { ...GOOD_QUEUE, retentionS: 14 * DAY_S, redrive: null },
  denied: [],
  aheadMs: 0,
};

/** The facts of a good set-up whose pipeline has these keys besides. */
function goodFacts(keys: object = {}, file: object = {}): Facts {
  const pipeline = {
    source: { sqs: { queue: 'logins' } },
    columns: { masked_ip: { from: 'ip', mask: { method: 'siv', domain: 'ip', as: 'ip' } } },
    target: { table: 'public.logins' },
    ...keys,
  };
  const text = stringify({
    version: 1,
    database: { url: 'postgres://h/d' },
    queue: { url: 'redis://h' },
    pipelines: { logins: pipeline },
    ...file,
  });
  const config = loadConfig({ file: 'maskline.yaml', env: {}, read: () => text });
  const database: DatabaseFacts = {
    key: 'database.url',
    users: ['ingest', 'transform', 'load', 'admin'],
    schema: true,
    server: GOOD_SERVER,
    missing: [],
  };
  return {
    config,
    pipelines: config.pipelines,
    host: GOOD_HOST,
    keyring: {
      file: 'keyring.json',
      mode: 0o600,
      isForeign: false,
      states: new Map([[1, 'primary']]),
      opened: true,
    },
    databases: [database],
    tables: [{ pipeline: 'logins', table: 'public.logins', findings: [], plan: [] }],
    processes: [],
    kids: [{ place: 'maskline.vault', kids: [1] }],
    redis: GOOD_REDIS,
    queues: true,
    sources: config.pipelines.map((each) => ({ pipeline: each, queue: 'logins', probe: GOOD_PROBE })),
    buckets: [],
    problems: [],
  };
}

const withServer = (changed: Partial<ServerReport>): Facts => {
  const good = goodFacts();
  const databases = good.databases.map((each) => ({ ...each, server: { ...GOOD_SERVER, ...changed } }));
  return { ...good, databases };
};

const withRedis = (changed: Partial<RedisReport>): Facts => ({
  ...goodFacts(),
  redis: { ...GOOD_REDIS, ...changed },
});

const withHost = (changed: Partial<HostFacts>): Facts => ({
  ...goodFacts(),
  host: { ...GOOD_HOST, ...changed },
});

const withProbe = (changed: Partial<QueueProbe>, keys: object = {}): Facts => {
  const good = goodFacts(keys);
  const sources: readonly SourceFacts[] = good.sources.map((each) => ({
    ...each,
    probe: { ...GOOD_PROBE, ...changed },
  }));
  return { ...good, sources };
};

const withAttributes = (changed: Partial<QueueAttributes>, keys: object = {}): Facts =>
  withProbe({ attributes: { ...GOOD_QUEUE, ...changed } }, keys);

const routed = (): Facts => {
  const good = withAttributes({ redrive: { deadLetterArn: 'a:dead', maxReceiveCount: 5 } });
  const route = { pipelines: ['logins'] as const, entries: [], otherwise: 'logins' };
  const pipelines = good.pipelines.map((each) => ({ ...each, route }));
  const sources = good.sources.map((each) => ({ ...each, pipeline: { ...each.pipeline, route } }));
  return { ...good, pipelines, sources };
};

const judged = (facts: Facts): Diagnosis => judgeAll(facts, checks);
const away = new PipelineError('redis_unavailable', 'Redis is away');
const fifo = { source: { sqs: { queue: 'logins.fifo' } }, fifo: 'block' };

/** What is found by what is known: which check, how bad, and words of what it says or advises. */
const VERDICTS: readonly (readonly [string, Facts, string, 'error' | 'warning', RegExp])[] = [
  ['a Node.js that is too old', withHost({ nodeVersion: '20.9.0' }), 'node', 'error', /20\.19/],
  ['a replica of Redis', withRedis({ isPrimary: false }), 'queue', 'error', /replica.*primary/],
  ['a Redis that is too old', withRedis({ version: '6.0.16' }), 'redis_version', 'error', /6\.2/],
  [
    'a pooler between statements',
    withServer({ statementTimeoutMs: 0 }),
    'database_timeouts',
    'error',
    /pooler/,
  ],
  [
    'standbys nobody waits for',
    withServer({ asynchronousStandbys: 2 }),
    'durability',
    'warning',
    /2 standbys/,
  ],
  ['torn pages', withServer({ fullPageWrites: false }), 'durability', 'error', /full_page_writes = on/],
  ['a database with a limit', withServer({ databaseLimit: 5 }), 'connections', 'error', /has 5 for/],
  [
    'a clock that alone differs',
    withRedis({ aheadMs: 6_000 }),
    'clocks',
    'warning',
    /Redis 6s ahead.*where Redis run/,
  ],
  ['clocks ten minutes apart', withServer({ aheadMs: 600_000 }), 'clocks', 'error', /600s ahead/],
  [
    'dead letters that are nowhere',
    withProbe({ deadLetters: 'missing' }),
    'dead_letters',
    'error',
    /create dead/,
  ],
  [
    'no way out of rejections',
    withAttributes({ redrive: null }, { on_reject: 'dlq' }),
    'redrive',
    'error',
    /for ever/,
  ],
  ['a way out of a blocked group', withAttributes({ fifo: true }, fifo), 'redrive', 'warning', /fifo: skip/],
  ['receives that a shared queue costs', routed(), 'receive_count', 'warning', /to 6 or more/],
  ['a file of pm2 that is none', withHost({ killTimes: away }), 'kill_time', 'error', /--pm2/],
  [
    'PORT that is none',
    withHost({ endpoint: new PipelineError('usage', 'PORT!') }),
    'admin',
    'error',
    /PORT/,
  ],
  [
    'an admin page for all to see',
    withHost({ endpoint: { host: '::' } }),
    'admin',
    'error',
    /MASKLINE_ADMIN_PASSWORD/,
  ],
  [
    'a keyring of a mounted secret, which all may read',
    { ...goodFacts(), keyring: { ...goodFacts().keyring, mode: 0o444, isForeign: true } },
    'keyring_mode',
    'warning',
    /0444/,
  ],
  [
    'rows of a key that was destroyed',
    { ...goodFacts(), keyring: { ...goodFacts().keyring, states: new Map([[1, 'destroyed']]) } },
    'keys',
    'warning',
    /maskline\.vault.*key 1.*destroyed/,
  ],
  [
    'a bucket that may not be read',
    {
      ...goodFacts(),
      buckets: [{ pipeline: 'logins', reached: new PipelineError('source_unfit', 'bucket b is forbidden') }],
    },
    'buckets',
    'error',
    /bucket b/,
  ],
];

describe('a judgement', () => {
  test('of a good set-up finds nothing, and leaves nothing out', () => {
    const { ok, findings, good, unchecked } = judged(goodFacts());
    assert.deepEqual({ ok, findings, unchecked }, { ok: true, findings: [], unchecked: [] });
    assert.equal(good.length, checks.length - 1, 'all but that of S3, which nothing points to');
  });

  for (const [what, facts, check, severity, words] of VERDICTS) {
    test(`finds ${what}, and nothing besides`, () => {
      const { ok, findings } = judged(facts);
      assert.deepEqual(
        findings.map((each) => ({ check: each.check, severity: each.severity })),
        [{ check, severity }],
        JSON.stringify(findings),
      );
      assert.match(`${findings[0]?.found ?? ''} ${findings[0]?.remedy ?? ''}`, words);
      assert.equal(ok, false);
    });
  }

  test('takes what is fit for fit: FIFO dead letters, blocked groups, mounted secrets, limits that are just kept', () => {
    for (const facts of [
      withProbe({
        attributes: { ...GOOD_QUEUE, fifo: true },
        deadLetters: { ...GOOD_QUEUE, retentionS: 60 },
      }),
      withAttributes({ redrive: null, fifo: true }, fifo),
      withAttributes({ redrive: { deadLetterArn: 'a:dead', maxReceiveCount: 3 } }),
      withAttributes({ retentionS: 14 * DAY_S }),
      withServer({ transactionTimeoutMs: null }),
      withServer({ transactionTimeoutMs: 60_000 }),
      withServer({ aheadMs: -4_900 }),
      withRedis({ version: '10.0.1' }),
      withHost({ endpoint: { host: '0.0.0.0' }, hasCredentials: true }),
      // As a pod has it from a Secret.
      { ...goodFacts(), keyring: { ...goodFacts().keyring, mode: 0o440, isForeign: true } },
      withHost({ killTimes: [{ where: 'x', ms: 25_001, how: 'y' }] }),
    ])
      assert.deepEqual(judged(facts).findings, []);
  });

  test('says what it could not look at, instead of calling it good', () => {
    const blind: readonly (readonly [Facts, readonly string[]])[] = [
      [
        withRedis({ version: null, maxmemoryPolicy: null, appendOnly: null, maxmemory: null, aheadMs: null }),
        ['redis_policy', 'redis_version', 'redis_memory', 'redis_persistence'],
      ],
      [{ ...goodFacts(), processes: away }, ['connections', 'in_flight']],
      [withProbe({ deadLetters: 'hidden' }), ['dead_letters']],
      [withProbe({ isKmsEncrypted: true }), ['sqs_rights']],
      [withHost({ killTimes: [] }), ['kill_time']],
      [{ ...goodFacts(), problems: away }, ['health']],
    ];
    for (const [facts, names] of blind) {
      const { ok, good, unchecked } = judged(facts);
      assert.deepEqual(
        unchecked.map(({ check }) => check),
        names,
      );
      assert.equal(ok, true, 'what is not known is no finding');
      for (const name of names) assert.ok(!good.includes(name), name);
    }
  });

  test('of queues that are not in Redis leaves out what is about Redis', () => {
    const { good } = judged({ ...goodFacts(), redis: null });
    assert.ok(good.includes('queue'));
    assert.deepEqual(
      good.filter((name) => name.startsWith('redis')),
      [],
    );
  });

  test('leaves out what it is told to, and knows no other names than those of its checks', () => {
    const left = checksExcept(['node', 'keys']).map(({ name }) => name);
    assert.deepEqual(
      left,
      checks.map(({ name }) => name).filter((name) => name !== 'node' && name !== 'keys'),
    );
    assert.throws(() => checksExcept(['nodes']), {
      code: 'usage',
      message: /no check nodes; there are node,/,
    });
  });
});

describe('the file of pm2', () => {
  const dir = mkdtempSync(join(tmpdir(), 'maskline-pm2-file-'));
  after(() => rmSync(dir, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };

  test('that comes with maskline gives its processes the time that they need', async () => {
    const times = await readPm2File(join(ROOT, 'ecosystem.config.js'));
    assert.deepEqual(
      times.map(({ where, ms }) => [where.replace(/.*app /, ''), ms]),
      ['ingest', 'transform', 'load', 'admin'].map((role) => [`maskline-${role}`, 30_000]),
    );
    assert.deepEqual(judged(withHost({ killTimes: times })).findings, []);
  });

  test('is read as a module of either kind or JSON; apps of others are left alone, and a default is known', async () => {
    const apps =
      '[{ "name": "a", "script": "maskline", "args": "run load" }, { "name": "b", "script": "b.js" }]';
    for (const [name, text] of [
      ['a.cjs', `module.exports = { apps: ${apps} }`],
      ['a.mjs', `console.log('hello'); export default { apps: ${apps} }`],
      ['a.json', `{ "apps": ${apps} }`],
      ['b.json', apps],
    ] as const) {
      const times = await readPm2File(file(name, text));
      assert.deepEqual(
        times.map(({ ms, where }) => [ms, where]),
        [[1_600, `${name}, app a`]],
      );
    }
  });

  test('that ends its process or fails is refused, and quoted nowhere', async () => {
    for (const text of [
      'process.exit(0)',
      'throw new Error("s3cret")',
      'console.log("s3cret"); process.exit(0)',
    ]) {
      const unfit = readPm2File(file('bad.mjs', text));
      await assert.rejects(unfit, (error: Error & { code?: string }) => {
        assert.equal(error.code, 'config_invalid');
        assert.ok(!error.message.includes('s3cret'));
        return true;
      });
    }
  });

  test('is looked for by the names that pm2 takes', () => {
    assert.equal(findPm2File(dir), null);
    const made = file('ecosystem.config.cjs', '');
    assert.equal(findPm2File(dir), made);
  });

  test('need not be there for a process that pm2 runs', () => {
    assert.deepEqual(ownPm2({}), []);
    assert.equal(ownPm2({ pm_id: '0', name: 'a', kill_timeout: '30000' })[0]?.ms, 30_000);
    assert.equal(ownPm2({ pm_id: '0' })[0]?.ms, 1_600);
  });
});

describe('the file of Compose', () => {
  const dir = mkdtempSync(join(tmpdir(), 'maskline-compose-file-'));
  after(() => rmSync(dir, { recursive: true }));
  const written = (text: string): string => {
    writeFileSync(join(dir, 'compose.yaml'), text);
    return join(dir, 'compose.yaml');
  };

  test('that comes with maskline gives its processes the time that they need', () => {
    const times = readComposeFile(join(ROOT, 'docker-compose.yml'));
    const periods = Object.fromEntries(times.map(({ where, ms }) => [where.replace(/.*service /, ''), ms]));
    assert.deepEqual(periods, { ingest: 30_000, transform: 30_000, load: 30_000, admin: 30_000 });
  });

  test('gives 10 s to those that say nothing, and services of others are left alone', () => {
    const file = written(
      [
        'services:',
        '  a: { image: "maskline:1", command: [run, load] }',
        '  b: { image: "maskline:1", command: run all, stop_grace_period: 1m30s }',
        '  c: { image: other, command: npx maskline drain --timeout 10m, stop_grace_period: 20s }',
        '  migrate: { image: "maskline:1", command: [migrate] }',
        '  db: { image: "postgres:18" }',
      ].join('\n'),
    );
    assert.equal(findComposeFile(dir), file);
    const times = readComposeFile(file);
    assert.deepEqual(
      times.map(({ where, ms }) => [where, ms]),
      [
        ['compose.yaml, service a', 10_000],
        ['compose.yaml, service b', 90_000],
        ['compose.yaml, service c', 20_000],
      ],
    );
    const { findings } = judged(withHost({ killTimes: times }));
    assert.deepEqual(
      findings.map(({ remedy }) => remedy),
      ['a', 'c'].map((name) => `set stop_grace_period of ${name} to more than 25s, e.g. 30s`),
    );
  });

  test('is refused when it can not be read, and need hold no services', () => {
    assert.throws(() => readComposeFile(written('services: [s3cret')), { code: 'config_invalid' });
    assert.deepEqual(readComposeFile(written('name: x')), []);
    rmSync(join(dir, 'compose.yaml'));
    assert.equal(findComposeFile(dir), null);
  });
});

test('of .env only names are told, of variables that a process reads and does not have', () => {
  const dir = mkdtempSync(join(tmpdir(), 'maskline-env-'));
  try {
    assert.deepEqual(unreadVariables(dir, { variables: {}, kek: null }), []);
    writeFileSync(
      join(dir, '.env'),
      'export REDIS_URL="redis://h"\nMASKLINE_KEK=abc\nPORT=\nEDITOR=vi\n# DATABASE_URL=x\nAWS_REGION=eu-west-1\n',
    );
    const all = unreadVariables(dir, { variables: {}, kek: null });
    assert.deepEqual(all.toSorted(), ['AWS_REGION', 'MASKLINE_KEK', 'REDIS_URL']);
    const set = { variables: { REDIS_URL: 'redis://other' }, kek: 'abc' };
    assert.deepEqual(unreadVariables(dir, set), ['AWS_REGION']);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('a diagnosis for people has what is wrong by heading, the remedy below it, and what is good', () => {
  const lines = diagnosisText(
    judged(withProbe({ deadLetters: 'hidden', denied: ['sqs:DeleteMessage'] })),
  ).split('\n');
  const plain = lines.map(stripVTControlCharacters);
  assert.equal(plain[0], '1 finding');
  assert.equal(plain[2], 'SQS');
  assert.match(plain[3] ?? '', /^ {2}error sqs_rights logins: .* may not sqs:DeleteMessage on queue logins$/);
  assert.match(plain[4] ?? '', /^ {4}→ allow sqs:DeleteMessage on arn:/);
  assert.match(plain[6] ?? '', /^good {2}node, /);
  assert.deepEqual(plain.slice(7), [
    'could not be looked at',
    '  dead_letters: dead-letter queue dead, about which these credentials may not ask',
  ]);
  assert.match(diagnosisText(judged(goodFacts())), /nothing is wrong/);
});

test('docs/reference.md lists the checks of doctor, in their order, and no others', () => {
  const reference = readFileSync(join(ROOT, 'docs/reference.md'), 'utf8');
  const [, section = ''] = /### Checks of doctor\n(.*?)\n##/s.exec(reference) ?? [];
  const listed = [...section.matchAll(/^\| `([a-z_]+)` +\|/gm)].map(([, name]) => name);
  assert.deepEqual(
    listed,
    checks.map(({ name }) => name),
  );
});
