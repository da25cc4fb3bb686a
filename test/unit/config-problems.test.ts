import assert from 'node:assert/strict';
import test from 'node:test';
import { checkConfig, loadConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';
import { PipelineError } from '../../src/errors.js';

const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'logins' };

function problems(text: string, env: Readonly<{ [name: string]: string }> = ENV): readonly string[] {
  return checkConfig({ file: 'maskline.yaml', env, read: () => text }).problems.map(formatProblem);
}

test('all problems are found at once, in file order, each with its place, path and a suggestion', () => {
  const text = `version: 2
databse: { url: x }
queue: { high_water: 2, cluster: [a] }
retention: { runs: 3 weeks }
pipelines:
  User:
    columns: { a: { from: a } }
    target: { table: t }
  user_logins:
    schedule: "* * *"
    bacth: { linger: 1s }
    batch: { max_bytes: 1MB }
    limits: { max_depth: "deep", breaker: { min_mesages: 3 } }
    columns:
      masked_ip: { from: ip, mask: { metod: siv } }
      day: { from: $sent_att, type: dat }
      kept: { from: a..b }
    target: { table: a.b.c }
`;
  const queueUrls = 'must be the URL, ARN or name of an SQS queue';
  const found = problems(text);
  assert.deepEqual(found, [
    'maskline.yaml:1:10 version: must be 1, the only version of the format so far',
    'maskline.yaml:2:1 databse: unknown key; did you mean "database"?',
    'maskline.yaml:3:22 queue.high_water: must be a number from 0 to 1',
    'maskline.yaml:3:25 queue.cluster: Redis Cluster is not supported by this version of maskline',
    'maskline.yaml:4:20 retention.runs: must be a duration such as 500ms, 90s, 15m or 7d',
    'maskline.yaml:6:3 pipelines.User: a pipeline is named by 1 to 63 of a-z, 0-9, "_" and "-", not all of them digits',
    'maskline.yaml:10:15 pipelines.user_logins.schedule: must be `continuous` or a cron pattern of 5 fields, or of 6 with seconds first, such as "*/30 * * * * *"',
    'maskline.yaml:11:5 pipelines.user_logins.bacth: unknown key; did you mean "batch"?',
    'maskline.yaml:12:25 pipelines.user_logins.batch.max_bytes: must be a size such as 64KiB or 1MiB, or a number of bytes',
    'maskline.yaml:13:26 pipelines.user_logins.limits.max_depth: must be a whole number from 1 to 256',
    'maskline.yaml:13:45 pipelines.user_logins.limits.breaker.min_mesages: unknown key; did you mean "min_messages"?',
    'maskline.yaml:15:38 pipelines.user_logins.columns.masked_ip.mask.metod: unknown key; did you mean "method"?',
    'maskline.yaml:16:20 pipelines.user_logins.columns.day.from: no such source; did you mean "$sent_at"?; it must be a field or one of $message_id, $sent_at, $received_at, $loaded_at, $group_id, $sequence_number, $batch_id, $run_id, $mask_kid, $index, $attributes.NAME, $rest',
    'maskline.yaml:16:37 pipelines.user_logins.columns.day.type: must be one of text, integer, bigint, numeric, boolean, date, timestamptz, uuid, inet, jsonb, version_int, text[]; did you mean "date"?',
    'maskline.yaml:17:21 pipelines.user_logins.columns.kept.from: lacks a name behind the "." at character 2',
    'maskline.yaml:18:22 pipelines.user_logins.target.table: must be `schema.table` or `table`',
  ]);
  assert.ok(!found.some((line) => line.includes(queueUrls)));
});

test('loadConfig throws one config_invalid whose lines are the errors and no warnings', () => {
  const text = `version: 1
pipelines:
  logins:
    columns: { email: { from: email }, b: { form: b } }
    target: { table: t, craete: true }
`;
  assert.throws(
    () => loadConfig({ file: 'maskline.yaml', env: ENV, read: () => text }),
    (error) => {
      assert.ok(error instanceof PipelineError);
      assert.equal(error.code, 'config_invalid');
      assert.deepEqual(error.message.split('\n'), [
        'maskline.yaml:4:45 pipelines.logins.columns.b.form: unknown key; did you mean "from"?',
        'maskline.yaml:5:25 pipelines.logins.target.craete: unknown key; did you mean "create"?',
      ]);
      return true;
    },
  );
});

