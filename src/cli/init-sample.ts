import { systemClock } from '../clock.js';
import { checkConfig } from '../config/load.js';
import { PipelineError } from '../errors.js';
import { valuesOf } from '../foresight/column-types.js';
import { type SampledFields, fieldsOf } from '../foresight/fields.js';
import { proposeColumn } from '../foresight/proposal.js';
import { type ProposedColumn, columnsYaml, nameColumns } from '../foresight/proposal-text.js';
import { type Outcome, rehearse } from '../foresight/rehearsal.js';
import { type Sample, messagesOf, readSample } from '../foresight/sample-file.js';
import { throwawayKeyring } from '../foresight/test-keyring.js';
import { initTemplate } from '../config/template.js';
import { prepareOpening } from '../source/unwrap.js';
import { withoutServers } from './offline.js';
import type { Row } from './output.js';

/** A proposed file, and what is to be said of it. */
export interface ProposedFile {
  readonly yaml: string;
  readonly env: string;
  readonly report: Row;
  readonly text: string;
}

const INDENT = '      ';
const SENT_DATE = `${INDENT}create_date: { from: $sent_at, type: date }`;
/** More line numbers than that are counted only. */
const MOST_LINES = 20;

/**
 * A maskline.yaml for the events of a sample. It holds names of fields and counts, and nothing of the values. Throws
 * `usage` for a sample without JSON objects.
 */
export async function proposeFile(
  file: string,
  sampleFile: string,
  table: string | undefined,
): Promise<ProposedFile> {
  const sample = await readSample(sampleFile, process.stdin);
  const found = fieldsOf(sample);
  if (found.fields.length === 0) {
    throw new PipelineError(
      'usage',
      `${sampleFile} holds no JSON object with fields: one event a line is needed, or one JSON array of events`,
    );
  }
  const columns = nameColumns(
    found.fields.map((field) => ({ field, proposal: proposeColumn(valuesOf(field, found.rows)) })),
  );
  const taken = columns.some(({ column }) => column === 'create_date');
  const yaml = [columnsYaml(columns, INDENT), ...(taken ? [] : [SENT_DATE])].join('\n');
  const template = initTemplate({ columns: yaml, ...(table === undefined ? {} : { table }) });
  await prepareOpening();
  const outcomes = rehearsed(file, template.yaml, sample);
  return { ...template, ...reportOf(columns, found, sample, outcomes) };
}

/** What the proposed masks make of the sample itself. A file that does not pass `validate` is a fault of ours. */
function rehearsed(file: string, yaml: string, sample: Sample): readonly Outcome[] {
  const { config } = checkConfig({ file, env: withoutServers({}), read: () => yaml });
  const pipeline = config?.pipelines[0];
  if (!pipeline) throw new PipelineError('unexpected', 'the proposed configuration is not valid');
  const keyring = throwawayKeyring(systemClock.now());
  return rehearse(pipeline, keyring, systemClock, messagesOf(sample)).map(({ outcome }) => outcome);
}

function reportOf(
  columns: readonly ProposedColumn[],
  { rows, badLines, strangerLines, unnamed }: SampledFields,
  { bodies, isCut }: Sample,
  outcomes: readonly Outcome[],
): Pick<ProposedFile, 'report' | 'text'> {
  const loaded = outcomes.filter((outcome) => 'row' in outcome).length;
  const report: Row = {
    samples: bodies.length,
    events: rows.length,
    bad_lines: badLines.slice(0, MOST_LINES),
    bad: badLines.length,
    stranger_lines: strangerLines.slice(0, MOST_LINES),
    strangers: strangerLines.length,
    fields_left_out: unnamed,
    cut: isCut,
    would_load: loaded,
    would_quarantine: outcomes.length - loaded,
    columns: columns.map(({ column, from, method, type, sureness, reason }) => ({
      column,
      from,
      method,
      type,
      sureness,
      reason,
    })),
  };
  const width = Math.max(...columns.map(({ from }) => from.length));
  const lines = [
    `${bodies.length} samples, ${rows.length} of them events of this kind.`,
    ...said(badLines, 'hold no JSON object'),
    ...said(
      strangerLines,
      'share no field with the others: they come from another producer, and no column is for them',
    ),
    ...(unnamed > 0
      ? [
          `${unnamed} fields were left out: their names look like values, they hold mixed shapes, or there are too many. What you name of them a column from $rest can take.`,
        ]
      : []),
    ...(isCut ? ['The sample is longer than what is looked at: the rest was not read.'] : []),
    '',
    ...columns.map(
      ({ from, method, sureness, reason }) => `  ${from.padEnd(width)}  ${method}, ${sureness}: ${reason}`,
    ),
    '',
    `With these masks, ${loaded} of the ${outcomes.length} samples would be loaded and ${outcomes.length - loaded} quarantined.`,
  ];
  return { report, text: lines.join('\n') };
}

function said(lines: readonly number[], what: string): readonly string[] {
  if (lines.length === 0) return [];
  const more = lines.length > MOST_LINES ? ` and ${lines.length - MOST_LINES} more` : '';
  return [`${lines.length} lines ${what}: ${lines.slice(0, MOST_LINES).join(', ')}${more}.`];
}
