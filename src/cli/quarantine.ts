import { PipelineError } from '../errors.js';
import type { Config } from '../config/config.js';
import {
  type QuarantineCause,
  type QuarantineEntry,
  type QuarantineRow,
  countEntries,
  listCauses,
  pageContents,
  pageEntries,
} from '../load/quarantine-entries.js';
import { remedyFor } from '../masking/remedies.js';
import { openKeyring } from '../roles/keyring.js';
import { recordUnsealing } from '../roles/quarantine-audit.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openAuditLog, openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { type Cell, type Row, renderFields } from './output.js';
import { type UnsealOptions, quarantineFilter, unsealReason } from './quarantine-selection.js';
import { CAUSE_COLUMNS, causeRow, causeSteps } from './quarantine-causes.js';
import { COUNT_COLUMNS, SHORT_KEYS, fullRow, listRow, nextSteps } from './quarantine-text.js';
import { type SelectionOptions, readSelection } from './selection.js';
import { printable, unsealedRow } from './unsealed.js';

interface ListOptions extends SelectionOptions {
  readonly replayed?: boolean;
  readonly byCode?: boolean;
  readonly byCause?: boolean;
}

/** Of a list, as long as nothing else was asked for. */
const DEFAULT_LIMIT = 20;

/** `quarantine list`: newest first; people also read what to do. */
export const quarantineList: Command<ListOptions> = async (context, options) => {
  const { out } = context;
  const deployment = openDeployment(context, 'cli');
  const selection = readSelection({ ...options, args: [] }, deployment.clock.now());
  await withPool(deployment, 'cli', async (pool) => {
    const filter = await quarantineFilter(pool, context, selection, options.replayed ? 'any' : 'open');
    if (options.byCause) {
      printCauses(context, deployment.config, await listCauses(pool, filter));
      return;
    }
    const counts = options.byCode || !out.json ? await countEntries(pool, filter) : [];
    if (options.byCode) {
      out.list(
        counts.map((count): Row => ({ ...count })),
        COUNT_COLUMNS,
      );
    } else {
      const limit = selection.limit ?? (options.all ? null : DEFAULT_LIMIT);
      const columns = [...SHORT_KEYS, ...(options.replayed ? ['replayed_at'] : [])];
      const rows: QuarantineRow[] = [];
      for await (const page of pageEntries(pool, filter, 'newest_first', limit)) {
        // A table wants to be seen whole; lines need not.
        if (out.json) out.list(page.map(listRow), columns);
        else rows.push(...page);
      }
      if (rows.length > 0) out.list(rows.map(listRow), columns);
    }
    if (!out.json) out.note(nextSteps(counts));
  });
  return exitCode.ok;
};

/** A line for each cause; people also read what to do, and by which command. */
function printCauses({ out }: CliContext, config: Config, causes: readonly QuarantineCause[]): void {
  const rows = causes.map((cause) => causeRow(cause, config.pipelines));
  if (out.json || rows.length > 0) out.list(rows, CAUSE_COLUMNS);
  if (!out.json) out.note(causeSteps(rows));
}

/** `quarantine show`: all of one entry but its content; that too, once it is on record who wants to see it and why. */
export const quarantineShow: Command<UnsealOptions & { readonly args: readonly string[] }> = async (
  context,
  { args, ...options },
) => {
  const reason = unsealReason(options);
  const deployment = openDeployment(context, 'cli');
  // Before anything goes on record that can't be done.
  const keyring = reason === null ? null : await openKeyring(deployment);
  const selection = readSelection({ args }, deployment.clock.now());
  const entry = await withPool(deployment, 'cli', async (pool) => {
    const filter = await quarantineFilter(pool, context, selection, 'any');
    for await (const [found] of pageContents(pool, filter)) {
      if (!found) continue;
      const { id, pipeline } = found;
      if (reason !== null)
        await recordUnsealing(pool, openAuditLog(context), {
          reason,
          records: 1,
          ids: [id],
          pipelines: [pipeline],
        });
      return found;
    }
    throw new PipelineError(
      'not_found',
      'the entry is not of the pipelines that were named, or was deleted just now',
    );
  });
  if (keyring === null) {
    print(context, entry, {});
    return exitCode.ok;
  }
  const content = unsealedRow(keyring, entry);
  print(context, entry, content);
  const { unseal_error: problem } = content;
  if (typeof problem !== 'string') return exitCode.ok;
  context.out.note(`It can't be opened: ${problem}. Run \`maskline keys check\`.`);
  return exitCode.failed;
};

function print({ out }: CliContext, entry: QuarantineEntry, content: Row): void {
  const { meaning, remedy } = remedyFor(entry.code);
  const about: Row = { ...fullRow(entry), meaning, remedy };
  const shown = [...Object.entries(about), ...Object.entries(content)].map(
    ([name, value]): readonly [string, Cell] => [name, shownOf(value)],
  );
  out.result({ ...about, ...content }, renderFields(shown));
}

/** On a terminal, a body must not be able to steer it. */
function shownOf(value: Cell): Cell {
  if (typeof value === 'string') return printable(value);
  return typeof value === 'object' && value !== null ? printable(JSON.stringify(value)) : value;
}
