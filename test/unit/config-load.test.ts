import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import test from 'node:test';
import type { Config } from '../../src/config/config.js';
import { checkConfig, loadConfig } from '../../src/config/load.js';
import { initTemplate } from '../../src/config/template.js';
import { PipelineError } from '../../src/errors.js';

const root = new URL('../../../', import.meta.url);
const MINIMAL = `version: 1
pipelines:
  logins:
    columns: { user_id: { from: user_id } }
    target: { table: logins }
`;
const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'logins' };

function load(text: string, env: Readonly<{ [name: string]: string }> = ENV): Config {
  return loadConfig({ file: 'maskline.yaml', env, read: () => text });
}

function first(config: Config): Config['pipelines'][number] {
  const pipeline = config.pipelines[0];
  assert.ok(pipeline);
  return pipeline;
}

test('a file with nothing but columns and a target gets every default', () => {
  const config = load(MINIMAL);
  assert.equal(config.database.url?.reveal(), ENV.DATABASE_URL);
  assert.equal(config.queue.url.reveal(), 'redis://127.0.0.1:6379');
  const { database: _database, pipelines: _pipelines, queue, ...rest } = config;
  const { url: _url, ownerUrl, ...queueRest } = queue;
  assert.equal(ownerUrl.reveal(), 'redis://127.0.0.1:6379');
  assert.deepEqual(queueRest, {
    backend: 'redis',
    tls: null,
    sentinel: null,
    prefix: 'maskline',
    highWater: 0.6,
    keepFailed: { count: 1000, ageS: 7 * 24 * 3600 },
  });
  assert.deepEqual(rest, {
    file: 'maskline.yaml',
    keyring: { file: './maskline.keyring.json', kek: { type: 'env' } },
    admin: { host: '127.0.0.1', port: 9090, allowActions: false, metricsPublic: false },
    retention: { ledgerMs: 15 * 86_400_000, runsMs: 90 * 86_400_000, replayedQuarantineMs: 30 * 86_400_000 },
    reveal: { rate: 1000, quota: 1000 },
    startupTimeoutMs: 60_000,
    healthMaxLagMs: 900_000,
    notify: null,
    metrics: { emf: false },
  });
  const { policy, ...pipeline } = first(config);
  assert.deepEqual(pipeline, {
    name: 'logins',
    schedule: null,
    route: null,
    source: {
      sqs: {
        queues: [{ queue: 'logins', region: 'us-east-1', endpoint: null, receivers: 8, transport: 'lean' }],
        waitTimeS: 1,
        visibilityTimeoutS: 300,
      },
      s3: null,
      opening: {
        envelope: 'auto',
        encoding: 'auto',
        records: 'auto',
        maxRecords: 10_000,
        maxUnpackedBytes: 4 * 1_048_576,
      },
    },
    batch: { maxMessages: 1000, maxBytes: 1_048_576, lingerMs: 1000 },
    concurrency: { transform: null, load: null },
    limits: {
      inFlight: 20_000,
      inFlightBytes: 67_108_864,
      residenceMs: 900_000,
      breaker: { maxRejectedRatio: 0.5, minMessages: 100, maxRejected: null },
    },
    fifo: 'skip',
    leakGate: false,
    target: { schema: 'public', table: 'logins', create: false, upsert: null, partition: null, grants: [] },
    further: [],
  });
  const { sha256, ...rules } = policy;
  assert.match(sha256, /^[0-9a-f]{64}$/);
  assert.deepEqual(rules, {
    pipeline: 'logins',
    columns: [
      {
        name: 'user_id',
        path: 'user_id',
        source: { kind: 'field', name: 'user_id' },
        type: 'text',
        maxLength: null,
        required: false,
        mask: { method: 'keep' },
      },
    ],
    maxDepth: 32,
    maxBody: 1_048_576,
    onUnknownField: 'drop',
    onReject: 'quarantine',
  });
});

