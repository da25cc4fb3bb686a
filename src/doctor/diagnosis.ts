import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { Deployment } from '../roles/deployment.js';
import { askAll } from './ask.js';
import { type Check, checks } from './checks.js';
import type { Facts, HostFacts } from './facts.js';
import type { Trouble } from './finding.js';

/** Trouble, and the check that found it. */
export interface Finding extends Trouble {
  readonly check: string;
}

/** What doctor says, under the names of the interface. */
export interface Diagnosis {
  /** True when nothing was found; there may be what could not be looked at. */
  readonly ok: boolean;
  /** In the order in which they are best mended. */
  readonly findings: readonly Finding[];
  /** Checks that found nothing wrong in what they looked at. */
  readonly good: readonly string[];
  /** What could not be looked at. */
  readonly unchecked: readonly { readonly check: string; readonly what: string }[];
}

/** The checks that are to be made: all but those. Throws `usage` for one that there is not. */
export function checksExcept(names: readonly string[]): readonly Check[] {
  const missing = names.filter((name) => !checks.some((check) => check.name === name));
  if (missing.length > 0) {
    const known = checks.map(({ name }) => name).join(', ');
    throw new PipelineError('usage', `no check ${missing.join(', ')}; there are ${known}`);
  }
  return checks.filter(({ name }) => !names.includes(name));
}

/** Asks all that the configuration names, and judges what came of it. Changes nothing, and never rejects for what it finds. */
export async function diagnose(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  {
    host,
    made,
    releases,
  }: { readonly host: HostFacts; readonly made: readonly Check[]; readonly releases: Releases },
): Promise<Diagnosis> {
  return judgeAll(await askAll(deployment, pipelines, host, releases), made);
}

/** The verdicts of these checks on what is known. */
export function judgeAll(facts: Facts, made: readonly Check[]): Diagnosis {
  const fitting = made.filter(({ isFor }) => isFor?.(facts) ?? true);
  const verdicts = fitting.map(({ name, judge }) => ({ check: name, ...judge(facts) }));
  const findings = verdicts.flatMap(({ check, troubles }) =>
    troubles.map((trouble) => ({ check, ...trouble })),
  );
  return {
    ok: findings.length === 0,
    findings,
    good: verdicts.flatMap(({ check, troubles, unseen }) =>
      troubles.length + unseen.length === 0 ? [check] : [],
    ),
    unchecked: verdicts.flatMap(({ check, unseen }) => unseen.map((what) => ({ check, what }))),
  };
}