test('keys that are missing are reported where they belong', () => {
  assert.deepEqual(problems('version: 1\n'), ['maskline.yaml:1:1 pipelines: required']);
  assert.deepEqual(problems('version: 1\npipelines:\n  logins:\n    columns:\n      a: { from: a }\n', {}), [
    'maskline.yaml:1:1 database.url: required: the URL of Postgres; or set DATABASE_URL',
    'maskline.yaml:3:3 pipelines.logins.target: required',
    'maskline.yaml:3:3 pipelines.logins.source.sqs.queue: required: the URL, ARN or name of the queue; or set SQS_QUEUE_URL',
  ]);
  assert.deepEqual(problems('version: 1\npipelines: {}\n'), [
    'maskline.yaml:2:1 pipelines: at least one pipeline is needed',
  ]);
  assert.deepEqual(problems('version: 1\npipelines: { p: { columns: {}, target: { table: t } } }\n'), [
    'maskline.yaml:2:19 pipelines.p.columns: at least one column must be loaded',
  ]);
});

test('wrong shapes are reported as such, wherever they are', () => {
  const found = problems('version: 1\nadmin: 5\npipelines: { p: [], q: { columns: { c: x }, target: t } }\n');
  assert.deepEqual(found, [
    'maskline.yaml:2:8 admin: must be a map of keys and values',
    'maskline.yaml:3:14 pipelines.p: must be a map of keys and values',
    'maskline.yaml:3:40 pipelines.q.columns.c: must be a map of keys and values',
    'maskline.yaml:3:53 pipelines.q.target: must be a map of keys and values',
  ]);
  for (const text of ['- a\n', 'text\n', '5\n']) {
    assert.deepEqual(problems(text), ['maskline.yaml:1:1 must be a map of keys and values'], text);
  }
});

test('keys given twice are errors, and do not hide the others', () => {
  assert.deepEqual(problems('version: 1\nversion: 1\nadmin: { prot: 1 }\npipelines: {}\n'), [
    'maskline.yaml:2:1 this key is given twice',
    'maskline.yaml:3:10 admin.prot: unknown key; did you mean "port"?',
    'maskline.yaml:4:1 pipelines: at least one pipeline is needed',
  ]);
});

test('text that is no YAML is placed, explained and never quoted', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /^maskline.yaml:1:1 the file is empty/],
    ['# only a comment\n', /^maskline.yaml:1:1 the file is empty/],
    ['a:\n\tb: 1\n', /^maskline.yaml:2:1 indent with spaces/],
    ['a: "CANARY\n', /^maskline.yaml:2:1 something is missing/],
    ['a: [CANARY\n', /^maskline.yaml:2:1 .*bracket is not closed/],
    ['a: 1\n---\nb: 2\n', /^maskline.yaml:2:1 the file must hold a single YAML document/],
    ['a: !CANARY 1\n', /^maskline.yaml:1:4 YAML tags are not supported/],
    ['a: *CANARY\n', /^maskline.yaml:1:4 a: there is no anchor of this name above/],
    ['a: &x { b: *x }\n', /^maskline.yaml:1:12 a.b: the alias refers to something that it is part of/],
    ['database: { url: ${CANARY} }\n', /^maskline.yaml:1:19 .*values that hold \$\{…\} need quotes/],
    ['a: b: CANARY: c\n', /^maskline.yaml:1:\d+ /],
    ['? [CANARY]\n: 1\n', /^maskline.yaml:1:\d+ /],
    ['%YAML 9 CANARY\n---\na: 1\n', /^maskline.yaml:1:\d+ /],
  ];
  for (const [text, expected] of cases) {
    const found = problems(text);
    assert.match(found[0] ?? '', expected, text);
    assert.doesNotMatch(found.join('\n'), /CANARY/, text);
  }
});

