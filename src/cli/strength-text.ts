import { type ColumnStrength, maskStrengths } from '../foresight/strength.js';
import { type SampleStrength, sampleStrength } from '../foresight/anonymity.js';
import { messagesOf, readSample } from '../foresight/sample-file.js';
import { systemClock } from '../clock.js';
import type { Config } from '../config/config.js';
import { selectPipelines } from '../roles/deployment.js';
import { prepareOpening } from '../source/unwrap.js';
import type { CliContext } from './context.js';
import { rehearsalKeyring } from './offline.js';
import type { Row } from './output.js';

/** How strong the masks are, by the policy and, with a sample, by what they make of it. */
export interface StrengthReport {
  readonly columns: readonly ColumnStrength[];
  readonly samples: readonly SampleStrength[];
}

const PERCENT = 100;

/** Judges the masks of the pipelines; each of them masks the sample, if there is one. Throws `usage` or `key_unavailable`. */
export async function reportStrength(
  context: CliContext,
  config: Config,
  sampleFile: string | undefined,
): Promise<StrengthReport> {
  const pipelines = selectPipelines(config, context.pipelines);
  const judged = pipelines.map((pipeline) => ({ pipeline, columns: maskStrengths(pipeline.policy) }));
  const columns = judged.flatMap((one) => one.columns);
  if (sampleFile === undefined) return { columns, samples: [] };
  const messages = messagesOf(await readSample(sampleFile, process.stdin));
  const keyring = await rehearsalKeyring(context, config, false);
  await prepareOpening();
  const samples = judged.map((one) =>
    sampleStrength(one.pipeline, one.columns, keyring, systemClock, messages),
  );
  return { columns, samples };
}

/** The report as one JSON object. */
export function strengthRow({ columns, samples }: StrengthReport): Row {
  return {
    mask_strength: columns.map((column) => ({ ...column })),
    ...(samples.length === 0
      ? {}
      : {
          sample: samples.map((sample) => ({
            ...sample,
            counts: sample.counts.map((count) => ({ ...count })),
            leaks: sample.leaks.map((leak) => ({ ...leak })),
            small_spaces: sample.small_spaces.map((one) => ({ ...one })),
          })),
        }),
  };
}

/** The report for people. */
export function strengthText({ columns, samples }: StrengthReport): string {
  const pipelines = [...new Set(columns.map(({ pipeline }) => pipeline))];
  const lines = pipelines.flatMap((pipeline) => {
    const own = columns.filter((column) => column.pipeline === pipeline);
    const sample = samples.find((one) => one.pipeline === pipeline);
    return [
      `Mask strength of ${pipeline}`,
      ...own.filter(({ exposure, method }) => method !== 'keep' && exposure !== 'none').flatMap(maskedLines),
      ...keptLines(own),
      ...(sample ? sampleLines(sample) : []),
    ];
  });
  return lines.join('\n');
}

function maskedLines({ column, method, space, found_by, leaks }: ColumnStrength): readonly string[] {
  return [
    `  ${column}: ${method}`,
    `    found by: ${found_by}`,
    ...(space === null ? [] : [`    values to try: ${space}`]),
    `    shows: ${leaks.join(', ')}`,
  ];
}

function keptLines(columns: readonly ColumnStrength[]): readonly string[] {
  const named = (exposure: ColumnStrength['exposure']): string =>
    columns
      .filter((column) => column.exposure === exposure && column.method === 'keep')
      .map(({ column }) => column)
      .join(', ');
  const [identifiers, quasi] = [named('identifier'), named('quasi_identifier')];
  return [
    ...(identifiers === '' ? [] : [`  kept and identifying: ${identifiers}`]),
    ...(quasi === '' ? [] : [`  kept quasi-identifiers, which together may identify: ${quasi}`]),
  ];
}

function sampleLines(sample: SampleStrength): readonly string[] {
  const { rows, quarantined, counts, quasi_identifiers: quasi, k, share_below_5: share, leaks } = sample;
  const { small_spaces: spaces } = sample;
  return [
    `  sample: ${rows} rows, ${quarantined} quarantined`,
    ...counts.map(
      ({ column, values, nulls, distinct }) =>
        `    ${column}: ${distinct} different of ${values} values, ${nulls} nulls`,
    ),
    ...(k === null || share === null
      ? ['    no quasi-identifiers among the columns']
      : [
          `    k-anonymity over ${quasi.join(', ')}: the smallest group has ${k} rows; ` +
            `${(share * PERCENT).toFixed(1)} % of rows are in groups below 5`,
        ]),
    ...spaces.map(
      ({ column, space }) =>
        `    ${column}: the values look like one of ${space}: whoever holds the key can try them all`,
    ),
    ...leaks.map(
      (leak) =>
        `    LEAK: ${leak.column} holds values of the field that ${leak.masked} masks, in ${leak.rows} rows`,
    ),
  ];
}
