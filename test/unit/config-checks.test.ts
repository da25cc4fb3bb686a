import assert from 'node:assert/strict';
import test from 'node:test';
import { checkConfig } from '../../src/config/load.js';

const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'logins' };

function check(text: string, env: Readonly<{ [name: string]: string }> = ENV): readonly string[] {
  const { config, problems } = checkConfig({ file: 'm.yaml', env, read: () => text });
  assert.equal(
    config === null,
    problems.some(({ severity }) => severity === 'error'),
  );
  return problems.map(({ severity, path, message }) => `${severity} ${path}: ${message}`);
}

/** Problems of one column, by the path within it. */
function ofColumn(column: string): readonly string[] {
  const text = `version: 1\npipelines: { p: { columns: { c: ${column}, z: { from: z } }, target: { table: t } } }\n`;
  return check(text).map((line) => line.replace('pipelines.p.columns.c', '').replace(' .', ' '));
}

/** Problems of one pipeline with these keys added. */
function ofPipeline(keys: string, env = ENV): readonly string[] {
  const text = `version: 1\npipelines: { p: { ${keys}, columns: { c: { from: c } }, target: { table: t } } }\n`;
  return check(text, env).map((line) => line.replace('pipelines.p.', ''));
}

function ofFile(keys: string, env: Readonly<{ [name: string]: string }> = ENV): readonly string[] {
  return check(
    `version: 1\n${keys}\npipelines: { p: { columns: { c: { from: c } }, target: { table: t } } }\n`,
    env,
  );
}

type Case = readonly [written: string, expected: RegExp];

function assertEach(cases: readonly Case[], run: (written: string) => readonly string[]): void {
  for (const [written, expected] of cases) {
    const found = run(written);
    assert.equal(found.length, 1, `${written}\n${found.join('\n')}`);
    assert.match(found[0] ?? '', expected, written);
  }
}

test('columns that contradict themselves are errors', () => {
  assertEach(
    [
      ['{ from: a, type: integer, mask: { method: siv } }', /^error type: contradicts the mask siv/],
      ['{ from: a, type: inet, mask: { method: hmac } }', /^error type: contradicts the mask hmac/],
      ['{ from: a, required: true, mask: { method: null } }', /^error required: contradicts the mask null/],
      ['{ from: a, required: true, mask: { method: drop } }', /^error required: contradicts the mask drop/],
      ['{ from: a, type: text, mask: { method: drop } }', /^error type: contradicts the mask drop/],
      ['{ from: a, max_length: 9, mask: { method: drop } }', /^error max_length: contradicts the mask drop/],
      ['{ from: a, type: integer, max_length: 9 }', /^error max_length: is for text, not for integer/],
      ['{ from: a, mask: { method: siv, as: ip, pad: 16 } }', /^error mask.pad: contradicts `as: ip`/],
      ['{ from: a, mask: { method: siv, as: ip, lower: true } }', /^error mask.lower: contradicts `as: ip`/],
      [
        '{ from: a, mask: { method: keep, domain: d } }',
        /^error mask.domain: is not an option of the mask keep/,
      ],
      ['{ from: a, mask: { method: siv, value: v } }', /^error mask.value: is not an option of the mask siv/],
      ['{ mask: { method: constant } }', /^error mask.value: required by the mask constant/],
      ['{ type: text }', /^error from: required/],
      ['{ mask: { method: siv } }', /^error from: required/],
    ],
    ofColumn,
  );
});

test('sources that are no fields have types of their own', () => {
  assertEach(
    [
      [
        '{ from: $sent_at, type: integer }',
        /^error type: \$sent_at can be timestamptz or date or text, not integer/,
      ],
      ['{ from: $loaded_at, type: text }', /^error type: \$loaded_at can be timestamptz or date, not text/],
      ['{ from: $message_id, type: bigint }', /^error type: \$message_id can be text or uuid/],
      ['{ from: $sequence_number, type: bigint }', /^error type: \$sequence_number can be text or numeric/],
      [
        '{ from: $attributes.flag, type: boolean }',
        /^error type: boolean cannot be read from a message attribute/,
      ],
      ['{ from: $sent_at, mask: { method: siv } }', /^error mask.method: \$sent_at is a time/],
      [
        '{ from: $message_id, mask: { method: siv, as: ip } }',
        /^error mask.as: \$message_id is never an IP address/,
      ],
      ['{ from: $sent_at, max_length: 40 }', /^error max_length: .*\$sent_at is a timestamptz/],
      ['{ from: $attributes. }', /^error from: no such source/],
    ],
    ofColumn,
  );
  for (const column of [
    '{ from: $sent_at, type: date }',
    '{ from: $sent_at, type: text, max_length: 40 }',
    '{ from: $message_id, mask: { method: hmac } }',
    '{ from: $sequence_number, type: numeric }',
    '{ from: $attributes.trace, type: integer }',
    '{ from: $attributes.ip, mask: { method: siv, as: ip } }',
  ]) {
    assert.deepEqual(ofColumn(column), [], column);
  }
});

