import type { Config, PipelineConfig } from '../config/config.js';
import type { PostgresPool } from '../load/connection.js';
import { type PipelineProof, type ProofRequest, prove } from '../load/prove.js';

/** What the tables of some pipelines came to, as `maskline prove` prints it. */
export interface Proof {
  readonly ok: boolean;
  /** Over all pipelines and kinds. */
  readonly differences: number;
  readonly pipelines: readonly PipelineProof[];
}

/** Proves pipelines of a configuration; see `prove` for the pool and for what it throws. */
export async function proveDeployment(
  pool: PostgresPool,
  config: Pick<Config, 'retention'>,
  pipelines: readonly Pick<PipelineConfig, 'name' | 'policy' | 'target' | 'further'>[],
  options: Pick<ProofRequest, 'onStep'> & { readonly since?: number | null } = {},
): Promise<Proof> {
  const { since = null, ...rest } = options;
  const proofs = await prove(pool, {
    ...rest,
    since,
    retention: config.retention,
    pipelines: pipelines.map(({ name, policy, target, further }) => ({
      ...{ name, policySha256: policy.sha256, target, further },
    })),
  });
  const counts = proofs.flatMap(({ totals }) => Object.values(totals));
  const differences = counts.reduce((sum, count) => sum + count, 0);
  return { ok: differences === 0, differences, pipelines: proofs };
}
