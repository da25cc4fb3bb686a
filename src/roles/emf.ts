import type { Service } from '../lifecycle.js';
import { attempt } from '../ops/attempt.js';
import { EmfTotals, statusLine } from '../ops/emf.js';
import type { Status } from '../ops/status.js';
import type { Deployment } from './deployment.js';

/** CloudWatch's alarms look at minutes. */
const INTERVAL_MS = 60_000;
/** A status has its own, shorter limits. */
const STATUS_LIMIT_MS = 10_000;

/** What the lines are about, and where they go. */
export interface EmfOptions {
  /** Those that this process works on; none in the admin role. */
  readonly pipelines: readonly string[];
  /** How the whole deployment is, for who looks at it. */
  readonly status?: () => Promise<Status>;
  /** Default: stdout, which the roles use for nothing else. */
  readonly write?: (line: string) => unknown;
}

/** Writes metrics as lines for CloudWatch, once a minute and at the end; null unless `metrics.emf` is true. */
export function startEmf(
  {
    config,
    clock,
    events,
  }: Pick<Deployment, 'clock' | 'events'> & {
    readonly config: Pick<Deployment['config'], 'metrics'>;
  },
  { pipelines, status, write = (line) => process.stdout.write(line) }: EmfOptions,
): Service | null {
  if (!config.metrics.emf) return null;
  const totals = new EmfTotals(events, pipelines);
  const stopping = new AbortController();
  const say = async (): Promise<void> => {
    for (const line of totals.lines(clock.now())) write(line);
    const seen = status && !stopping.signal.aborted ? await attempt(status, STATUS_LIMIT_MS) : null;
    if (seen?.ok) write(statusLine(seen.value, clock.now()));
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await clock.sleep(INTERVAL_MS, stopping.signal);
      await say();
    }
  };
  const looping = loop();
  return {
    stop: async () => {
      stopping.abort();
      await looping;
    },
  };
}
