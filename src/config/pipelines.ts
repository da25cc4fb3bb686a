import { type ColumnSpec, policySha256 } from '../masking/methods.js';
import { needsKeyId } from '../masking/parts.js';
import { columnSchema } from './column-schema.js';
import { type ColumnSetting, buildColumn } from './columns.js';
import type { PipelineConfig } from './config.js';
import { withCutOuts } from './cut-outs.js';
import type { Environment } from './interpolation.js';
import { entriesOf, readPart, valueAt } from './issues.js';
import { type PipelineInput, pipelineShellSchema } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';
import { buildSchedule } from './schedule.js';
import { buildS3 } from './s3-buckets.js';
import { buildSqs } from './sqs-queue.js';
import { buildTarget } from './target.js';

// It is part of queue names, metric labels and primary keys.
const PIPELINE_NAME = /^(?=.*[a-z_-])[a-z0-9_-]{1,63}$/;

// SQS has no other name for a FIFO queue.
const FIFO_SUFFIX = '.fifo';
const LINGER_MS = 1_000;
// A FIFO group hands out its next messages, ten at most, when those before are loaded and deleted.
const FIFO_LINGER_MS = 50;

/** One pipeline of the file in that folder, or null with everything that is wrong with it reported. */
export function buildPipeline(
  name: string,
  data: unknown,
  { env, folder }: { readonly env: Environment; readonly folder: string },
  findings: Findings,
): PipelineConfig | null {
  const at = ['pipelines', name];
  const named = PIPELINE_NAME.test(name);
  if (!named) {
    findings.error(at, 'a pipeline is named by 1 to 63 of a-z, 0-9, "_" and "-", not all of them digits');
  }
  const input = readPart(pipelineShellSchema, data, at, findings);
  const created = input?.target.create ?? valueAt(data, ['target', 'create']) === true;
  const columns = buildColumns(
    valueAt(data, ['columns']),
    { at: [...at, 'columns'], created, folder },
    findings,
  );
  if (input === null) return null;
  const target = buildTarget(input.target, columns, [...at, 'target'], findings);
  const schedule = buildSchedule(input.schedule, [...at, 'schedule'], findings);
  const sqs = buildSqs(input.source.sqs, schedule, [...at, 'source', 'sqs'], env, findings);
  const isFifo = sqs?.queue.endsWith(FIFO_SUFFIX) === true;
  const lingerMs = input.batch.linger ?? (isFifo ? FIFO_LINGER_MS : LINGER_MS);
  checkLimits(input, lingerMs, at, findings);
  if (sqs !== null) checkFifo(input, isFifo, at, findings);
  const s3 = buildS3(input.source, sqs, [...at, 'source'], env, findings);
  if (!named || columns === null || target === null || sqs === null) return null;
  const policy = {
    pipeline: name,
    columns,
    maxDepth: input.limits.max_depth,
    maxBody: input.limits.max_body,
    onUnknownField: input.on_unknown_field,
    onReject: input.on_reject,
  };
  const hasFiles = columns.some(({ mask }) => mask.method === 'custom');
  return {
    name,
    schedule,
    source: { sqs, s3, opening: openingOf(input) },
    batch: {
      maxMessages: input.batch.max_messages,
      maxBytes: input.batch.max_bytes,
      lingerMs,
    },
    concurrency: {
      transform: input.concurrency.transform ?? null,
      load: input.concurrency.load ?? null,
    },
    limits: limitsOf(input.limits),
    policy: { ...policy, sha256: policySha256(policy), ...(hasFiles ? { folder } : {}) },
    fifo: input.fifo,
    leakGate: input.leak_gate,
    target,
  };
}

function openingOf({ source, limits }: PipelineInput): PipelineConfig['source']['opening'] {
  return {
    envelope: source.envelope,
    encoding: source.encoding,
    records: source.records,
    maxRecords: limits.max_records,
    maxUnpackedBytes: limits.max_unpacked,
    ...(source.s3 === undefined ? {} : { buckets: source.s3.buckets }),
  };
}

function limitsOf(limits: PipelineInput['limits']): PipelineConfig['limits'] {
  return {
    inFlight: limits.in_flight,
    inFlightBytes: limits.in_flight_bytes,
    residenceMs: limits.residence,
    breaker: {
      maxRejectedRatio: limits.breaker.max_rejected_ratio,
      minMessages: limits.breaker.min_messages,
      maxRejected: limits.breaker.max_rejected,
    },
  };
}

function buildColumns(
  data: unknown,
  setting: ColumnSetting,
  findings: Findings,
): readonly ColumnSpec[] | null {
  const { at } = setting;
  const entries = entriesOf(data);
  const columns = entries.map(([name, written]) => {
    const path = [...at, name];
    const input = readPart(columnSchema, written, path, findings);
    return input === null ? null : buildColumn(name, input, { ...setting, at: path }, findings);
  });
  const sound = columns.filter((column) => column !== null);
  if (sound.length < columns.length) return null;
  if (sound.every((column) => column.mask.method === 'drop')) {
    // A missing `columns` has been reported with the rest of the pipeline.
    if (typeof data === 'object') findings.error(at, 'at least one column must be loaded');
    return null;
  }
  return hasKeyIds(sound, at, findings) ? withCutOuts(sound, at, findings) : null;
}

/** Without its key id, what keeps the format can't be undone, nor brought to another key. */
function hasKeyIds(columns: readonly ColumnSpec[], at: Path, findings: Findings): boolean {
  const keeping = columns.find(({ mask }) => needsKeyId(mask));
  const hasKid = columns.some(
    ({ source, mask }) => source.kind === 'meta' && source.name === 'mask_kid' && mask.method === 'keep',
  );
  if (keeping === undefined || hasKid) return true;
  findings.error(
    [...at, keeping.name, 'mask', 'method'],
    `the results of ${keeping.mask.method} carry no key id: add a column for it, such as \`mask_kid: { from: $mask_kid, type: integer }\``,
  );
  return false;
}

function checkFifo(input: PipelineInput, isFifo: boolean, at: Path, findings: Findings): void {
  if (input.fifo !== 'block') return;
  if (!isFifo) {
    const message =
      '`block` needs a FIFO queue, whose name ends with .fifo: on any other no message waits for another';
    findings.error([...at, 'fifo'], message);
  }
  if (input.on_reject === 'dlq') {
    const message =
      '`dlq` contradicts `fifo: block`: what is held goes to no dead-letter queue of its own, nor to quarantine';
    findings.error([...at, 'on_reject'], message);
  }
}

function checkLimits(
  { batch, limits, source }: PipelineInput,
  lingerMs: number,
  at: Path,
  findings: Findings,
): void {
  const warn = (key: string, message: string): void => findings.warn([...at, 'limits', key], message);
  if (limits.in_flight < batch.max_messages)
    warn('in_flight', 'is below batch.max_messages: batches never become full');
  if (limits.in_flight_bytes < batch.max_bytes) {
    warn('in_flight_bytes', 'is below batch.max_bytes: batches never become full');
  }
  if (limits.residence < source.sqs.visibility_timeout) {
    warn(
      'residence',
      'is below source.sqs.visibility_timeout: slow batches are let go sooner than they need be',
    );
  }
  if (limits.residence <= lingerMs) {
    findings.error(
      [...at, 'limits', 'residence'],
      'must be longer than batch.linger, or batches are let go before they are sent',
    );
  }
}
