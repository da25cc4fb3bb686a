// Reconciles what maskline has on record with itself and with the target tables, at one moment of the database, so that
// it may be done while loaders work: rows, ledger and fate of a batch are committed together.

import type { ClientBase } from 'pg';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { isoTime } from './ledger.js';
import { type BatchTotals, proveBatches } from './prove-batches.js';
import { type Difference, ProofFindings, type Unchecked } from './prove-findings.js';
import { proveRuns } from './prove-runs.js';
import { type ProofWindow, atOneMoment, readWindow } from './prove-snapshot.js';
import { type TargetTotals, proveTarget } from './prove-target.js';
import type { LoadTarget } from './upsert.js';

/** A pipeline, as far as it is proven. */
export interface ProvenPipeline {
  readonly name: string;
  /** Of the policy of today. */
  readonly policySha256: string;
  readonly target: LoadTarget;
  /** Its other tables. */
  readonly further?: readonly LoadTarget[];
}

/** What to prove. */
export interface ProofRequest {
  readonly pipelines: readonly ProvenPipeline[];
  /** Epoch ms; null: as far back as the ledger goes. */
  readonly since: number | null;
  readonly retention: { readonly ledgerMs: number; readonly runsMs: number };
  /** Hears of what is being looked at. */
  readonly onStep?: (step: string) => void;
}

/** What one pipeline came to, as `maskline prove` prints it; times are ISO 8601 in UTC. */
export interface PipelineProof {
  readonly pipeline: string;
  readonly target: string;
  readonly window: { readonly from: string; readonly to: string; readonly ledger_from: string };
  readonly checked: BatchTotals &
    TargetTotals & {
      readonly runs: number;
      /** Absent where the pipeline has but one table. */
      readonly further?: readonly (TargetTotals & { readonly target: string })[];
    };
  readonly unchecked: readonly Unchecked[];
  /** How many there are of each kind. */
  readonly totals: Readonly<{ [kind: string]: number }>;
  /** At most 100 of each kind. */
  readonly differences: readonly Difference[];
}

/** One statement may read all of the ledger and all of a table. */
export const PROOF_STATEMENT_TIMEOUT_MS = 60 * 60_000;
/** SQLSTATE query_canceled (PostgreSQL documentation, appendix A). */
const QUERY_CANCELED = '57014';

/**
 * Compares runs, batches, ledger, quarantine and target of each pipeline, in one transaction that writes nothing; needs
 * a pool of that statement timeout. Throws `postgres_unavailable`, `statement_timeout`, `permission_denied`.
 */
export async function prove(pool: PostgresPool, request: ProofRequest): Promise<readonly PipelineProof[]> {
  const since = request.since === null ? null : isoTime(request.since);
  try {
    return await atOneMoment(pool, async (client) => {
      const window = await readWindow(client, since, request.retention);
      const proofs: PipelineProof[] = [];
      for (const pipeline of request.pipelines) {
        const say = (what: string): void => request.onStep?.(`${pipeline.name}: ${what}`);
        const findings = new ProofFindings();
        say('runs and their batches');
        const runs = await proveRuns(client, pipeline.name, window, findings);
        say('batches, ledger and quarantine');
        const batches = await proveBatches(client, pipeline.name, window, findings);
        const tables = await proveTables(client, pipeline, window, findings, say);
        proofs.push(proofOf(pipeline, window, { runs, ...batches, ...tables }, findings));
      }
      return proofs;
    });
  } catch (error) {
    throw asTimeout(error);
  }
}

async function proveTables(
  client: ClientBase,
  { target, further = [], ...pipeline }: ProvenPipeline,
  window: ProofWindow,
  findings: ProofFindings,
  say: (what: string) => void,
): Promise<Pick<PipelineProof['checked'], keyof TargetTotals | 'further'>> {
  say('the target table');
  const own = await proveTarget(client, { ...pipeline, target, isFurther: false }, window, findings);
  const others: (TargetTotals & { readonly target: string })[] = [];
  for (const other of further) {
    const name = `${other.schema}.${other.table}`;
    say(`table ${name}`);
    const totals = await proveTarget(
      client,
      { ...pipeline, target: other, isFurther: true },
      window,
      findings,
    );
    others.push({ target: name, ...totals });
  }
  return { ...own, ...(others.length === 0 ? {} : { further: others }) };
}

function proofOf(
  { name, target }: ProvenPipeline,
  { from, to, ledgerFrom }: ProofWindow,
  checked: PipelineProof['checked'],
  { unchecked, totals, differences }: ProofFindings,
): PipelineProof {
  const iso = (time: string): string => new Date(time).toISOString();
  return {
    pipeline: name,
    target: `${target.schema}.${target.table}`,
    window: { from: iso(from), to: iso(to), ledger_from: iso(ledgerFrom) },
    ...{ checked, unchecked, totals, differences },
  };
}

/** A statement that was cut off would else be taken for an outage. */
function asTimeout(error: unknown): unknown {
  const cause = error instanceof PipelineError ? error.cause : null;
  const isTimeout = cause instanceof Error && 'code' in cause && cause.code === QUERY_CANCELED;
  if (!isTimeout) return error;
  return new PipelineError(
    'statement_timeout',
    `a statement of the proof took longer than ${PROOF_STATEMENT_TIMEOUT_MS / 60_000} minutes, or was canceled; prove ` +
      'less at once, with --since or one pipeline',
    { cause },
  );
}