test('a column that can hold no token is an error, one that holds few a warning', () => {
  assertEach(
    [
      [
        '{ from: a, max_length: 24, mask: { method: hmac } }',
        /^error max_length: no token .* 25 characters or more; allow 28/,
      ],
      [
        '{ from: a, max_length: 25, mask: { method: hmac } }',
        /^warning max_length: tokens have 28 characters/,
      ],
      [
        '{ from: a, max_length: 45, mask: { method: siv, as: ip } }',
        /^error max_length: no token .* 46 .* allow 49/,
      ],
      ['{ from: a, max_length: 46, mask: { method: siv, as: ip } }', /^warning max_length: tokens have 49/],
      [
        '{ from: a, max_length: 64, mask: { method: siv } }',
        /^warning max_length: a value of more than 27 bytes/,
      ],
      [
        '{ from: a, max_length: 64, mask: { method: siv, pad: 16 } }',
        /^warning max_length: a value of more than 15 bytes/,
      ],
      ['{ from: a, max_length: 40, mask: { method: siv, pad: 32 } }', /^error max_length: no token/],
    ],
    ofColumn,
  );
  for (const column of [
    '{ from: a, max_length: 28, mask: { method: hmac } }',
    '{ from: a, max_length: 49, mask: { method: siv, as: ip } }',
    '{ from: a, max_length: 256, mask: { method: siv } }',
  ]) {
    assert.deepEqual(ofColumn(column), [], column);
  }
});

test('a constant must be a value of its type', () => {
  const good: readonly (readonly [string, string])[] = [
    ['text', '""'],
    ['integer', '-2147483648'],
    ['bigint', '"9223372036854775807"'],
    ['numeric', '"1.50"'],
    ['boolean', 'true'],
    ['date', '"2024-02-29"'],
    ['timestamptz', '"2024-02-29T12:00:00.5+02:00"'],
    ['uuid', '"0192f0c1-2d3e-7abc-8def-0123456789ab"'],
    ['inet', '"2001:db8::1"'],
    ['jsonb', '\'{"a": [1]}\''],
    ['version_int', '2003000'],
  ];
  for (const [type, value] of good) {
    assert.deepEqual(ofColumn(`{ type: ${type}, mask: { method: constant, value: ${value} } }`), [], type);
  }
  const bad: readonly (readonly [string, string])[] = [
    ['integer', '2147483648'],
    ['integer', '"1.0"'],
    ['bigint', '"9223372036854775808"'],
    ['numeric', '"1e5"'],
    ['boolean', '"yes"'],
    ['date', '"2023-02-29"'],
    ['timestamptz', '"2024-02-29T12:00:00"'],
    ['timestamptz', '"2024-02-30T12:00:00Z"'],
    ['uuid', '"0192f0c1"'],
    ['inet', '"10.0.0.256"'],
    ['jsonb', "'{a: 1}'"],
    ['text', '"a\\0b"'],
    ['text', '1.5'],
  ];
  for (const [type, value] of bad) {
    const found = ofColumn(`{ type: ${type}, mask: { method: constant, value: ${value} } }`);
    assert.match(found.join('\n'), /^error mask\.value: [^\n]*$/, `${type} ${value}`);
  }
  assert.match(
    ofColumn('{ max_length: 2, mask: { method: constant, value: "€€€" } }').join(),
    /more than the 2 characters/,
  );
  assert.deepEqual(ofColumn('{ max_length: 3, mask: { method: constant, value: "€€€" } }'), []);
});

