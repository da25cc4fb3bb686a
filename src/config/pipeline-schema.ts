import { z } from 'zod';
import { columnSchema } from './column-schema.js';
import { listOf } from './mask-schema.js';
import { choice, duration, flag, integer, ratio, scalar, size, text } from './scalars.js';
import { scheduleMap, scheduleText } from './schedule-schema.js';
import { tableSchema, targetSchema } from './target-schema.js';

// SQS hides at most 120,000 messages of a standard queue at a time.
const MOST_IN_FLIGHT = 120_000;

const sqs = z.strictObject({
  queue: text('URL, ARN or name of the SQS queue. Without it and `queues`, `SQS_QUEUE_URL`.').optional(),
  queues: listOf(
    'Instead of `queue`: several that are read into this pipeline, each a URL, ARN or name. Each has its own receivers, and an equal share of `limits.in_flight` and `limits.in_flight_bytes`.',
    'queues',
  ).optional(),
  region: text(
    'AWS region. Without it, the region of the queue URL or ARN, `AWS_REGION`, `AWS_DEFAULT_REGION`, then `us-east-1`.',
    /^[a-z]{2}(-[a-z]+)+-[0-9]+$/,
    'must be a region such as eu-west-1',
  ).optional(),
  endpoint: text(
    "URL of an SQS endpoint other than the region's own. Without it, `AWS_ENDPOINT_URL_SQS`.",
  ).optional(),
  receivers: integer(
    'Receive calls that run in parallel at each queue, at most: under `continuous` one waits, and others join it while there is more than it can take.',
    1,
    64,
  ).prefault(8),
  wait_time: duration(
    'How long one receive waits for messages, in whole seconds. Default 1s, under `schedule: continuous` 20s, where a `drain` still waits 1s.',
    '0s',
    '20s',
  ).optional(),
  visibility_timeout: duration(
    'How long a received message stays hidden from others, in whole seconds. It is extended while the ingester holds the message.',
    '2s',
    '12h',
  ).prefault('5m'),
  transport: choice(
    'How messages are received and deleted: `lean` signs and sends these calls itself, at a fraction of the CPU, with the region, endpoint, credentials and retries that the AWS SDK resolves; `sdk` leaves them to the AWS SDK.',
    ['lean', 'sdk'],
  ).prefault('lean'),
});

const s3 = z.strictObject({
  buckets: listOf(
    'Buckets that messages may point to. A message that points to any other is rejected as `bad_envelope`.',
    'buckets',
  ),
  region: text('AWS region of the buckets. Without it, that of the queue.').optional(),
  endpoint: text(
    "URL of an S3 endpoint other than the region's own. Without it, `AWS_ENDPOINT_URL_S3`.",
  ).optional(),
  force_path_style: flag('Whether the bucket stands in the path of URLs, as emulators want it.').prefault(
    false,
  ),
});

const source = z.strictObject({
  sqs: sqs.meta({ description: 'The SQS queue, or queues, that are read.' }).prefault({}),
  s3: s3.optional().meta({
    description:
      'Follows messages that point to S3: events of new objects, whose lines are the records, and large messages of the Extended Client Library.',
  }),
  envelope: choice(
    'What the event is wrapped in: `auto` unwraps SNS and EventBridge envelopes, and follows what points to S3 if `source.s3` is set, where it sees one; `none` takes bodies as they are.',
    ['auto', 'none', 'sns', 'eventbridge', 's3'],
  ).prefault('auto'),
  encoding: choice(
    'What the text of the event stands for, all but `none` in base64: `auto` decodes what begins like gzip, zlib, zstd or a JSON object or array.',
    ['auto', 'none', 'base64', 'gzip', 'deflate', 'zstd'],
  ).prefault('auto'),
  records: choice(
    'How a message holds its events: `one`, an `array` of them, or `lines` (NDJSON). `auto` takes apart arrays that are empty or begin with an object, and lines that are JSON objects.',
    ['auto', 'one', 'array', 'lines'],
  ).prefault('auto'),
});

const route = z.strictObject({
  from: text(
    'Where a record says whose it is: a path into the body, as in a column, or `$attributes.NAME`.',
  ).optional(),
  equals: listOf(
    'The values there, of which each takes a record to this pipeline: texts, or what JSON prints of numbers and booleans.',
    'values',
  ).optional(),
  default: flag(
    'Whether this pipeline takes what is in no `equals`; without one, that is rejected as `no_route`.',
  ).prefault(false),
});

const batch = z.strictObject({
  max_messages: integer(
    'A batch holds so many messages at most, of many records each so many records, or a single message that holds more.',
    1,
    10_000,
  ).prefault(1000),
  max_bytes: size(
    'A batch holds so many bytes of bodies, unpacked, at most, or a single larger message.',
    '1KiB',
    '64MiB',
  ).prefault('1MiB'),
  linger: duration(
    'A batch that is not full waits so long for more messages; under `continuous` one that comes after a quiet time goes at once. Default 1s, and 50ms on a FIFO queue, where a group waits for its batch.',
    '0s',
    '1m',
  ).optional(),
});

const concurrency = z.strictObject({
  transform: integer('Batches that one process masks at once. Without it, `-j`, or 2.', 1, 64).optional(),
  load: integer('Transactions of one process at once. Without it, `-j`, or 2.', 1, 64).optional(),
});