test('too many aliases are refused', () => {
  const level = (name: string, of: string): string =>
    `${name}: &${name} {${'abcdefgh'.replaceAll(/./g, (key) => `${key}: *${of}, `)}}\n`;
  const text = `l0: &l0 { x: 1 }\n${[1, 2, 3, 4].map((n) => level(`l${n}`, `l${n - 1}`)).join('')}`;
  assert.deepEqual(problems(text), ['maskline.yaml:1:1 the file refers to its anchors too often']);
});

test('a variable that is not set is one problem, at its place, by its name', () => {
  const text = `version: 1
database: { url: "\${DATABASE_URL}" }
admin: { port: "\${ADMIN_PORT:?choose one}" }
pipelines:
  logins:
    source: { sqs: { queue: "\${QUEUE}" } }
    columns: { a: { from: a, mask: { method: constant, value: "\${file:/run/secrets/salt}" } } }
    target: { table: t }
`;
  const read = (path: string): string => {
    if (path === 'maskline.yaml') return text;
    throw Object.assign(new Error(path), { code: 'EACCES' });
  };
  const { config, problems: found } = checkConfig({ file: 'maskline.yaml', env: {}, read });
  assert.equal(config, null);
  assert.deepEqual(found.map(formatProblem), [
    'maskline.yaml:2:18 database.url: the environment variable DATABASE_URL is not set; set it, or write ${DATABASE_URL:-default}',
    'maskline.yaml:3:16 admin.port: the environment variable ADMIN_PORT is not set: choose one',
    'maskline.yaml:6:29 pipelines.logins.source.sqs.queue: the environment variable QUEUE is not set; set it, or write ${QUEUE:-default}',
    'maskline.yaml:7:63 pipelines.logins.columns.a.mask.value: the file /run/secrets/salt cannot be read (EACCES)',
  ]);
});

test('no message ever quotes a value, wherever it came from', () => {
  const keys = [
    'version: V',
    'database: { url: V }',
    'queue: { url: V, prefix: V, high_water: V, keep_failed: { count: V, age: V } }',
    'keyring: { file: V, kek: { type: V, path: V, key_arn: V, context: { V: V }, encrypted_kek: V } }',
    'admin: { host: V, port: V, allow_actions: V }',
    'retention: { ledger: V }',
    'startup_timeout: V',
    'pipelines:',
    '  p:',
    '    schedule: { cron: V, timezone: V, exclusive: V }',
    '    source: { envelope: V, encoding: V, records: V, sqs: { queue: V, region: V, endpoint: V, receivers: V, wait_time: V } }',
    '    batch: { max_bytes: V }',
    '    dedupe: V',
    '    limits: { in_flight: V, max_records: V, max_unpacked: V, breaker: { max_rejected: V, max_rejected_ratio: V } }',
    '    on_reject: V',
    '    columns:',
    '      a: { from: "$V", type: V, max_length: V, required: V, mask: { method: V, as: V, pad: V, lower: V, domain: V } }',
    '      b: { type: integer, mask: { method: constant, value: V } }',
    '    target: { table: V, create: V }',
  ].join('\n');
  const canary = 'canary"#/:@ 4711';
  const inline = problems(
    keys.replaceAll(/\bV\b/g, JSON.stringify(canary)).replace('"$"canary', '"$canary'),
    {},
  );
  const fromEnv = problems(keys.replaceAll('"$V"', '"$$${V}"').replaceAll(/ V\b/g, ' "${V}"'), { V: canary });
  for (const found of [inline, fromEnv]) assert.doesNotMatch(found.join('\n'), /canary|4711/);
  assert.ok(fromEnv.length > 20, `only ${fromEnv.length} problems`);
});

test('what validate prints as JSON has file, line, column, path, message and severity', () => {
  const { config, problems: found } = checkConfig({
    file: 'conf/m.yaml',
    env: ENV,
    read: () => 'version: 1\npipelines: { p: { columns: { e: { from: email } }, target: { table: t } } }\n',
  });
  assert.ok(config);
  assert.deepEqual(found, [
    {
      file: 'conf/m.yaml',
      line: 2,
      column: 30,
      path: 'pipelines.p.columns.e',
      message:
        'kept unmasked, though its source is named like personal data; give it a mask, or say `mask: { method: keep }`',
      severity: 'warning',
    },
  ]);
});
