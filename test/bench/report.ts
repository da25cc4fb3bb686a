import { type RunFigures, type Spread, type Summary, roleNames, serverNames, summaryOf } from './figures.js';
import type { Facts } from './surroundings.js';

/** All that a benchmark has to say. The keys are those of `--json`. */
export interface Report {
  readonly benchmark: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly parameters: Facts;
  readonly versions: Facts;
  readonly machine: Facts;
  readonly summary: Summary;
  readonly runs: readonly RunFigures[];
}

const BENCHMARK = 'end to end: SQS, ingest, Redis, transform, Redis, load, Postgres, delete from SQS';
const LABEL_WIDTH = 32;
const NUMBER_WIDTH = 10;

/** Puts the runs and what they ran on together. */
export function reportOf(
  runs: readonly RunFigures[],
  facts: { readonly parameters: Facts; readonly versions: Facts; readonly machine: Facts },
  at: number,
): Report {
  const { parameters, versions, machine } = facts;
  return {
    benchmark: BENCHMARK,
    at: new Date(at).toISOString(),
    parameters,
    versions,
    machine,
    summary: summaryOf(runs),
    runs,
  };
}

/** The report as people read it. */
export function reportText({ benchmark, at, parameters, versions, machine, summary }: Report): string {
  const { cpu_us_per_message: cpu, server_cpu_us_per_message: servers } = summary;
  return [
    `${benchmark} (${at})`,
    '',
    `${''.padEnd(LABEL_WIDTH)}${['median', 'min', 'max'].map((head) => head.padStart(NUMBER_WIDTH)).join('')}`,
    line('messages per second', summary.messages_per_second, 0),
    'CPU, µs per message',
    ...roleNames.map((name) => line(`  ${name}`, cpu[name], 1)),
    line('  all three', cpu.total, 1),
    'beside it, not in the sum',
    ...serverNames.map((name) => line(`  ${name.replace('_', ' ')}`, servers[name], 1)),
    'peak resident memory, MiB',
    ...roleNames.map((name) => line(`  ${name}`, summary.peak_rss_mib[name], 0)),
    'CPU until ready, ms (apart)',
    ...roleNames.map((name) => line(`  ${name}`, summary.start_up_cpu_ms[name], 0)),
    '',
    factsLine('parameters', parameters),
    factsLine('versions', versions),
    factsLine('machine', machine),
  ].join('\n');
}

function line(label: string, spread: Spread, digits: number): string {
  const numbers = [spread.median, spread.min, spread.max];
  return `${label.padEnd(LABEL_WIDTH)}${numbers.map((n) => n.toFixed(digits).padStart(NUMBER_WIDTH)).join('')}`;
}

function factsLine(label: string, facts: Facts): string {
  return [`${label}:`, ...Object.entries(facts).map(([name, value]) => `  ${name} ${value}`)].join('\n');
}