test('kept columns that are named like personal data are warned of, until somebody says that they are kept', () => {
  for (const name of [
    'ip',
    'client_ip',
    'clientIp',
    'email',
    'Email_Address',
    'name',
    'deviceId',
    'device_id',
    'ssn',
    'phone',
  ]) {
    assert.match(ofColumn(`{ from: ${name} }`).join(), /^warning : kept unmasked/, name);
    assert.deepEqual(ofColumn(`{ from: ${name}, mask: { method: keep } }`), [], name);
    assert.deepEqual(ofColumn(`{ from: ${name}, mask: { method: siv } }`), [], name);
  }
  for (const name of [
    'user_id',
    'app_name',
    'ship',
    'locale',
    'zip',
    'description',
    'device_type',
    'recipe',
  ]) {
    assert.deepEqual(ofColumn(`{ from: ${name} }`), [], name);
  }
});

test('version_int says that it is lossy', () => {
  assert.match(ofColumn('{ from: v, type: version_int }').join(), /^warning type: version_int is lossy/);
});

test('what this version does not support is refused, never ignored', () => {
  assertEach(
    [
      ['source: { envelope: s3 }', /^error source.envelope: needs source.s3/],
      ['source: { s3: { buckets: [] } }', /^error source.s3.buckets: must be a list of buckets/],
      ['source: { s3: { buckets: [A] } }', /^error source.s3.buckets: "A" is no name of a bucket/],
      [
        'source: { s3: { buckets: [mine], endpoint: nowhere } }',
        /^error source.s3.endpoint: must be a URL that begins with http/,
      ],
      ['source: { s3: { buckets: [mine] }, envelope: none }', /^warning source.s3: has no use/],
      [
        'source: { encoding: lz4 }',
        /^error source.encoding: must be one of auto, none, base64, gzip, deflate, zstd/,
      ],
      ['source: { records: ndjson }', /^error source.records: must be one of auto, one, array, lines/],
      ['dedupe: event_id', /^error dedupe: must be \$message_id/],
    ],
    ofPipeline,
  );
  assertEach(
    [['queue: { cluster: ["redis://a:1"] }', /^error queue.cluster: .*not supported by this version/]],
    ofFile,
  );
});

test('schedules and queues are checked as far as they can be without a connection', () => {
  assertEach(
    [
      ['schedule: "61 * * * *"', /^error schedule: must be `continuous` or a cron pattern/],
      ['schedule: continous', /^error schedule: must be `continuous`/],
      [
        'schedule: { cron: "* * * * *", pause: [{ from: "25:00", to: "06:00" }] }',
        /^error schedule.pause.0.from: must be a time of day/,
      ],
      [
        'schedule: { cron: "* * * * *", pause: [{ from: "22:00", to: "06:00", days: mon-fry }] }',
        /^error schedule.pause.0.days: must name days/,
      ],
      [
        'schedule: { cron: "* * * * *", pause: [{ from: "06:00", to: "06:00" }] }',
        /^error schedule.pause.0.to: is the same as `from`/,
      ],
      [
        'schedule: { cron: continuous, pause: [{ from: "00:00", to: "12:00" }, { from: "11:00", to: "00:00" }] }',
        /^error schedule.pause: leaves no time to run/,
      ],
      ['schedule: { cron: "* * * * *", timezone: Mars/Base }', /^error schedule.timezone: no such time zone/],
      ['schedule: { corn: "* * * * *" }', /^error schedule.corn: unknown key; did you mean "cron"/],
      ['source: { sqs: { queue: "a queue" } }', /^error source.sqs.queue: must be the URL, ARN or name/],
      [
        'source: { sqs: { queue: "https://sqs.eu-west-1.amazonaws.com/" } }',
        /^error source.sqs.queue: must be the URL/,
      ],
      ['source: { sqs: { endpoint: "localhost:4566" } }', /^error source.sqs.endpoint: must be a URL/],
      [
        'source: { sqs: { queue: "arn:aws:sqs:eu-west-1:123456789012:q", region: us-east-1 } }',
        /^error source.sqs.region: contradicts the queue, which is in eu-west-1/,
      ],
      [
        'source: { sqs: { receivers: 65 } }',
        /^error source.sqs.receivers: must be a whole number from 1 to 64/,
      ],
      ['source: { sqs: { wait_time: 21s } }', /^error source.sqs.wait_time: must be from 0ms to 20s/],
      ['source: { sqs: { wait_time: 1500ms } }', /^error source.sqs.wait_time: must be whole seconds/],
      ['source: { sqs: { wait_time: 0s } }', /^warning source.sqs.wait_time: receives that do not wait/],
      [
        'source: { sqs: { visibility_timeout: 13h } }',
        /^error source.sqs.visibility_timeout: must be from 2s to 12h/,
      ],
      ['source: { sqs: { visibility_timeout: 2s } }', /^warning source.sqs.visibility_timeout: below 10s/],
      ['limits: { in_flight: 120001 }', /^error limits.in_flight: must be a whole number from 1 to 120000/],
      ['limits: { in_flight: 500 }', /^warning limits.in_flight: is below batch.max_messages/],
      ['limits: { in_flight_bytes: 512KiB }', /^warning limits.in_flight_bytes: is below batch.max_bytes/],
      ['limits: { residence: 4m }', /^warning limits.residence: is below source.sqs.visibility_timeout/],
      ['limits: { residence: 12h }', /^error limits.residence: must be from 1s to 11h/],
      [
        'limits: { breaker: { max_rejected_ratio: 1.5 } }',
        /^error limits.breaker.max_rejected_ratio: must be a number/,
      ],
    ],
    ofPipeline,
  );
  const schedules = [
    '"* * * * *"',
    '"*/5 * * * * *"',
    'continuous',
    '{ cron: "@hourly", timezone: Europe/Berlin }',
    '{ cron: continuous, exclusive: true, pause: [{ from: "22:00", to: "06:00", days: "fri-mon, wed" }] }',
  ];
  for (const schedule of schedules) assert.deepEqual(ofPipeline(`schedule: ${schedule}`), [], schedule);
});

