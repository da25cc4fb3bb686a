import { text } from 'node:stream/consumers';
import { PipelineError } from '../errors.js';
import { checkSchema } from '../load/migrate.js';
import { selectPipelines } from '../roles/deployment.js';
import { openKeyring } from '../roles/keyring.js';
import { type ErasureOrder, type ErasureReport, erase } from '../roles/erase.js';
import { osUser } from '../roles/os-user.js';
import { confirm } from './confirmation.js';
import type { Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { declined } from './failed.js';
import type { Row } from './output.js';
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
  const order: ErasureOrder = { keyring, pipelines, subject, who, mode, dryRun: true };
  return withPool(
    deployment,
    'migrate',
    async (pool) => {
      await checkSchema(pool);
      const expected = await erase(pool, order);
      if (dryRun) return print(expected, true);
      const question = `${describe(expected)} to be erased for good. Erase it?`;
      if (!(await confirm(context, question))) return declined(context);
      return print(await erase(pool, { ...order, dryRun: false }), false);
    },
    { statementTimeoutMs: STATEMENT_TIMEOUT_MS },
  );

  function print(report: ErasureReport, isDry: boolean): number {
    const { vault, columns, quarantine } = report;
    const row = {
      dry_run: isDry,
      vault_entries: vault.entries,
      vault_shared: vault.shared,
      ...rowCounts(report),
      quarantine_entries: quarantine.entries,
      quarantine_unsearched: quarantine.unsearched,
      columns: columns.map((one): Row => ({ ...one })),
    };
    context.out.result(row, `${describe(report)} ${isDry ? 'would be erased' : 'erased'}.`);
    if (quarantine.unsearched > 0) {
      context.out.note(
        `${quarantine.unsearched} quarantine entries can't be opened, so nobody knows what they hold: run \`maskline keys check\`, or purge them.`,
      );
    }
    for (const { table, column } of columns.filter(({ action }) => action === 'custom_mask'))
      context.out.note(
        `Column ${column} of ${table} has a custom mask, and was not searched: only its author knows what becomes of a value.`,
      );
    const unsearched = columns.filter(({ action }) => action === 'not_searched');
    for (const { table, column } of unsearched)
      context.out.note(`Column ${column} of ${table} does not exist, and was not searched.`);
    return quarantine.unsearched + unsearched.length > 0 ? exitCode.failed : exitCode.ok;
  }
};

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
