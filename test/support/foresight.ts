import type { Envelope } from '../../src/batch.js';
import type { PipelineConfig } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load.js';

/** The pipeline `events` of a file with these columns, as YAML in flow style by name, and other keys of the pipeline. */
export function pipelineWith(
  columns: Readonly<{ [name: string]: string }>,
  keys: readonly string[] = [],
): PipelineConfig {
  const yaml = [
    'version: 1',
    'database: { url: "postgres://localhost/none" }',
    'pipelines:',
    '  events:',
    '    source: { sqs: { queue: events } }',
    ...keys.map((line) => `    ${line}`),
    '    columns:',
    ...Object.entries(columns).map(([name, column]) => `      ${name}: ${column}`),
    '    target: { table: events }',
  ].join('\n');
  const [pipeline] = loadConfig({ file: 'test.yaml', env: {}, read: () => yaml }).pipelines;
  if (!pipeline) throw new TypeError('the file has one pipeline');
  return pipeline;
}

/** Messages of these bodies. */
export function messagesWith(bodies: readonly unknown[]): readonly Envelope[] {
  return bodies.map((body, i) => ({
    messageId: `m${i}`,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    sentAt: Date.UTC(2026, 0, 1),
    receivedAt: Date.UTC(2026, 0, 1),
    attributes: {},
  }));
}
