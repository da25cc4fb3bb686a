import type { Gauge, Registry } from 'prom-client';
import type { Answer } from './attempt.js';
import { gauge } from './instruments.js';
import { metricNames } from './metric-names.js';
import type { Status } from './status.js';

type Sampled = (
  name: string,
  help: string,
  labels: readonly string[],
  sample: (made: Gauge, status: Status) => void,
) => void;

/** A subject that is one pipeline is also its label. */
const OF_PIPELINE = /^pipeline (\S+)$/;

/**
 * What `status` says, at each scrape: 1 for each problem that it names, so that alerts and `status --check` can't differ.
 * What could not be found out has no sample.
 */
export function sampleStatus(registry: Registry, read: () => Promise<Answer<Status>>): void {
  const sampled: Sampled = (name, help, labels, sample) => {
    const made: Gauge = gauge(registry, name, help, labels, async () => {
      const answer = await read();
      made.reset();
      if (answer.ok) sample(made, answer.value);
    });
  };
  sampled(metricNames.healthy, '1 while `status --check` finds nothing wrong.', [], (made, { healthy }) =>
    made.set(healthy ? 1 : 0),
  );
  sampled(
    metricNames.problems,
    '1 for each problem that `status` names.',
    ['problem', 'subject', 'pipeline'],
    (made, { problems }) => {
      for (const { kind, subject } of problems)
        made.set({ problem: kind, subject, pipeline: OF_PIPELINE.exec(subject)?.[1] ?? '' }, 1);
    },
  );
  sampled(
    metricNames.processes,
    'Processes that have said lately that they are alive, by role.',
    ['role'],
    (made, { processes }) => {
      for (const { role } of processes) made.inc({ role });
    },
  );
  samplePipelines(sampled);
}

function samplePipelines(sampled: Sampled): void {
  sampled(
    metricNames.lag,
    'At most so many seconds old is the oldest message that is not settled.',
    ['pipeline'],
    (made, { pipelines }) => {
      for (const { pipeline, lag_seconds: lag } of pipelines) if (lag !== null) made.set({ pipeline }, lag);
    },
  );
  sampled(
    metricNames.quarantineOpen,
    'Quarantined records that are not replayed yet, by code.',
    ['pipeline', 'code'],
    (made, { pipelines }) => {
      for (const { pipeline, quarantine } of pipelines)
        for (const [code, count] of Object.entries(quarantine?.codes ?? {}))
          made.set({ pipeline, code }, count);
    },
  );
}
