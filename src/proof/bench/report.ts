import { type Figures, type Spread, summaryOf } from './figures.js';
import type { Facts } from './surroundings.js';

/** All that a benchmark has to say. The keys are those of `--json`. */
export interface BenchReport {
  readonly profile: string;
  /** What was measured, in a sentence. */
  readonly measures: string;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly parameters: Facts;
  readonly versions: Facts;
  readonly machine: Facts;
  readonly summary: Readonly<{ [figure: string]: Spread }>;
  readonly runs: readonly Figures[];
}

const NUMBER_WIDTH = 11;
/** Figures below this are ratios or a few µs, and worth two digits. */
const SMALL = 20;

/** Puts the runs and what they ran on together. */
export function reportOf(head: Omit<BenchReport, 'summary' | 'runs'>, runs: readonly Figures[]): BenchReport {
  return { ...head, summary: summaryOf(runs), runs };
}

/** The report as people read it. */
export function benchText(report: BenchReport): string {
  const { profile, measures, at, parameters, versions, machine, summary } = report;
  const width = Math.max(...Object.keys(summary).map((name) => name.length));
  const line = (label: string, numbers: readonly string[]): string =>
    `${label.padEnd(width)}${numbers.map((text) => text.padStart(NUMBER_WIDTH)).join('')}`;
  return [
    `${profile}: ${measures} (${at})`,
    '',
    line('', ['median', 'min', 'max']),
    ...Object.entries(summary).map(([name, { median, min, max }]) => {
      const digits = Math.abs(median) < SMALL ? 2 : Math.abs(median) < 1_000 ? 1 : 0;
      return line(
        name,
        [median, min, max].map((value) => value.toFixed(digits)),
      );
    }),
    '',
    factsText('parameters', parameters),
    factsText('versions', versions),
    factsText('machine', machine),
  ].join('\n');
}

function factsText(label: string, facts: Facts): string {
  return [`${label}:`, ...Object.entries(facts).map(([name, value]) => `  ${name} ${value}`)].join('\n');
}
