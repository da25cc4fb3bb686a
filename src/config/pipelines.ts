import { type TablePolicy, policySha256 } from '../masking/methods.js';
import { allColumns } from '../masking/parts.js';
import type { PipelineConfig } from './config.js';
import type { Environment } from './interpolation.js';
import { readPart } from './issues.js';
import { type PipelineInput, pipelineShellSchema } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';
import { buildSchedule } from './schedule.js';
import { buildRoute } from './routes.js';
import { buildS3 } from './s3-buckets.js';
import { FIFO_SUFFIX, buildSqs } from './sqs-queue.js';
import { type TableConfig, buildTables } from './tables.js';

// It is part of queue names, metric labels and primary keys.
const PIPELINE_NAME = /^(?=.*[a-z_-])[a-z0-9_-]{1,63}$/;

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
  const tables = buildTables(data, { at, folder }, findings);
  if (input === null) return null;
  const schedule = buildSchedule(input.schedule, [...at, 'schedule'], findings);
  const sqs = buildSqs(input.source.sqs, schedule, [...at, 'source', 'sqs'], env, findings);
  const isFifo = (sqs?.queues ?? []).map(({ queue }) => queue.endsWith(FIFO_SUFFIX));
  const lingerMs = input.batch.linger ?? (isFifo.includes(true) ? FIFO_LINGER_MS : LINGER_MS);
  checkLimits(input, lingerMs, at, findings);
  if (sqs !== null) {
    checkFifo(input, !isFifo.includes(false), at, findings);
    checkShares(input, isFifo.length, at, findings);
  }
  const s3 = buildS3(input.source, sqs?.queues[0] ?? null, [...at, 'source'], env, findings);
  const [own, ...further] = tables ?? [];
  if (!named || own === undefined || sqs === null) return null;
  return {
    name,
    schedule,
    source: { sqs, s3, opening: openingOf(input) },
    route: buildRoute(name, input.route, [...at, 'route'], findings),
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
    policy: policyOf(name, input, [own, ...further], folder),
    fifo: input.fifo,
    leakGate: input.leak_gate,
    target: own.target,
    further: further.map(({ target }) => target),
  };
}

function policyOf(
  pipeline: string,
  input: PipelineInput,
  [own, ...further]: readonly [TableConfig, ...TableConfig[]],
  folder: string,
): PipelineConfig['policy'] {
  const policy = {
    pipeline,
    columns: own.columns,
    ...(further.length === 0 ? {} : { several: { table: nameOf(own), further: further.map(tablePolicyOf) } }),
    maxDepth: input.limits.max_depth,
    maxBody: input.limits.max_body,
    onUnknownField: input.on_unknown_field,
    onReject: input.on_reject,
  };
  const hasFiles = allColumns(policy).some(({ mask }) => mask.method === 'custom');
  return { ...policy, sha256: policySha256(policy), ...(hasFiles ? { folder } : {}) };
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

function nameOf({ target }: TableConfig): string {
  return `${target.schema}.${target.table}`;
}

function tablePolicyOf(table: TableConfig): TablePolicy {
  return { table: nameOf(table), columns: table.columns, each: table.each };
}

function checkFifo(input: PipelineInput, isFifo: boolean, at: Path, findings: Findings): void {
  if (input.fifo !== 'block') return;
  if (!isFifo) {
    const message =
      '`block` needs FIFO queues, whose names end with .fifo: on any other no message waits for another';
    findings.error([...at, 'fifo'], message);
  }
  if (input.on_reject === 'dlq') {
    const message =
      '`dlq` contradicts `fifo: block`: what is held goes to no dead-letter queue of its own, nor to quarantine';
    findings.error([...at, 'on_reject'], message);
  }
}

/** Each queue has an equal share of what may be in flight. */
function checkShares({ limits }: PipelineInput, queues: number, at: Path, findings: Findings): void {
  if (limits.in_flight >= queues) return;
  const message = `must be at least ${queues}, one message of each queue`;
  findings.error([...at, 'limits', 'in_flight'], message);
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
