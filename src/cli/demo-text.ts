import pc from 'picocolors';
import type { RunReport } from '../batch.js';
import type { LoginEvent } from '../embedded/login-events.js';
import { type Row, renderTable } from './output.js';
import { reportText } from './report.js';

/** An event and the row that it became. */
export interface BeforeAfter {
  readonly before: LoginEvent;
  readonly after: Row;
}

/** What the demo shows people at its end. */
export function demoText(
  result: {
    readonly report: RunReport;
    readonly seconds: number;
    readonly table: string;
    readonly pairs: readonly BeforeAfter[];
  },
  next: readonly string[],
): string {
  const { report, seconds, table, pairs } = result;
  return [
    pc.bold('before, as it came from SQS'),
    renderTable(
      pairs.map(({ before }) => shortened({ ...before })),
      ['user_id', 'device_type', 'ip', 'device_id', 'locale', 'app_version'],
    ),
    '',
    pc.bold(`after, as it stands in ${table}`),
    renderTable(
      pairs.map(({ after }) => shortened(after)),
      ['user_id', 'device_type', 'masked_ip', 'masked_device_id', 'locale', 'app_version', 'create_date'],
    ),
    '',
    `${reportText(report)}\n  ${seconds.toFixed(1)} s from the start of the first server`,
    '',
    ...next,
  ].join('\n');
}

/** Longer ones are cut, so that a row fits on a line. */
const CELL_WIDTH = 19;

function shortened(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([column, cell]) => [
      column,
      typeof cell === 'string' && cell.length > CELL_WIDTH ? `${cell.slice(0, CELL_WIDTH - 1)}…` : cell,
    ]),
  );
}

/** Where to go from here. */
export function nextSteps(kept: string | null, stays: string | null): readonly string[] {
  if (stays !== null)
    return [`It all stays up, and runs by its schedule: see ${stays} and ${stays}/queues. Ctrl-C ends it.`];
  if (kept !== null) return [`Kept in ${kept}: maskline.yaml, keyring, .env and the database.`];
  return [
    'Next: `maskline demo --stay` keeps it all up to look around, `maskline init` starts your own.',
    'Without --keep DIR, nothing of this demo is left.',
  ];
}
