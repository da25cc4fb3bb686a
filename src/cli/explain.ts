import { systemClock } from '../clock.js';
import type { Config } from '../config/config.js';
import { PipelineError } from '../errors.js';
import {
  type ColumnChange,
  type ColumnSide,
  type Explanation,
  explain as explainSides,
} from '../foresight/explanation.js';
import type { RejectionCount } from '../foresight/preview.js';
import type { Keyring } from '../masking/keyring.js';
import { selectPipelines } from '../roles/deployment.js';
import { prepareOpening } from '../source/unwrap.js';
import type { CliContext, Command } from './context.js';
import { exitCode } from './exit.js';
import { readOfflineConfig, rehearsalKeyring } from './offline.js';
import { messagesOfFile, messagesOfQueue } from './samples.js';

interface ExplainOptions {
  readonly against: string;
  readonly sample?: number;
  readonly sampleFile?: string;
  readonly throwawayKey?: boolean;
}

const DEFAULT_SAMPLE = 100;

/** `explain`: what the other configuration would make of the same messages, compared with this one. */
export const explain: Command<ExplainOptions> = async (context, options) => {
  const { against, sample, sampleFile, throwawayKey = false } = options;
  if (sample !== undefined && sampleFile !== undefined) {
    throw new PipelineError('usage', 'give either --sample N or --sample-file FILE');
  }
  const readsQueue = sampleFile === undefined;
  const config = readOfflineConfig(context, { readsQueue });
  const other = readOfflineConfig(context, { file: against, readsQueue });
  const pipelines = selectPipelines(config, context.pipelines);
  const given = sampleFile === undefined ? null : await messagesOfFile(context, sampleFile);
  const keyring = await rehearsalKeyring(context, config, throwawayKey);
  await prepareOpening();
  const otherKeyring = await keyringOf(context, { config, other }, keyring, throwawayKey);
  for (const pipeline of pipelines) {
    const fresh = other.pipelines.find(({ name }) => name === pipeline.name);
    if (!fresh) {
      context.out.note(`${against} has no pipeline ${pipeline.name}: its queue would no longer be read.`);
      continue;
    }
    const messages = given ?? (await messagesOfQueue(context, pipeline, sample ?? DEFAULT_SAMPLE));
    const sides = [
      { pipeline, keyring },
      { pipeline: fresh, keyring: otherKeyring },
    ] as const;
    print(context, explainSides(...sides, systemClock, messages));
  }
  for (const { name } of other.pipelines) {
    if (!config.pipelines.some((pipeline) => pipeline.name === name))
      context.out.note(`${against} has a pipeline ${name} that ${context.configFile} has not.`);
  }
  return exitCode.ok;
};

/** The keyring of the other configuration, which most often is the same one. */
async function keyringOf(
  context: CliContext,
  { config, other }: { readonly config: Config; readonly other: Config },
  keyring: Keyring,
  throwaway: boolean,
): Promise<Keyring> {
  const isSame = throwaway || JSON.stringify(config.keyring) === JSON.stringify(other.keyring);
  return isSame ? keyring : rehearsalKeyring(context, other, false);
}

function print({ out }: CliContext, explanation: Explanation): void {
  const { pipeline, records, loaded_before, loaded_after, columns, differences } = explanation;
  if (out.json) {
    out.text(JSON.stringify(explanation));
    return;
  }
  out.text(`${pipeline}: of ${records} records, ${loaded_before} are loaded now, ${loaded_after} would be`);
  for (const text of differences) out.text(`  ${text}`);
  printRejections(out, 'newly quarantined', explanation.newly_quarantined);
  printRejections(out, 'newly accepted, rejected now', explanation.newly_accepted);
  const changed = columns.filter(({ change, values_changed }) => change !== 'same' || values_changed > 0);
  if (changed.length === 0) out.text('  no column changes');
  for (const column of changed) printColumn(out, column);
}

function printRejections(out: CliContext['out'], what: string, rejections: readonly RejectionCount[]): void {
  for (const { code, path, records } of rejections) {
    out.text(`  ${what}: ${records} records, ${code}${path === null ? '' : ` at ${path}`}`);
  }
}

function printColumn(out: CliContext['out'], column: ColumnChange): void {
  out.text(`  ${column.column}: ${column.change}, ${column.values_changed} values change`);
  for (const text of column.differences) out.text(`    ${text}`);
  if (column.breaks_equality)
    out.text('    equal values will no longer look equal to those of rows that are loaded already');
  out.text(`    ${sideText(column.before)} -> ${sideText(column.after)}`);
}

function sideText(side: ColumnSide | null): string {
  if (side === null) return 'nothing';
  const shapes = side.shapes.map(({ shape, count }) => `${shape} x${count}`).join('; ');
  return `${side.distinct} different values, ${side.nulls} nulls (${shapes})`;
}
