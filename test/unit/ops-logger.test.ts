import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { logEvents } from '../../src/ops/event-log.js';
import { EventBus } from '../../src/ops/events.js';
import { type LogFields, errorFields } from '../../src/ops/log-fields.js';
import { type Logger, createLogger } from '../../src/ops/logger.js';

const counts = {
  received: 10,
  loaded: 7,
  duplicates: 1,
  quarantined: 2,
  released: 0,
  bytes: 900,
  copies: 1,
};

const CANARY = '199.172.111.135';

function setUp(pretty = false): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  const stream = { write: (line: string) => void lines.push(line) };
  return { log: createLogger({ level: 'debug', base: { role: 'load' }, pretty, stream }), lines };
}

function parsed(line: string | undefined): { readonly [field: string]: unknown } {
  const value: unknown = JSON.parse(line ?? '');
  assert.ok(typeof value === 'object' && value !== null);
  return { ...value };
}

test('a committed batch is one JSON line with its ids, its counts and its times', () => {
  const { log, lines } = setUp();
  const events = new EventBus();
  logEvents(events, log, { remedyOf: () => '' });
  events.emit('batch_loaded', {
    pipeline: 'logins',
    batchId: 'b1',
    runId: 'r1',
    table: 'public.user_logins',
    lagMs: 5,
    ...counts,
    ms: { ledger: 1, copy: 2, total: 4 },
    codes: { bad_ip: 2 },
  });
  assert.equal(lines.length, 1);
  const { time, pid, ...line } = parsed(lines[0]);
  assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(pid, process.pid);
  assert.deepEqual(line, {
    level: 'info',
    role: 'load',
    event: 'batch_loaded',
    pipeline: 'logins',
    run_id: 'r1',
    batch_id: 'b1',
    ...counts,
    codes: { bad_ip: 2 },
    ms: { ledger: 1, copy: 2, total: 4 },
  });
});

test('a field that is not on the list is left out of the line', () => {
  const { log, lines } = setUp();
  const carrier = { event: 'job_failed', body: CANARY, error: undefined, payload: { ip: CANARY } };
  const fields: LogFields = carrier;
  log.warn(fields);
  assert.doesNotMatch(lines.join(''), /199\.172/);
  assert.match(lines.join(''), /job_failed/);
});

test('an error of a driver is logged by class and place, never by its text, detail, where or stack', () => {
  const { log, lines } = setUp();
  const error = Object.assign(
    new RangeError(`Failing row contains (${CANARY})\n    at x (src/${CANARY}.js:1:1)`),
    {
      detail: `Key (ip)=(${CANARY}) already exists.`,
      where: `COPY user_logins, line 1: "${CANARY}"`,
      code: '23505',
    },
  );
  log.error({ event: 'job_failed', error });
  const text = lines.join('');
  assert.doesNotMatch(text, /199\.172/);
  const fields = errorFields(error);
  assert.equal(fields['code'], 'unexpected');
  assert.equal(fields['class'], 'RangeError');
});

test('the place of an unknown error is taken from its frames, not from a text that looks like one', () => {
  const error = new TypeError(`${CANARY}\n    at x (/src/${CANARY}.js:1:1)`);
  const frames =
    '    at commit (file:///app/dist/src/load/postgres.js:12:5)\n' +
    '    at node:internal/process/task_queues:95:5\n' +
    '    at async /app/dist/src/pipeline.js:80:3';
  error.stack = `TypeError: ${error.message}\n${frames}`;
  assert.deepEqual(errorFields(error)['at'], ['src/load/postgres.js:12:5', 'src/pipeline.js:80:3']);
  error.stack = `Other: ${error.message}\n${frames}`;
  assert.deepEqual(errorFields(error)['at'], [], 'a header that is not known is not cut off by guess');
});

test('a PipelineError is logged with code and message, its causes by class and system code only', () => {
  const cause = Object.assign(new Error(`connect to ${CANARY}`, { cause: new TypeError(CANARY) }), {
    code: 'ECONNREFUSED',
  });
  const error = new PipelineError('redis_unavailable', 'Redis does not answer', { cause });
  assert.deepEqual(errorFields(error), {
    code: 'redis_unavailable',
    message: 'Redis does not answer',
    causes: ['Error ECONNREFUSED', 'TypeError'],
  });
});

