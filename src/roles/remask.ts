// Rows of a pipeline's target, and what is sealed of it in quarantine, brought from one key to the primary.

import type { PipelineConfig } from '../config/config.js';
import { type TableConfig, tablesOf } from '../config/tables.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { targetUses } from '../load/key-uses.js';
import { asOutage } from '../load/postgres-error.js';
import { type RemaskRequest, type RowsRemasked, remaskRows } from '../load/remask.js';
import { type Reseal, resealQuarantine } from '../load/remask-quarantine.js';
import { remaskVault } from '../load/remask-vault.js';
import type { Keyring } from '../masking/keyring.js';
import { isList } from '../masking/methods.js';
import { isJsonColumn } from '../masking/parts.js';
import { type RemaskPlan, kidColumnsOf, planRemask } from '../masking/remask-rows.js';
import { type RemaskPlans, keysOfEntry, resealEntry } from '../masking/reseal.js';
import { rekeyEntry } from '../masking/vault-rekey.js';
import { outlast } from '../policy.js';
import type { Deployment } from './deployment.js';
import { namedTable, tableName } from './tables.js';

/** What it works with. */
export interface RemaskParts {
  readonly deployment: Deployment;
  /** Of who may read and update the target. */
  readonly pool: PostgresPool;
  readonly keyring: Keyring;
}

/** How to bring a pipeline over. */
export interface RemaskOptions {
  readonly fromKid: number;
  /** Rows a second, at most. */
  readonly rate: number;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  readonly onBlocks?: RemaskRequest['onBlocks'];
}

/** A column that stays under the old key. */
export interface LeftBehind {
  readonly table: string;
  readonly column: string;
  readonly method: string;
  readonly values: number;
  readonly why: string;
}

/** What it came to, in rows and entries. */
export interface RemaskReport {
  readonly pipeline: string;
  readonly from_kid: number;
  readonly to_kid: number;
  readonly dry_run: boolean;
  /** `partial`: something of the old key could not be opened, or came in meanwhile. */
  readonly state: 'done' | 'partial' | 'interrupted';
  readonly remasked: number;
  readonly unopened: number;
  /** Null when it was interrupted. */
  readonly left: number | null;
  readonly quarantine_resealed: number;
  readonly quarantine_unopened: number;
  /** Entries of the vault, of whatever domain: it is of all pipelines. */
  readonly vault_remasked: number;
  readonly vault_unopened: number;
  readonly one_way: readonly LeftBehind[];
}

/** Of advisory locks: ours alone, with the pipeline's name as the second half. */
const LOCK_CLASS = 1_197_361_004;

const REASONS = {
  one_way: 'the method has no way back to the value',
  beside_one_way: 'it shares its $mask_kid with a date-shift, which has no way back',
} as const;

/**
 * Brings one pipeline over, in steps that can be cut off anywhere and are gone on with by the next call; null when
 * another process is at the same pipeline. Throws `usage` for a kid that can't be brought over, `key_unavailable`,
 * `table_unfit`, `permission_denied`, `postgres_unavailable`.
 */
export async function remaskPipeline(
  parts: RemaskParts,
  pipeline: PipelineConfig,
  options: RemaskOptions,
): Promise<RemaskReport | null> {
  requireOldKid(parts.keyring, options.fromKid);
  return parts.pool.withClient(async (client) => {
    const lock = [LOCK_CLASS, pipeline.name];
    const { rows } = await client.query<{ locked: boolean }>(
      'select pg_try_advisory_lock($1, hashtext($2)) as locked',
      lock,
    );
    if (!rows[0]?.locked) return null;
    try {
      return await remaskLocked(parts, pipeline, options);
    } finally {
      await client.query('select pg_advisory_unlock($1, hashtext($2))', lock).catch(() => undefined);
    }
  });
}

/** Throws `usage` unless the key is there and is not the primary. */
export function requireOldKid(keyring: Keyring, kid: number): void {
  if (kid === keyring.primaryKid) {
    throw new PipelineError(
      'usage',
      `key ${String(kid)} is the primary, which rows are brought to: \`maskline keys promote\` another first`,
    );
  }
  if (keyring.kids().includes(kid)) return;
  throw new PipelineError(
    'usage',
    `--from-kid ${String(kid)}: the keyring opens ${keyring.kids().join(', ')} only`,
  );
}

