import { z } from 'zod';
import { databaseSchema, sentinelSchema, tlsSchema } from './connection-schema.js';
import { notifySchema } from './notify.js';
import { pipelineSchema } from './pipeline-schema.js';
import { choice, duration, flag, integer, ratio, scalar, text } from './scalars.js';

const keepFailed = z.strictObject({
  count: integer('So many failed jobs at most are kept per queue.', 0, 1_000_000).prefault(1000),
  age: duration(
    'Failed jobs are kept so long; older ones go when the next one fails.',
    '1m',
    '365d',
  ).prefault('7d'),
});

const queue = z.strictObject({
  url: text(
    'Where batches wait between the stages: `redis://user:password@host:6379/0`, `rediss://` with TLS, `postgres://` as `database.url`, or `memory://` for a single process. Without it, `REDIS_URL`, then `redis://127.0.0.1:6379`.',
  ).optional(),
  owner_url: text(
    'With `postgres://`: who owns the tables of the queue. `maskline migrate` uses it; without it, `url`.',
  ).optional(),
  tls: tlsSchema
    .meta({ description: 'TLS to the server of the queue: with `rediss://`, or with `postgres://`.' })
    .optional(),
  sentinel: sentinelSchema
    .meta({
      description:
        'Redis Sentinel tells which server is the primary. Of `url` it leaves user, password, database and scheme; its host and port are not used.',
    })
    .optional(),
  prefix: text(
    'Prefix of all keys in Redis; with `postgres://`, the tables are in the schema `<prefix>_queue`. Deployments that share a server need different ones.',
    /^[A-Za-z0-9_-]{1,64}$/,
    'must be 1 to 64 letters, digits, "_" or "-"',
  ).prefault('maskline'),
  high_water: ratio(
    'Receiving pauses while Redis uses more than this share of its `maxmemory`, or of 1GiB when that is 0.',
  ).prefault(0.6),
  keep_failed: keepFailed
    .meta({ description: 'How many failed jobs are kept, and for how long.' })
    .prefault({}),
});

const kek = z.strictObject({
  type: choice(
    'Where the key-encryption key comes from: `env` reads `MASKLINE_KEK`, `file` reads `path`, `aws-kms` has the AWS Key Management Service decrypt it once at each start.',
    ['env', 'file', 'aws-kms'],
  ).prefault('env'),
  path: text('With `type: file`: a file of mode 0600 that holds the base64 of 32 bytes.').optional(),
  key_arn: text(
    'With `type: aws-kms`: the ARN of the key that decrypts; no other one is asked. Its region is where KMS is.',
    /^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:(key|alias)\/[A-Za-z0-9/_-]+$/,
    'must be the ARN of a KMS key or alias: arn:aws:kms:REGION:ACCOUNT:key/ID',
  ).optional(),
  context: z
    .record(z.string().min(1), text('A value of the encryption context.'))
    .meta({
      description:
        'With `type: aws-kms`: the encryption context, which KMS checks and writes into its log. Without it, that of the keyring.',
    })
    .optional(),
  encrypted_kek: text(
    'With `type: aws-kms`: the encrypted key, in base64, over the one that the keyring file holds.',
    /^[A-Za-z0-9+/]{40,}={0,2}$/,
    'must be base64',
  ).optional(),
});

const keyring = z.strictObject({
  file: text(
    'The keyring, relative to the working directory. Without it, `MASKLINE_KEYRING`, then `./maskline.keyring.json`.',
  ).optional(),
  kek: kek.meta({ description: 'The key that encrypts the keyring.' }).prefault({}),
});

const admin = z.strictObject({
  host: text('Address of the HTTP endpoints. `HOST` goes before it.').prefault('127.0.0.1'),
  port: integer(
    'Port of the HTTP endpoints of `run all` and `run admin`, 0 for any free one. `PORT` goes before it.',
    0,
    65_535,
  ).prefault(9090),
  allow_actions: flag(
    'Whether the admin pages may act on jobs. In this version they only show, whatever it says.',
  ).prefault(false),
  metrics_public: flag(
    'Whether `/metrics` needs no credentials on an address that is not loopback.',
  ).prefault(false),
});

const retention = z.strictObject({
  ledger: duration(
    'How long the ledger remembers what was settled: a day longer than any queue keeps its messages, which is 14 days at most.',
    '1d',
    '3650d',
  ).prefault('15d'),
  runs: duration('How long reports of runs and batches are kept.', '1d', '3650d').prefault('90d'),
  replayed_quarantine: duration(
    'How long a quarantined record is kept after its replay.',
    '0s',
    '3650d',
  ).prefault('30d'),
});

const reveal = z.strictObject({
  rate: integer('So many values a minute at most one database user may reveal.', 1, 1_000_000).prefault(1000),
  quota: integer(
    'Above so many values, in a request or in a day (UTC), another database user must approve.',
    1,
    1_000_000,
  ).prefault(1000),
});

const health = z.strictObject({
  max_lag: duration(
    'How long messages may wait, beyond the time to the next slot of the schedule, before `status` calls the pipeline unhealthy.',
    '1s',
    '7d',
  ).prefault('15m'),
});

const metrics = z.strictObject({
  emf: flag(
    'Whether each process writes a line a minute for each pipeline to stdout, in the embedded metric format of Amazon CloudWatch.',
  ).prefault(false),
});

const version = scalar(
  'Version of this file format: 1.',
  { anyOf: [{ const: 1 }, { type: 'string', pattern: '^1$|\\$\\{' }] },
  (value) =>
    value === 1 || value === '1'
      ? { value: 1 as const }
      : { wrong: 'must be 1, the only version of the format so far' },
);

/** The whole of maskline.yaml, as far as one key can be judged without the others. */
export const configSchema = z
  .strictObject({
    version,
    database: databaseSchema
      .meta({ description: 'The Postgres that rows, ledger and quarantine go to.' })
      .prefault({}),
    queue: queue.meta({ description: 'The queue between the stages.' }).prefault({}),
    keyring: keyring.meta({ description: 'The keys that values are masked with.' }).prefault({}),
    admin: admin.meta({ description: 'The admin page.' }).prefault({}),
    retention: retention.meta({ description: 'How long maskline keeps its own records.' }).prefault({}),
    reveal: reveal
      .meta({ description: 'Limits of `maskline reveal`; `maskline migrate` puts them in force.' })
      .prefault({}),
    startup_timeout: duration(
      'How long a start waits for Postgres, the queue and SQS before it ends with exit code 3.',
      '1s',
      '1h',
    ).prefault('60s'),
    health: health.meta({ description: 'What counts as healthy.' }).prefault({}),
    notify: notifySchema
      .meta({ description: 'Whom the admin role, and `run all`, tell of what needs a person.' })
      .prefault({}),
    metrics: metrics.meta({ description: 'Metrics besides `/metrics`.' }).prefault({}),
    pipelines: z.record(z.string(), pipelineSchema).meta({
      description: 'One entry per pipeline, by name: a queue, the masks of its fields, and a table.',
    }),
  })
  .meta({ title: 'maskline.yaml', description: 'Configuration of maskline.' });

/** The file without a look at its pipelines, which are judged one by one so that one slip hides no other. */
export const shellSchema = configSchema.extend({ pipelines: z.record(z.string(), z.unknown()) });

/** What the file says outside of its pipelines, with defaults. */
export type ShellInput = z.output<typeof shellSchema>;
