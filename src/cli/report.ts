import type { RunReport } from '../batch.js';
import type { Row } from './output.js';

/** Time as the interface prints it: ISO 8601, UTC. */
export function isoTime(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(epochMs).toISOString();
}

/** A run's report under the names of the interface. */
export function reportRow(report: RunReport): Row {
  const { received, loaded, duplicates, quarantined, released } = report;
  return {
    run_id: report.runId,
    pipeline: report.pipeline,
    trigger: report.trigger,
    state: report.state,
    started_at: isoTime(report.startedAt),
    finished_at: isoTime(report.finishedAt),
    ...{ received, loaded, duplicates, quarantined, released },
  };
}

/** A run's report for people. */
export function reportText(report: RunReport): string {
  const { received, loaded, duplicates, quarantined, released } = report;
  const seconds = report.finishedAt === null ? null : (report.finishedAt - report.startedAt) / 1000;
  const took = seconds === null ? '' : ` in ${seconds.toFixed(1)} s`;
  return (
    `${report.pipeline}: ${report.state}${took}\n` +
    `  received ${received} = loaded ${loaded} + duplicates ${duplicates} + quarantined ${quarantined} + released ${released}`
  );
}