const maxRejected = scalar(
  'The breaker trips when more records than this were quarantined; null sets no such limit.',
  {
    anyOf: [
      { type: ['integer', 'null'], minimum: 0 },
      { type: 'string', pattern: '^[0-9]+$|\\$\\{' },
    ],
  },
  (given) => {
    const value = typeof given === 'string' && /^[0-9]{1,15}$/.test(given) ? Number(given) : given;
    if (value === null) return { value };
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? { value }
      : { wrong: 'must be a whole number from 0, or null' };
  },
);

const breaker = z.strictObject({
  max_rejected_ratio: ratio('The breaker trips when a larger share of the records was quarantined.').prefault(
    0.5,
  ),
  min_messages: integer('The share counts once so many messages were received.', 1, 1_000_000_000).prefault(
    100,
  ),
  max_rejected: maxRejected.prefault(null),
});

const limits = z.strictObject({
  in_flight: integer('Messages that one ingester holds at most.', 1, MOST_IN_FLIGHT).prefault(20_000),
  in_flight_bytes: size('Bytes of bodies that one ingester holds at most.', '64KiB', '16GiB').prefault(
    '64MiB',
  ),
  residence: duration(
    'A batch that has no fate for so long is let go, and SQS delivers it again.',
    '1s',
    '11h',
  ).prefault('15m'),
  max_depth: integer('A body nested deeper than this is rejected as `too_deep`.', 1, 256).prefault(32),
  max_body: size('A body larger than this is rejected as `too_large`.', '1B', '16MiB').prefault('1MiB'),
  // All rows of a message are in one batch, which must fit in a job.
  max_records: integer('A message of more records than this is rejected as `too_large`.', 1, 50_000).prefault(
    10_000,
  ),
  max_unpacked: size(
    'A body that is encoded and unpacks to more than this is rejected as `too_large`.',
    '1KiB',
    '32MiB',
  ).prefault('4MiB'),
  breaker: breaker
    .meta({ description: 'Stops receiving when too much is rejected, within a run or the last 5 minutes.' })
    .prefault({}),
});

const columns = z.record(z.string(), columnSchema);

/** One entry of `pipelines`. */
export const pipelineSchema = z
  .strictObject({
    schedule: z
      .union([scheduleText, scheduleMap.meta({ description: 'A cron pattern and how it is read.' })])
      .optional()
      .meta({
        description:
          'When the queue is drained: a cron pattern, `continuous`, or a map of `cron` and options.',
      }),
    source: source.meta({ description: 'Where messages come from.' }).prefault({}),
    route: route.optional().meta({
      description: 'Which records of a queue are its own, where several pipelines share the queue.',
    }),
    batch: batch
      .meta({ description: 'How messages are put together: whatever limit is reached first.' })
      .prefault({}),
    dedupe: choice(
      'What makes a record the same as another. Only `$message_id` is supported by this version.',
      ['$message_id'],
    ).prefault('$message_id'),
    concurrency: concurrency
      .meta({ description: 'How much of a process the pipeline may take; each has its own share.' })
      .prefault({}),
    limits: limits.meta({ description: 'What a pipeline may hold and accept.' }).prefault({}),
    on_reject: choice(
      'Where a record goes that cannot be loaded: `quarantine` in Postgres, or `dlq`, the dead-letter queue by the redrive policy of the SQS queue.',
      ['quarantine', 'dlq'],
    ).prefault('quarantine'),
    fifo: choice(
      'What a record that cannot be loaded does to its group on a FIFO queue: `skip` quarantines it and the group goes on; `block` loads nothing of the group from its message on, and SQS delivers that again.',
      ['skip', 'block'],
    ).prefault('skip'),
    on_unknown_field: choice(
      'What happens to a field that no column names, also within an object of which columns name others: `drop` counts and forgets it, `quarantine` rejects the record.',
      ['drop', 'quarantine'],
    ).prefault('drop'),
    leak_gate: flag(
      'Whether masked batches are searched for the raw values that were masked, and stopped as `leak_found` where one is found.',
    ).prefault(false),
    columns: columns
      .meta({
        description:
          'The columns of the table, by name, in COPY order. A column that is not listed keeps its default. Needed unless there are `targets`.',
      })
      .optional(),
    target: targetSchema
      .meta({ description: 'The table that rows go to. Needed unless there are `targets`.' })
      .optional(),
    targets: z
      .array(
        tableSchema.extend({
          columns: columns.meta({ description: 'The columns of this table, as those of the pipeline.' }),
        }),
      )
      .meta({
        description:
          'Instead of `columns` and `target`: the tables that rows of a record go to, all in one transaction, in this order. The first has a row for each record.',
      })
      .optional(),
  })
  .meta({ description: 'A queue, the masks of its fields, and a table.' });

/** A pipeline without a look at its tables and their columns, which are judged one by one. */
export const pipelineShellSchema = pipelineSchema.extend({
  columns: z.unknown().optional(),
  target: z.unknown().optional(),
  targets: z.unknown().optional(),
});

/** What the file says of a pipeline outside of its tables, with defaults. */
export type PipelineInput = z.output<typeof pipelineShellSchema>;