test('names and codes of errors that are no identifiers are not logged', () => {
  const named = Object.assign(new Error('x'), { name: `${CANARY} !` });
  const coded = Object.assign(new Error('x'), { code: CANARY });
  assert.equal(errorFields(named)['class'], 'Error');
  assert.deepEqual(errorFields(new PipelineError('unexpected', 'm', { cause: coded }))['causes'], ['Error']);
  assert.equal(errorFields(CANARY)['class'], 'string');
});

test('an outage is said when it begins and every 30 s, not at each try', () => {
  const { log, lines } = setUp();
  const events = new EventBus();
  let now = 1_000;
  logEvents(events, log, { remedyOf: () => 'bring it back', now: () => now });
  for (const at of [1_000, 1_100, 30_999, 31_000]) {
    now = at;
    events.emit('outage_waiting', { code: 'postgres_unavailable' });
  }
  events.emit('outage_waiting', { code: 'redis_unavailable' });
  assert.deepEqual(
    lines.map((line) => parsed(line)['code']),
    ['postgres_unavailable', 'postgres_unavailable', 'redis_unavailable'],
  );
  assert.equal(parsed(lines[0])['remedy'], 'bring it back');
});

test('what needs attention is a warning with what to do, and a run that succeeds is not', () => {
  const { log, lines } = setUp();
  const events = new EventBus();
  logEvents(events, log, { remedyOf: (code) => `remedy of ${code}` });
  const sums = { received: 5, loaded: 5, duplicates: 0, quarantined: 0, released: 0 };
  const run = {
    ...sums,
    runId: 'r',
    pipeline: 'logins',
    trigger: 'drain',
    startedAt: 10,
    finishedAt: 30,
  } as const;
  events.emit('run_finished', { ...run, state: 'succeeded' });
  events.emit('run_finished', { ...run, state: 'failed' });
  const job = { pipeline: 'logins', stage: 'load', batchId: 'b', code: 'table_unfit', attempt: 1 } as const;
  events.emit('job_failed', { ...job, final: false });
  events.emit('job_failed', { ...job, final: true });
  events.emit('batch_let_go', { pipeline: 'logins', batchId: 'b', runId: 'r', records: 5 });
  events.emit('receipt_lost', { pipeline: 'logins', receipts: 2 });
  events.emit('schedule_overlap', { pipeline: 'logins', at: 1 });
  events.emit('batch_masked', {
    pipeline: 'logins',
    batchId: 'b',
    runId: 'r',
    rows: 1,
    rejected: 0,
    ms: 1,
    fieldsDropped: 0,
    masked: {},
    normalized: {},
  });
  assert.deepEqual(
    lines.map((line) => [parsed(line)['level'], parsed(line)['event']]),
    [
      ['info', 'run_finished'],
      ['warn', 'run_finished'],
      ['warn', 'job_failed'],
      ['error', 'job_failed'],
      ['warn', 'batch_let_go'],
      ['warn', 'receipt_lost'],
      ['info', 'schedule_overlap'],
      ['debug', 'batch_masked'],
    ],
  );
  assert.equal(parsed(lines[0])['ms'], 20);
  assert.equal(parsed(lines[3])['remedy'], 'remedy of table_unfit');
});

test('on a terminal a line is for people: time, level, event and fields, no JSON', () => {
  const { log, lines } = setUp(true);
  log.info({ event: 'batch_loaded', pipeline: 'logins', loaded: 7 }, 'committed');
  log.info({ event: 'ready' });
  assert.match(
    lines[0] ?? '',
    /^\[\d\d:\d\d:\d\d\] INFO: batch_loaded: committed \{"pipeline":"logins","loaded":7\}\n$/,
  );
  assert.match(lines[1] ?? '', /^\[\d\d:\d\d:\d\d\] INFO: ready\n$/);
});