test('a pipeline without a queue, and one whose residence ends before its linger, cannot start', () => {
  const { SQS_QUEUE_URL: _queue, ...env } = ENV;
  const text = 'version: 1\npipelines: { p: { columns: { c: { from: c } }, target: { table: t } } }\n';
  assert.deepEqual(check(text, env), [
    'error pipelines.p.source.sqs.queue: required: the URL, ARN or name of the queue; or set SQS_QUEUE_URL',
  ]);
  assert.match(check(text, { ...ENV, SQS_QUEUE_URL: 'a b' }).join(), /SQS queue \(from SQS_QUEUE_URL\)/);
  const short = ofPipeline(
    'batch: { linger: 1m }, limits: { residence: 30s }, source: { sqs: { visibility_timeout: 20s } }',
  );
  assert.deepEqual(short, [
    'error limits.residence: must be longer than batch.linger, or batches are let go before they are sent',
  ]);
});

test('`fifo: block` is for FIFO queues, and holds what `on_reject: dlq` would let go', () => {
  const source = 'source: { sqs: { queue: orders.fifo } }';
  assert.deepEqual(ofPipeline(`${source}, fifo: block`), []);
  const cases: readonly Case[] = [
    ['fifo: block', /^error fifo: `block` needs FIFO queues, whose names end with \.fifo/],
    ['source: { sqs: { queues: [a.fifo, b] } }, fifo: block', /^error fifo: `block` needs FIFO queues/],
    [`${source}, fifo: block, on_reject: dlq`, /^error on_reject: `dlq` contradicts `fifo: block`/],
    ['fifo: hold', /^error fifo: /],
  ];
  assertEach(cases, ofPipeline);
});

test('a batch waits a second for more, and 50 ms on a FIFO queue, where its groups wait for it', () => {
  const lingerOf = (queue: string, batch = '{}'): number | undefined => {
    const text = `version: 1\npipelines: { p: { source: { sqs: { queue: '${queue}' } }, batch: ${batch}, columns: { c: { from: c } }, target: { table: t } } }\n`;
    return checkConfig({ file: 'm.yaml', env: ENV, read: () => text }).config?.pipelines[0]?.batch.lingerMs;
  };
  assert.equal(lingerOf('orders'), 1_000);
  for (const queue of [
    'orders.fifo',
    'arn:aws:sqs:eu-west-1:000000000000:orders.fifo',
    'https://sqs.eu-west-1.amazonaws.com/000000000000/orders.fifo',
  ]) {
    assert.equal(lingerOf(queue), 50);
    assert.equal(lingerOf(queue, '{ linger: 2s }'), 2_000);
  }
});