/** A table, and how its rows are brought over. */
interface PlannedTable extends TableConfig {
  readonly plan: RemaskPlan;
}

async function remaskLocked(
  { deployment, pool, keyring }: RemaskParts,
  pipeline: PipelineConfig,
  { fromKid, rate, dryRun, signal, onBlocks }: RemaskOptions,
): Promise<RemaskReport> {
  const { clock, config, onWait } = deployment;
  const planned = tablesOf(pipeline).map((table) => ({
    ...table,
    plan: planRemask(table, keyring, fromKid),
  }));
  const attempt: RemaskRequest['attempt'] = (step) =>
    outlast(clock, () => asOutage(step), signal, onWait, config.startupTimeoutMs);
  const vault = { remasked: 0, unopened: 0 };
  const prepare = async (): Promise<void> => {
    const passage = await remaskVault(pool, { ...request, fromKid }, (stored) => rekeyEntry(keyring, stored));
    vault.remasked += passage.remasked;
    vault.unopened = passage.unopened;
  };
  const request = { pipeline: pipeline.name, rate, dryRun, clock, signal, attempt, prepare, onBlocks };
  // What stands for the vault's tokens, and then first what a replay may load while the tables are gone through.
  await prepare();
  const reseal = resealWith(keyring, { fromKid, ofTable: (name) => namedTable(planned, name)?.plan });
  const entries = await resealQuarantine(pool, { ...request, fromKid }, reseal);
  // In order: what rows refer to is brought over before them.
  let rows: RowsRemasked = { remasked: 0, unopened: 0, left: 0 };
  for (const { target, plan } of planned)
    rows = addRows(rows, await remaskRows(pool, { ...request, target, remask: plan }));
  const unopened = rows.unopened + entries.unopened + vault.unopened;
  const isWhole = unopened === 0 && (dryRun || rows.left === 0);
  return {
    pipeline: pipeline.name,
    from_kid: fromKid,
    to_kid: keyring.primaryKid,
    dry_run: dryRun,
    state: signal.aborted ? 'interrupted' : isWhole ? 'done' : 'partial',
    ...rows,
    quarantine_resealed: entries.resealed,
    quarantine_unopened: entries.unopened,
    vault_remasked: vault.remasked,
    vault_unopened: vault.unopened,
    one_way: signal.aborted ? [] : await attempt(() => leftBehind(pool, planned)),
  };
}

function addRows(a: RowsRemasked, b: RowsRemasked): RowsRemasked {
  return {
    remasked: a.remasked + b.remasked,
    unopened: a.unopened + b.unopened,
    left: a.left === null || b.left === null ? null : a.left + b.left,
  };
}

function resealWith(keyring: Keyring, plans: RemaskPlans): Reseal {
  return async (entry, successorsOf) => {
    try {
      const { vaultTokens } = keysOfEntry(keyring, entry, (table) => plans.ofTable(table)?.kidColumns ?? []);
      const successors = await successorsOf(vaultTokens.map(({ text }) => text));
      return resealEntry(keyring, plans, entry, successors) ?? 'kept';
    } catch (error) {
      const isItsOwn =
        error instanceof PipelineError &&
        ['key_unavailable', 'payload_corrupt', 'payload_newer'].includes(error.code);
      if (isItsOwn) return 'unopened';
      throw error;
    }
  };
}

/** How much of the columns that can't go is under the old key. */
async function leftBehind(
  pool: PostgresPool,
  planned: readonly PlannedTable[],
): Promise<readonly LeftBehind[]> {
  const left: LeftBehind[] = [];
  for (const table of planned) {
    const { target, columns, plan } = table;
    const kidColumns = kidColumnsOf(table);
    for (const { name, method, why } of plan.left) {
      const column = columns.find((each) => each.name === name);
      const isToken = method === 'hmac';
      const tokens =
        isToken && column
          ? [{ name, isList: isList(column) || isJsonColumn(column), letters: 'h' } as const]
          : [];
      const keyed = { ...target, tokens, kidColumns: isToken ? [] : kidColumns };
      const uses = await targetUses(pool, keyed, plan.fromKid);
      const values = Math.max(0, ...uses.map(({ count }) => count));
      if (values > 0) left.push({ table: tableName(table), column: name, method, values, why: REASONS[why] });
    }
  }
  return left;
}
