import { validate } from 'node-cron';
import type { Schedule } from './config.js';
import type { PipelineInput } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';

/** The schedule, null when there is none; reports patterns and time zones that do not exist. */
export function buildSchedule(
  input: PipelineInput['schedule'],
  at: Path,
  findings: Findings,
): Schedule | null {
  if (input === undefined) return null;
  if (input === 'continuous') return { kind: 'continuous' };
  if (typeof input === 'string') {
    checkCron(input, at, findings);
    return { kind: 'cron', cron: input, timezone: 'UTC', exclusive: false, catchUp: true };
  }
  checkCron(input.cron, [...at, 'cron'], findings);
  if (!isTimezone(input.timezone))
    findings.error([...at, 'timezone'], 'no such time zone; write one such as Europe/Berlin');
  if (input.exclusive) {
    findings.error(
      [...at, 'exclusive'],
      'is not supported by this version of maskline; several ingesters may drain one queue at once without harm',
    );
  }
  const { cron, timezone, exclusive, catch_up: catchUp } = input;
  return { kind: 'cron', cron, timezone, exclusive, catchUp };
}

function checkCron(pattern: string, at: Path, findings: Findings): void {
  if (pattern === 'continuous') {
    findings.error(at, 'write `schedule: continuous`, without a map, for a pipeline that never pauses');
  } else if (!validate(pattern)) {
    findings.error(
      at,
      'must be `continuous` or a cron pattern of 5 fields, or of 6 with seconds first, such as "*/30 * * * * *"',
    );
  }
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