test('the example of the documentation loads without a warning, and says what it means', () => {
  const file = fileURLToPath(new URL('examples/login-events/maskline.yaml', root));
  const { config, problems } = checkConfig({ file, env: { DATABASE_URL: ENV.DATABASE_URL } });
  assert.deepEqual(problems, []);
  assert.ok(config);
  const { policy, schedule, target, source } = first(config);
  assert.deepEqual(schedule, {
    kind: 'cron',
    cron: '*/30 * * * * *',
    timezone: 'UTC',
    exclusive: false,
    pause: [],
    catchUp: true,
  });
  assert.deepEqual(target, {
    schema: 'public',
    table: 'user_logins',
    create: true,
    upsert: null,
    partition: null,
    grants: [],
  });
  assert.equal(source.sqs.queues[0].queue, 'login-queue');
  assert.equal(source.sqs.queues[0].endpoint, null);
  assert.deepEqual(
    policy.columns.map(({ name, path, type, maxLength, required }) => [
      name,
      path,
      type,
      maxLength,
      required,
    ]),
    [
      ['user_id', 'user_id', 'text', 128, true],
      ['device_type', 'device_type', 'text', 32, false],
      ['masked_ip', 'ip', 'text', 256, true],
      ['masked_device_id', 'device_id', 'text', 256, true],
      ['locale', 'locale', 'text', 32, false],
      ['app_version', 'app_version', 'text', 32, false],
      ['create_date', '$sent_at', 'date', null, false],
    ],
  );
  assert.deepEqual(
    policy.columns.slice(2, 4).map(({ mask }) => mask),
    [
      { method: 'siv', domain: 'ip', as: 'ip', pad: null, lower: false },
      { method: 'siv', domain: 'device_id', as: 'text', pad: null, lower: false },
    ],
  );
  assert.deepEqual(policy.columns[6]?.source, { kind: 'meta', name: 'sent_at' });
});

test('what init writes loads with nothing in the environment but DATABASE_URL', () => {
  const { yaml } = initTemplate();
  const { config, problems } = checkConfig({
    file: 'maskline.yaml',
    env: { DATABASE_URL: ENV.DATABASE_URL },
    read: () => yaml,
  });
  assert.deepEqual(problems, []);
  const example = loadConfig({
    file: fileURLToPath(new URL('examples/login-events/maskline.yaml', root)),
    env: ENV,
  });
  assert.ok(config);
  assert.deepEqual(first(config).policy, first(example).policy);
});

test('init names the pipeline after the table, and refuses a table that cannot be', () => {
  const named = load(initTemplate({ table: 'audit.Sign-Ins' }).yaml);
  assert.equal(first(named).name, 'sign-ins');
  assert.deepEqual(first(named).target, {
    schema: 'audit',
    table: 'Sign-Ins',
    create: true,
    upsert: null,
    partition: null,
    grants: [],
  });
  assert.equal(first(load(initTemplate({ table: 't', pipeline: 'p' }).yaml)).name, 'p');
  assert.throws(() => initTemplate({ table: 'a.b.c' }), { code: 'usage' });
  assert.throws(() => initTemplate({ table: 'a"b' }), { code: 'usage' });
});

