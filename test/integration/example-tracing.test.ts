// examples/tracing as users switch it on: three processes, each of which sends its spans to a collector by itself.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { Seen } from '../support/queue.js';
import { PIPELINE, type Stack, startStack } from '../support/stack.js';

const EXAMPLE = join(
  dirname(fileURLToPath(new URL('../../../package.json', import.meta.url))),
  'examples/tracing/tracing.mjs',
);
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PRODUCER = '00f067aa0ba902b7';
const MESSAGES = 5;
const ROLES = ['ingest', 'transform', 'load'] as const;

/** A span as OTLP over HTTP carries it in JSON (opentelemetry-proto, trace.proto), as far as it is looked at. */
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { readonly key: string; readonly value: unknown }[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

interface Arrived extends OtlpSpan {
  readonly service: string;
}

let stack: Stack;
let collector: Server;
const spans = new Seen<Arrived>();
const texts: string[] = [];
before(async () => {
  stack = await startStack();
  collector = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      texts.push(text);
      for (const { resource, scopeSpans } of (JSON.parse(text) as Export).resourceSpans) {
        const name = resource.attributes.find(({ key }) => key === 'service.name');
        const service = JSON.stringify(name?.value);
        for (const span of scopeSpans.flatMap((scope) => scope.spans)) spans.push({ ...span, service });
      }
      response.setHeader('content-type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
});
after(async () => {
  await stack.stop();
  collector.closeAllConnections();
  collector.close();
});

test('one trace leads from the message in SQS through three processes to COPY, and carries no value', async () => {
  const deployment = await stack.deployment({
    ddl: `create table public.${PIPELINE} (event_id varchar(32) not null, device varchar(256) not null)`,
    file: { metrics: { emf: true } },
    pipeline: { schedule: '* * * * * *', columns: SMALL_COLUMNS },
  });
  const address = collector.address();
  assert.ok(typeof address === 'object' && address !== null);
  const start = (role: (typeof ROLES)[number]) =>
    deployment.start(role, {
      env: {
        NODE_OPTIONS: `--import ${EXAMPLE}`,
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${address.port}`,
        OTEL_SERVICE_NAME: `maskline-${role}`,
      },
    });
  const processes = ROLES.map(start);
  await deployment.sendMessages(
    smallEvents(MESSAGES, 0).bodies.map((body) => ({
      body,
      attributes: { traceparent: `00-${TRACE}-${PRODUCER}-01` },
    })),
  );
  await deployment.countUntil(`public.${PIPELINE}`, (rows) => rows === MESSAGES);
  for (const process of processes) process.signal('SIGTERM');
  const results = await Promise.all(processes.map(({ ended }) => ended));
  for (const { code, stderr } of results) assert.equal(code, 0, stderr);
  // All have ended, so all has been sent.
  const [copy] = await spans.take(1, ({ name }) => name === 'COPY');
  assert.ok(copy);
  assert.equal(copy.traceId, TRACE);
  const path: Arrived[] = [copy];
  for (let span = copy; span.parentSpanId !== undefined && span.parentSpanId !== PRODUCER;) {
    const parent = spans.all.find(({ spanId }) => spanId === span.parentSpanId);
    assert.ok(parent, `the parent of ${span.name} is missing`);
    path.unshift(parent);
    span = parent;
  }
  assert.equal(path[0]?.parentSpanId, PRODUCER);
  assert.deepEqual(
    path.map(({ name, service }) => [name, service]),
    [
      [`ingest ${PIPELINE}`, '{"stringValue":"maskline-ingest"}'],
      [`transform ${PIPELINE}`, '{"stringValue":"maskline-transform"}'],
      [`load ${PIPELINE}`, '{"stringValue":"maskline-load"}'],
      ['COPY', '{"stringValue":"maskline-load"}'],
    ],
  );
  // What it had counted is in the last line of each, for CloudWatch.
  const figures = results.flatMap(({ rows }) => rows.map((row) => Number(row['RowsLoaded'])));
  assert.equal(
    figures.reduce((sum, rows) => sum + rows, 0),
    MESSAGES,
  );
  const deleted = spans.all.find(({ name }) => name === `delete ${PIPELINE}`);
  assert.equal(deleted?.traceId, TRACE);
  assert.doesNotMatch(texts.join(''), /device-\d|event-\d/);
});