test('connection URLs must have a scheme that maskline speaks', () => {
  assertEach(
    [
      ['database: { url: "mysql://h/d" }', /^error database.url: must be a URL that begins with postgres:/],
      ['database: { url: "postgres://u:p%@h:port/d" }', /^error database.url: must be a URL/],
      ['queue: { url: "http://h" }', /^error queue.url: must be a URL that begins with redis:/],
      ['queue: { url: "127.0.0.1:6379" }', /^error queue.url: must be a URL/],
      ['queue: { high_water: 0 }', /^error queue.high_water: must be above 0/],
      ['queue: { high_water: 0.95 }', /^warning queue.high_water: leaves Redis little room/],
      [
        'queue: { keep_failed: { age: 16d } }',
        /^error queue.keep_failed.age: must not be longer than retention/,
      ],
      ['queue: { prefix: "a:b" }', /^error queue.prefix: must be 1 to 64 letters/],
      ['keyring: { kek: { type: file } }', /^error keyring.kek.path: required/],
      ['keyring: { kek: { path: /k } }', /^error keyring.kek.path: is an option of `type: file`/],
      ['keyring: { kek: { type: aws-kms } }', /^error keyring.kek.key_arn: required by `type: aws-kms`/],
      [
        'keyring: { kek: { type: file, path: /k, context: { a: b } } }',
        /^error keyring.kek.context: is an option of `type: aws-kms`, and the type is file/,
      ],
      [
        'keyring: { kek: { type: aws-kms, key_arn: "arn:aws:s3:::bucket" } }',
        /^error keyring.kek.key_arn: must be the ARN of a KMS key/,
      ],
      ['retention: { ledger: 7d }', /^warning retention.ledger: below 15d/],
    ],
    ofFile,
  );
  assert.match(ofFile('', { ...ENV, REDIS_URL: 'tcp://h' }).join(), /memory:\/\/ \(from REDIS_URL\)/);
  assert.match(ofFile('', { ...ENV, DATABASE_URL: 'h/d' }).join(), /\(from DATABASE_URL\)/);
  const urls = [
    'redis://:pw@h:1/2',
    'rediss://h',
    'postgres://h/d',
    'postgresql:///d?host=/run',
    'memory://',
  ];
  for (const url of urls) assert.deepEqual(ofFile(`queue: { url: "${url}" }`), [], url);
});