test('the example environment names every variable that the template reads', () => {
  const { yaml, env } = initTemplate();
  const read = [...yaml.matchAll(/\$\{([A-Z_]+)/g)].map(([, name = '']) => name);
  for (const name of new Set(read)) {
    if (name !== 'VAR' && name !== 'MASKLINE_KEYRING') assert.match(env, new RegExp(`^${name}=`, 'm'));
  }
});

test('the environment stands in for keys that are absent, and an empty variable for nothing', () => {
  const env = {
    ...ENV,
    REDIS_URL: 'rediss://cache:6380',
    AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:4566',
    MASKLINE_KEYRING: '/etc/ring.json',
    AWS_REGION: 'eu-central-1',
  };
  const config = load(MINIMAL, env);
  assert.equal(config.queue.url.reveal(), 'rediss://cache:6380');
  assert.equal(config.keyring.file, '/etc/ring.json');
  assert.equal(first(config).source.sqs.queues[0].endpoint, 'http://127.0.0.1:4566');
  assert.equal(first(config).source.sqs.queues[0].region, 'eu-central-1');
  const empty = load(MINIMAL, {
    ...ENV,
    REDIS_URL: '',
    AWS_ENDPOINT_URL_SQS: '',
    MASKLINE_KEYRING: '',
    AWS_REGION: '',
  });
  assert.equal(empty.queue.url.reveal(), 'redis://127.0.0.1:6379');
  assert.equal(empty.keyring.file, './maskline.keyring.json');
  assert.equal(first(empty).source.sqs.queues[0].endpoint, null);
  assert.equal(first(empty).source.sqs.queues[0].region, 'us-east-1');
});

test('what the file says goes before the environment', () => {
  const text = `${MINIMAL}database: { url: "postgresql:///other" }\nqueue: { url: "memory://" }\nkeyring: { file: ring.json }\n`;
  const config = load(text, { ...ENV, REDIS_URL: 'redis://cache', MASKLINE_KEYRING: '/etc/ring.json' });
  assert.equal(config.database.url?.reveal(), 'postgresql:///other');
  assert.equal(config.queue.backend, 'memory');
  assert.equal(config.keyring.file, 'ring.json');
});

test('the region of a queue URL or ARN goes before the environment', () => {
  const region = (queue: string): string =>
    first(load(MINIMAL, { ...ENV, AWS_REGION: 'us-west-2', SQS_QUEUE_URL: queue })).source.sqs.queues[0]
      .region;
  assert.equal(region('https://sqs.eu-west-1.amazonaws.com/123456789012/logins'), 'eu-west-1');
  assert.equal(region('https://sqs.cn-north-1.amazonaws.com.cn/123456789012/logins'), 'cn-north-1');
  assert.equal(region('arn:aws:sqs:ap-south-1:123456789012:logins'), 'ap-south-1');
  assert.equal(region('http://localhost:4566/000000000000/logins'), 'us-west-2');
  assert.equal(region('logins.fifo'), 'us-west-2');
});

test('numbers, booleans, durations and words may all come by interpolation', () => {
  const text = `version: 1
admin: { port: "\${PORT_A}", allow_actions: "\${ACT}" }
queue: { high_water: "\${HIGH}" }
retention: { runs: "\${RUNS}" }
pipelines:
  logins:
    source: { envelope: "\${ENV_OPE}", sqs: { receivers: "\${RECEIVERS}" } }
    batch: { max_bytes: "\${BYTES}" }
    limits: { breaker: { max_rejected: "\${MANY}" } }
    columns: { ip: { from: ip, mask: { method: "\${METHOD}", pad: "\${PAD}" } } }
    target: { table: logins, create: "\${CREATE:-false}" }
`;
  const config = load(text, {
    ...ENV,
    PORT_A: '0',
    ACT: 'true',
    HIGH: '0.5',
    RUNS: '2d',
    ENV_OPE: 'sns',
    RECEIVERS: '3',
    BYTES: '2048',
    MANY: '7',
    METHOD: 'siv',
    PAD: '32',
  });
  const { source, batch, limits, policy, target } = first(config);
  assert.deepEqual(
    [config.admin.port, config.admin.allowActions, config.queue.highWater, config.retention.runsMs],
    [0, true, 0.5, 2 * 86_400_000],
  );
  assert.deepEqual(
    [
      source.opening.envelope,
      source.sqs.queues[0].receivers,
      batch.maxBytes,
      limits.breaker.maxRejected,
      target.create,
    ],
    ['sns', 3, 2048, 7, false],
  );
  assert.deepEqual(policy.columns[0]?.mask, {
    method: 'siv',
    domain: 'ip',
    as: 'text',
    pad: 32,
    lower: false,
  });
});

test('a key with nothing behind its colon counts as absent, an explicit null does not', () => {
  assert.equal(load(`${MINIMAL}admin:\nqueue:\n  prefix:\n`).queue.prefix, 'maskline');
  assert.throws(() => load(`${MINIMAL}queue: { prefix: null }\n`), /queue\.prefix: is empty/);
});

test('anchors and merge keys work as YAML users expect', () => {
  const config = load(`version: 1
pipelines:
  one: &one
    limits: &limits { in_flight: 5000, max_depth: 8 }
    columns: { id: { from: id } }
    target: { table: one }
  two: { <<: *one, limits: { <<: *limits, max_depth: 9 }, source: { sqs: { queue: two } } }
`);
  assert.deepEqual(
    config.pipelines.map(({ name, limits, policy }) => [name, limits.inFlight, policy.maxDepth]),
    [
      ['one', 5000, 8],
      ['two', 5000, 9],
    ],
  );
});

test('continuous pipelines poll long unless told otherwise', () => {
  const { schedule, source } = first(
    load(MINIMAL.replace('logins:\n', 'logins:\n    schedule: continuous\n')),
  );
  assert.deepEqual(schedule, { kind: 'continuous', timezone: 'UTC', exclusive: false, pause: [] });
  assert.equal(source.sqs.waitTimeS, 20);
});

test('a schedule may be a map of pattern and options', () => {
  const pause = '[{ from: "22:00", to: "24:00", days: "sat-mon,thu" }]';
  const map = `schedule: { cron: "0 3 * * *", timezone: Europe/Berlin, catch_up: false, pause: ${pause} }`;
  assert.deepEqual(first(load(MINIMAL.replace('logins:\n', `logins:\n    ${map}\n`))).schedule, {
    kind: 'cron',
    cron: '0 3 * * *',
    timezone: 'Europe/Berlin',
    exclusive: false,
    pause: [{ from: 1320, to: 1440, days: [0, 1, 4, 6] }],
    catchUp: false,
  });
});

test('a bare null is the mask of that name, and constants may be numbers', () => {
  const columns = `columns:
      a: { mask: { method: null } }
      b: { mask: { method: constant, value: 7 }, type: integer }
      c: { from: $attributes.trace.id }
      d: { from: $loaded_at }
      e: { from: x, mask: { method: drop } }
      f: { from: $sent_at, type: boolean, mask: { method: constant, value: true } }
      g: { from: y, mask: { method: hmac, lower: true } }`;
  const { policy } = first(load(MINIMAL.replace(/columns: .*/, () => columns)));
  assert.deepEqual(
    policy.columns.map(({ path, source, type, mask }) => [path, source, type, mask]),
    [
      ['a', { kind: 'meta', name: 'message_id' }, 'text', { method: 'null' }],
      ['b', { kind: 'meta', name: 'message_id' }, 'integer', { method: 'constant', value: '7' }],
      ['$attributes.trace.id', { kind: 'attribute', name: 'trace.id' }, 'text', { method: 'keep' }],
      ['$loaded_at', { kind: 'meta', name: 'loaded_at' }, 'timestamptz', { method: 'keep' }],
      ['x', { kind: 'field', name: 'x' }, 'text', { method: 'drop' }],
      ['$sent_at', { kind: 'meta', name: 'sent_at' }, 'boolean', { method: 'constant', value: 'true' }],
      [
        'y',
        { kind: 'field', name: 'y' },
        'text',
        { method: 'hmac', domain: 'y', as: 'text', pad: null, lower: true },
      ],
    ],
  );
});

test('only a token column that maskline creates without a type is held to varchar(256)', () => {
  const maxLength = (column: string, create: boolean): number | null | undefined =>
    first(
      load(
        MINIMAL.replace(/columns: .*/, `columns: { c: ${column} }`).replace(
          'table: logins',
          `table: t, create: ${create}`,
        ),
      ),
    ).policy.columns[0]?.maxLength;
  assert.equal(maxLength('{ from: c, mask: { method: siv } }', true), 256);
  assert.equal(maxLength('{ from: c, mask: { method: siv } }', false), null);
  assert.equal(maxLength('{ from: c, mask: { method: siv }, type: text }', true), null);
  assert.equal(maxLength('{ from: c, mask: { method: hmac }, max_length: 64 }', true), 64);
  assert.equal(maxLength('{ from: c }', true), null);
});

test('the policy hash changes with what is masked and how, and with nothing else', () => {
  const sha = (text: string): string => first(load(text)).policy.sha256;
  const base = sha(MINIMAL);
  assert.equal(sha(`# a comment\n${MINIMAL}admin: { port: 1 }\n`), base);
  assert.equal(
    sha(MINIMAL.replace('{ from: user_id }', '{ required: false, type: text, from: "user_id" }')),
    base,
  );
  assert.equal(sha(MINIMAL.replace('logins:\n', 'logins:\n    schedule: continuous\n')), base);
  const changed = [
    MINIMAL.replace('from: user_id', 'from: user_id, required: true'),
    MINIMAL.replace('from: user_id', 'from: user_id, mask: { method: siv }'),
    MINIMAL.replace('from: user_id', 'from: user_id, mask: { method: siv, domain: d }'),
    MINIMAL.replace('user_id: {', 'user: {'),
    MINIMAL.replace('logins:\n', 'logins:\n    on_reject: dlq\n'),
    MINIMAL.replace('logins:\n', 'logins:\n    limits: { max_depth: 9 }\n'),
  ].map(sha);
  assert.equal(new Set([base, ...changed]).size, changed.length + 1);
});

test('the configuration is frozen to its depth, and its URLs print as stars', () => {
  const config = load(MINIMAL);
  const assertFrozen = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    assert.ok(Object.isFrozen(value));
    Object.values(value).forEach(assertFrozen);
  };
  assertFrozen(config);
  assert.doesNotMatch(inspect(config, { depth: 20 }) + JSON.stringify(config), /app:pw/);
});

test('a missing file is a configuration error that names the way out', () => {
  assert.throws(
    () => loadConfig({ file: '/nowhere/maskline.yaml', env: {} }),
    (error) =>
      error instanceof PipelineError &&
      error.code === 'config_invalid' &&
      error.message.startsWith(
        '/nowhere/maskline.yaml:1:1 cannot be read (ENOENT); name another with --config',
      ),
  );
});

test('secrets may come from files', () => {
  const files: Readonly<{ [path: string]: string }> = {
    'maskline.yaml': `${MINIMAL}database: { url: "postgres://app:\${file:/run/secrets/pw}@db/app" }\n`,
    '/run/secrets/pw': 'hush\n',
  };
  const config = loadConfig({ file: 'maskline.yaml', env: ENV, read: (path) => files[path] ?? '' });
  assert.equal(config.database.url?.reveal(), 'postgres://app:hush@db/app');
});
