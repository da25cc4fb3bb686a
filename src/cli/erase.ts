import { text } from 'node:stream/consumers';
import { PipelineError } from '../errors.js';
import { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { checkSchema } from '../load/migrate.js';
import { selectPipelines } from '../roles/deployment.js';
import { openKeyring } from '../roles/keyring.js';
import { openStatusParts } from '../roles/status-parts.js';
import { findUnsearched } from '../roles/unsearched.js';
import { type ErasureOrder, type ErasureReport, erase } from '../roles/erase.js';
import { osUser } from '../roles/os-user.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { declined } from './failed.js';
import type { Row } from './output.js';
import { type Progress, openProgress } from './progress.js';
import { purposeOf } from './purpose.js';

interface EraseOptions {
  readonly subject: string;
  readonly purpose?: string;
  readonly ticket?: string;
  readonly mode?: string;
  readonly dryRun?: boolean;
}

/** A table without an index on its tokens is read from end to end. */
const STATEMENT_TIMEOUT_MS = 60 * 60_000;

/** `erase`: what is kept of a subject, as far as it can be found; with a certificate in the audit chain. */
export const eraseCommand: Command<EraseOptions> = async (context, options) => {
  const { mode = 'null', dryRun = false, ticket = null } = options;
  if (mode !== 'null' && mode !== 'delete') throw new PipelineError('usage', '--mode must be null or delete');
  const purpose = purposeOf(options.purpose);
  const deployment = openDeployment(context, 'cli');
  const keyring = await openKeyring(deployment);
  keyring.requireMasters('erase');
  const pipelines = selectPipelines(deployment.config, context.pipelines);
  const subject =
    options.subject === '-' ? (await text(process.stdin)).replace(/\r?\n$/, '') : options.subject;
  const who = { osUser: osUser(), purpose, ticket };
  const order = { keyring, pipelines, subject, who, mode } as const;
  const releases = new Releases();
  const progress = openProgress(context.line, deployment.log);
  progress.at('looking for what is kept of the subject');
  try {
    const work = async (pool: PostgresPool): Promise<number> => {
      await checkSchema(pool);
      const parts = await openStatusParts(deployment, pipelines, { pool, releases });
      const { pipelines: all } = deployment.config;
      const unsearched = await findUnsearched(pool, parts, all);
      const isWhole = pipelines.length === all.length;
      return rehearseAndErase(context, pool, { ...order, isWhole, unsearched, dryRun }, progress);
    };
    return await withPool(deployment, 'migrate', work, { statementTimeoutMs: STATEMENT_TIMEOUT_MS });
  } finally {
    progress.end();
    await releases.release();
  }
};

async function rehearseAndErase(
  context: CliContext,
  pool: PostgresPool,
  order: ErasureOrder,
  progress: Progress,
): Promise<number> {
  const expected = await erase(pool, { ...order, dryRun: true });
  progress.end();
  if (order.dryRun) return print(context, expected, true);
  const question = `${describe(expected)} to be erased for good. Erase it?`;
  if (!(await confirm(context, question))) return declined(context);
  return print(context, await erase(pool, order), false);
}

function print({ out }: CliContext, report: ErasureReport, isDry: boolean): number {
  const { vault, columns, quarantine } = report;
  const row = {
    dry_run: isDry,
    vault_entries: vault.entries,
    vault_shared: vault.shared,
    ...rowCounts(report),
    quarantine_entries: quarantine.entries,
    quarantine_unsearched: quarantine.unsearched,
    columns: columns.map((one): Row => ({ ...one })),
    not_searched: report.not_searched.map((one): Row => ({ ...one })),
  };
  out.result(row, `${describe(report)} ${isDry ? 'would be erased' : 'erased'}.`);
  if (quarantine.unsearched > 0) {
    out.note(
      `${quarantine.unsearched} quarantine entries can't be opened, so nobody knows what they hold: run \`maskline keys check\`, or purge them.`,
    );
  }
  const missing = columns.filter(({ action }) => action === 'not_searched');
  for (const { table, column } of missing)
    out.note(`Column ${column} of ${table} does not exist, and was not searched.`);
  for (const { place, count, why } of report.not_searched)
    out.note(`Not searched: ${place}${count === null ? '' : ` (${count})`}; ${why}.`);
  return quarantine.unsearched + missing.length > 0 ? exitCode.failed : exitCode.ok;
}

function rowCounts({ columns }: ErasureReport): {
  readonly rows_nulled: number;
  readonly rows_deleted: number;
} {
  const count = (action: string): number =>
    columns.reduce((sum, one) => sum + (one.action === action ? one.rows : 0), 0);
  return { rows_nulled: count('null'), rows_deleted: count('delete') };
}

function describe(report: ErasureReport): string {
  const { rows_nulled: nulled, rows_deleted: deleted } = rowCounts(report);
  const { vault, quarantine } = report;
  return `${vault.entries} vault entries, ${nulled} values and ${deleted} rows of target tables, ${quarantine.entries} quarantine entries`;
}
