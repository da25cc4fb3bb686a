import { type FileHandle, open, unlink } from 'node:fs/promises';
import { PipelineError } from '../errors.js';
import {
  type QuarantineFilter,
  countEntries,
  pageContents,
  pageEntries,
  serverTime,
} from '../load/quarantine-entries.js';
import type { PostgresPool } from '../load/connection.js';
import type { Keyring } from '../masking/keyring.js';
import { openKeyring } from '../roles/keyring.js';
import { recordUnsealing } from '../roles/quarantine-audit.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openAuditLog, openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import type { Row } from './output.js';
import { type UnsealOptions, quarantineFilter, unsealReason } from './quarantine-selection.js';
import { fullRow } from './quarantine-text.js';
import { type SelectionOptions, readTargets } from './selection.js';
import { printable, unsealedRow } from './unsealed.js';

interface ExportOptions extends SelectionOptions, UnsealOptions {
  readonly replayed?: boolean;
  readonly to?: string;
}

/** What an export came to. */
interface Exported {
  readonly records: number;
  /** Entries that could not be opened. */
  readonly unopened: number;
}

const PRIVATE_MODE = 0o600;

/** `quarantine export`: JSON, one entry a line, oldest first. */
export const quarantineExport: Command<ExportOptions> = async (context, options) => {
  const reason = unsealReason(options);
  const deployment = openDeployment(context, 'cli');
  const targets = readTargets(options, deployment.clock.now());
  const keyring = reason === null ? null : await openKeyring(deployment);
  const { records, unopened } = await withPool(deployment, 'cli', async (pool) => {
    const state = options.replayed ? 'any' : 'open';
    const found = await quarantineFilter(pool, context, targets, state);
    // What comes in meanwhile was not on record when it was unsealed.
    const filter = { ...found, until: await serverTime(pool) };
    if (reason !== null) await announce(context, pool, filter, targets.limit, reason);
    const write = async (line: (text: string) => unknown): Promise<Exported> =>
      exportAll(pool, filter, targets.limit, keyring, line);
    return options.to === undefined
      ? write((text) => context.out.text(text))
      : intoNewFile(options.to, (file) => write((text) => file.write(text)));
  });
  context.out.note(`${records} records exported${options.to === undefined ? '' : ` to ${options.to}`}.`);
  if (unopened === 0) return exitCode.ok;
  context.out.note(
    `${unopened} of them could not be opened: see unseal_error, and run \`maskline keys check\`.`,
  );
  return exitCode.failed;
};

async function announce(
  context: CliContext,
  pool: PostgresPool,
  filter: QuarantineFilter,
  limit: number | null,
  reason: string,
): Promise<void> {
  const counts = await countEntries(pool, filter);
  const all = counts.reduce((sum, { open: opened, replayed }) => sum + opened + replayed, 0);
  await recordUnsealing(pool, openAuditLog(context), {
    reason,
    records: Math.min(all, limit ?? all),
    ids: filter.ids ?? [],
    pipelines: [...new Set(counts.map(({ pipeline }) => pipeline))],
  });
}

async function exportAll(
  pool: PostgresPool,
  filter: QuarantineFilter,
  limit: number | null,
  keyring: Keyring | null,
  line: (text: string) => unknown,
): Promise<Exported> {
  let records = 0;
  let unopened = 0;
  const put = async (row: Row): Promise<void> => {
    records += 1;
    if ('unseal_error' in row) unopened += 1;
    await line(`${printable(JSON.stringify(row))}\n`);
  };
  if (keyring === null) {
    for await (const page of pageEntries(pool, filter, 'oldest_first', limit))
      for (const entry of page) await put(fullRow(entry));
  } else {
    for await (const page of pageContents(pool, filter, limit))
      for (const entry of page) await put({ ...fullRow(entry), ...unsealedRow(keyring, entry) });
  }
  return { records, unopened };
}

/** Makes the file, which only its owner may read, and takes it away again when `work` fails. */
async function intoNewFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, 'wx', PRIVATE_MODE).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const why = code === 'EEXIST' ? 'it exists, and was left untouched' : `it cannot be created (${code})`;
    throw new PipelineError('usage', `--to ${path}: ${why}`);
  });
  try {
    const result = await work(file);
    await file.sync();
    return result;
  } catch (error) {
    await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
}
