import type { Releases } from '../../lifecycle.js';
import { measureEndToEnd } from './end-to-end.js';
import type { Figures } from './figures.js';
import { measureGrowth } from './growth.js';
import { measureIngest } from './ingest.js';
import { measureLatency } from './latency.js';
import { measureScale } from './scale.js';
import { measureLoad, measureTransform } from './stages.js';

/** One run of a profile. */
export interface RunOptions {
  readonly messages: number;
  /** From 1 on. */
  readonly run: number;
  /** What PATH is looked through for servers. */
  readonly searchPath: string;
  /** Where processes write CPU profiles, which costs CPU itself; null: none are written. */
  readonly cpuProfileDir: string | null;
  readonly signal: AbortSignal;
}

/** A way to measure. */
export interface BenchProfile {
  /** What it measures, in a sentence without a full stop. */
  readonly measures: string;
  readonly messages: number;
  readonly runs: number;
  readonly measure: (releases: Releases, options: RunOptions) => Promise<Figures>;
}

/** By name, as `maskline bench --profile` takes them, with what is measured unless it is said. */
export const benchProfiles: Readonly<{ [name: string]: BenchProfile }> = {
  'end-to-end': {
    measures: 'SQS, ingest, Redis, transform, Redis, load, Postgres, delete from SQS; and the floor',
    messages: 20_000,
    runs: 3,
    measure: measureEndToEnd,
  },
  ingest: {
    measures: 'SQS to sealed batches in Redis',
    messages: 20_000,
    runs: 3,
    measure: measureIngest,
  },
  transform: {
    measures: 'sealed batches in Redis to masked ones',
    messages: 100_000,
    runs: 3,
    measure: measureTransform,
  },
  load: {
    measures: 'masked batches in Redis to committed rows',
    messages: 100_000,
    runs: 3,
    measure: measureLoad,
  },
  growth: {
    measures: 'the cost of a message along one long run',
    messages: 1_000_000,
    runs: 1,
    measure: measureGrowth,
  },
  latency: {
    measures: 'a message that comes alone under schedule: continuous, from sent to committed',
    messages: 50,
    runs: 1,
    measure: measureLatency,
  },
  scale: {
    measures:
      'one transform process and then two, with nothing loaded meanwhile; and what a second core is worth here',
    messages: 200_000,
    runs: 5,
    measure: measureScale,
  },
};
