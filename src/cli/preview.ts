import type { Envelope } from '../batch.js';
import { systemClock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { type ColumnPreview, type Preview, preview as previewOf } from '../foresight/preview.js';
import type { ShapeCount } from '../foresight/shape.js';
import { checkSchema } from '../load/migrate.js';
import { selectPipelines } from '../roles/deployment.js';
import { recordPreview } from '../roles/quarantine-audit.js';
import { prepareOpening } from '../source/unwrap.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openAuditLog, openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { readOfflineConfig, rehearsalKeyring } from './offline.js';
import { type Row, renderTable } from './output.js';
import { type UnsealOptions, unsealReason } from './quarantine-selection.js';
import { messagesOfFile, messagesOfQueue } from './samples.js';
import { printable } from './unsealed.js';

interface PreviewOptions extends UnsealOptions {
  readonly sample?: string;
  readonly fromQueue?: number;
  readonly throwawayKey?: boolean;
}

/** Puts on record whose messages are shown. */
type Recorder = (pipeline: PipelineConfig, messages: readonly Envelope[]) => Promise<void>;

/** Enough to see a pattern; who wants to see more looks at the messages themselves. */
const EXAMPLES = 5;

/** `preview`: what the masks make of messages, by column. Values are shown as shapes, unless they are unsealed. */
export const preview: Command<PreviewOptions> = async (context, options) => {
  const { sample, fromQueue, throwawayKey = false } = options;
  const reason = unsealReason(options);
  if ((sample === undefined) === (fromQueue === undefined)) {
    throw new PipelineError('usage', 'give either --sample FILE or --from-queue N: the messages to look at');
  }
  const isUnsealed = reason !== null;
  const config = readOfflineConfig(context, { readsQueue: fromQueue !== undefined, records: isUnsealed });
  const pipelines = selectPipelines(config, context.pipelines);
  const keyring = await rehearsalKeyring(context, config, throwawayKey);
  await prepareOpening();
  const given = sample === undefined ? null : await messagesOfFile(context, sample);
  const look = async (record: Recorder | null): Promise<number> => {
    for (const pipeline of pipelines) {
      const messages = given ?? (await messagesOfQueue(context, pipeline, fromQueue ?? 0));
      // Nothing is shown that is not on record.
      await record?.(pipeline, messages);
      print(context, previewOf(pipeline, keyring, systemClock, messages, record ? EXAMPLES : 0), isUnsealed);
    }
    return exitCode.ok;
  };
  if (!isUnsealed) return look(null);
  const deployment = openDeployment(context, 'cli', config);
  // Before any message is received that could not be shown.
  return withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    return look(({ name }, messages) => {
      const records = Math.min(EXAMPLES, messages.length);
      return recordPreview(pool, openAuditLog(context), { reason, records, pipelines: [name] });
    });
  });
};

function print({ out }: CliContext, shown: Preview, isUnsealed: boolean): void {
  if (out.json) {
    const columns = shown.columns.map((column) => columnRow(column, isUnsealed));
    out.text(printable(JSON.stringify({ ...shown, columns })));
    return;
  }
  out.text(
    `${shown.pipeline}: ${shown.records} records, ${shown.rows} would be rows, ${shown.quarantined} quarantined`,
  );
  for (const [table, count] of Object.entries(shown.further_rows ?? {}))
    out.text(`  ${count} rows of ${table}`);
  const rows = shown.columns.map(({ column, from, method, values, distinct, before, after }): Row => ({
    column,
    from,
    mask: method,
    values,
    distinct,
    before: shapesText(before),
    after: shapesText(after),
  }));
  out.text(renderTable(rows, ['column', 'from', 'mask', 'values', 'distinct', 'before', 'after']));
  if (isUnsealed) for (const column of shown.columns) printExamples(out, column);
  if (shown.rejections.length > 0) {
    const rejected = shown.rejections.map((one): Row => ({ ...one }));
    out.text(`\n${renderTable(rejected, ['code', 'path', 'records'])}`);
  }
  if (shown.dropped_fields.length > 0) {
    const dropped = shown.dropped_fields.map(({ field, records }) => `${field} (${records})`);
    out.text(printable(`\nIn no column, and dropped: ${dropped.join(', ')}`));
  }
}

function printExamples(out: CliContext['out'], { column, examples }: ColumnPreview): void {
  for (const { before, after } of examples) {
    out.text(printable(`  ${column}: ${JSON.stringify(before) ?? 'null'} -> ${JSON.stringify(after)}`));
  }
}

function columnRow({ examples, ...column }: ColumnPreview, isUnsealed: boolean): object {
  return isUnsealed ? { ...column, examples } : column;
}

function shapesText(shapes: readonly ShapeCount[]): string {
  return shapes.map(({ shape, count }) => `${shape} x${count}`).join('; ');
}