test('targets are schema.table or table, and never in the schema of maskline', () => {
  const target = (table: string): readonly string[] =>
    check(`version: 1\npipelines: { p: { columns: { c: { from: c } }, target: { table: "${table}" } } }\n`);
  assert.match(target('a.b.c').join(), /must be `schema.table` or `table`/);
  assert.match(target('maskline.runs').join(), /holds maskline's own tables/);
  assert.match(target('a.').join(), /a name must begin with a letter/);
  assert.match(target('x'.repeat(64)).join(), /at most 63 bytes/);
  assert.match(target('é'.repeat(32)).join(), /at most 63 bytes/);
  assert.deepEqual(target('audit.logins'), []);
});

test('pipelines that cannot go well together are warned of', () => {
  const found = check(`version: 1
pipelines:
  one:
    columns: { a: { from: a, mask: { method: siv, domain: d } } }
    target: { table: one }
  two:
    source: { sqs: { queue: two } }
    columns:
      b: { from: b, mask: { method: siv, domain: d, lower: true } }
      c: { from: c, mask: { method: hmac, domain: d, lower: true } }
    target: { table: two }
`);
  assert.deepEqual(found, [
    'warning pipelines.two.columns.b.mask: shares its domain with one.a, but not as, pad and lower: equal values get different tokens',
  ]);
});

test('several queues are a list of their names, each once, and each with a share of what may be in flight', () => {
  const sqs = (rest: string): string => `source: { sqs: { ${rest} } }`;
  assert.deepEqual(ofPipeline(sqs('queues: [a, b.fifo, "arn:aws:sqs:us-east-1:000000000000:c"]')), []);
  const cases: readonly Case[] = [
    [sqs('queue: a, queues: [b, c]'), /^error source\.sqs\.queue: contradicts `queues`/],
    [sqs('queues: []'), /^error source\.sqs\.queues: must be a list of queues/],
    [sqs('queues: a'), /^error source\.sqs\.queues: must be a list of queues/],
    [sqs('queues: [a, a]'), /^error source\.sqs\.queues: names "a" twice/],
    [sqs('queues: [a, "b c"]'), /^error source\.sqs\.queues: "b c" is not the URL, ARN or name/],
    [
      sqs('region: eu-west-1, queues: [a, "arn:aws:sqs:us-east-1:000000000000:c"]'),
      /^error source\.sqs\.region: contradicts the queue/,
    ],
    [
      sqs(`queues: [${Array.from({ length: 33 }, (_, n) => `q${n}`).join()}]`),
      /^error source\.sqs\.queues: holds 33 queues, and 32 are the most/,
    ],
    [
      `${sqs('queues: [a, b, c]')}, batch: { max_messages: 1 }, limits: { in_flight: 2 }`,
      /^error limits\.in_flight: must be at least 3/,
    ],
  ];
  assertEach(cases, ofPipeline);
});

/** Two pipelines, with these keys. */
function ofTwo(one: string, two: string): readonly string[] {
  const rest = 'columns: { c: { from: c } }, target: { table: t }';
  const found = check(`version: 1\npipelines: { one: { ${one}, ${rest} }, two: { ${two}, ${rest} } }\n`);
  return found.map((line) => line.replace('pipelines.', ''));
}

const ROUTES = [
  'route: { from: kind, equals: [a, 1] }',
  'route: { from: $attributes.kind, equals: [a], default: true }',
];

test('pipelines that share a queue say by route whose a record is, and are received for in one way', () => {
  const [one = '', two = ''] = ROUTES;
  assert.deepEqual(ofTwo(one, two), []);
  assert.deepEqual(ofTwo('source: { sqs: { queue: a } }', 'source: { sqs: { queue: b } }'), []);
  assert.deepEqual(ofPipeline(one), []);
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      'fifo: skip',
      'fifo: skip',
      /^error two\.source\.sqs\.queue: holds a queue of one too: .* give both a `route`/,
    ],
    [one, 'fifo: skip', /^error two\.source\.sqs\.queue: holds a queue of one too/],
    [one, `${two}, source: { envelope: sns }`, /^error two\.source: differs from that of one/],
    [one, `${two}, limits: { max_records: 5 }`, /^error two\.source: differs from that of one/],
    [one, `${two}, schedule: continuous`, /^error two\.(source|schedule): differs/],
    [
      `${one}, source: { sqs: { queues: [a, b] } }`,
      `${two}, source: { sqs: { queue: b } }`,
      /^error two\.source: differs from that of one/,
    ],
    [`${one}, schedule: '* * * * *'`, two, /^error two\.schedule: differs from that of one/],
    [
      one,
      'route: { from: kind, equals: [b, 1] }',
      /^error two\.route\.equals: "1" is a value of one already/,
    ],
    [
      'route: { default: true }',
      'route: { default: true }',
      /^error two\.route\.default: pipeline one is the default of this queue already/,
    ],
  ];
  for (const [first, second, expected] of cases)
    assert.match(ofTwo(first, second)[0] ?? '', expected, second);
  const exclusive = "schedule: { cron: '* * * * *', exclusive: true }";
  assert.match(
    ofTwo(`${one}, ${exclusive}`, `${two}, ${exclusive}`)[0] ?? '',
    /exclusive: cannot be had with `route`/,
  );
});

test('a route leads to one value, and says which', () => {
  const cases: readonly Case[] = [
    ['route: {}', /^error route: needs `from` and `equals`, or `default: true`/],
    ['route: { from: a }', /^error route: needs `from` and `equals`/],
    ['route: { equals: [a], default: true }', /^error route: needs `from` and `equals`/],
    ['route: { from: "a[*].b", equals: [a] }', /^error route\.from: must lead to one value/],
    ['route: { from: $message_id, equals: [a] }', /^error route\.from: must be a path into the body/],
    ['route: { from: $attributes., equals: [a] }', /^error route\.from: lacks the name of the attribute/],
    ['route: { from: "a..b", equals: [a] }', /^error route\.from: lacks a name behind the "\."/],
  ];
  assertEach(cases, ofPipeline);
});
