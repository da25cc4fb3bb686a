import { PipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { checkSchema } from '../load/migrate.js';
import { type QuarantineFilter, listCauses, resolveIds } from '../load/quarantine-entries.js';
import { isRejectionCode, rejectionCodes } from '../masking/remedies.js';
import { noSuchCause, quarantineCauseId } from './causes.js';
import type { CliContext } from './context.js';
import type { Selection } from './selection.js';

/** Options of commands that may open what is sealed. */
export interface UnsealOptions {
  readonly unseal?: boolean;
  readonly reason?: string;
}

/** The filter of a selection; entries that were named are meant whatever their state. */
export async function quarantineFilter(
  pool: PostgresPool,
  { pipelines }: CliContext,
  { ids, codes, cause, since }: Selection,
  state: QuarantineFilter['state'],
): Promise<QuarantineFilter> {
  const unknown = codes.filter((code) => !isRejectionCode(code));
  if (unknown.length > 0) {
    throw new PipelineError(
      'usage',
      `--code ${unknown.join(', ')}: there is no such code; there are ${rejectionCodes.join(', ')} and refused_ with a SQLSTATE`,
    );
  }
  await checkSchema(pool);
  const named = ids.length > 0 ? await resolveIds(pool, ids) : null;
  const filter: QuarantineFilter = {
    ids: named,
    pipelines,
    codes,
    withoutCodes: [],
    since,
    until: null,
    state: named === null ? state : 'any',
  };
  return cause === null ? filter : ofCause(pool, filter, cause);
}

/** The filter, for entries of one cause. Throws `not_found`. */
async function ofCause(pool: PostgresPool, filter: QuarantineFilter, id: string): Promise<QuarantineFilter> {
  const cause = (await listCauses(pool, filter)).find((one) => quarantineCauseId(one) === id);
  if (!cause) throw noSuchCause(id, 'quarantine list');
  return { ...filter, pipelines: [cause.pipeline], codes: [cause.code], cause };
}

/** Why bodies are to be unsealed; null when they are not. Throws `usage` for one option without the other. */
export function unsealReason({ unseal = false, reason }: UnsealOptions): string | null {
  const given = reason?.trim() ?? '';
  if (unseal && given === '') {
    throw new PipelineError('usage', '--unseal needs --reason TEXT: who looks, and why, goes on record');
  }
  if (!unseal && reason !== undefined) throw new PipelineError('usage', '--reason goes with --unseal');
  return unseal ? given : null;
}
