import { type Clock, systemClock } from '../clock.js';
import type { Config, PipelineConfig } from '../config/config.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { logEvents } from '../ops/event-log.js';
import { EventBus } from '../ops/events.js';
import type { Logger } from '../ops/logger.js';
import { policies } from '../policy.js';
import type { Environment } from './environment.js';
import { Tracing } from './tracing.js';
import { Loops } from './watch.js';

/** What everything in one process shares. */
export interface Deployment {
  readonly config: Config;
  readonly environment: Environment;
  readonly events: EventBus;
  readonly log: Logger;
  readonly clock: Clock;
  /** Names this process in `runs.owner`. */
  readonly owner: string;
  /** Hears of every wait for something that is away. */
  readonly onWait: (error: unknown) => void;
  /** What must go on turning in this process. */
  readonly loops: Loops;
  /** Null where no SDK of OpenTelemetry is registered. */
  readonly tracing: Tracing | null;
}

/** A process's share of the deployment; its events go to the log. */
export function createDeployment(config: Config, environment: Environment, log: Logger): Deployment {
  const events = new EventBus();
  logEvents(events, log, { remedyOf: (code) => policies[code].remedy });
  return {
    config,
    environment,
    events,
    log,
    clock: systemClock,
    owner: `${environment.variables['HOSTNAME'] || 'localhost'}:${process.pid}`,
    onWait: (error) => events.emit('outage_waiting', { code: asPipelineError(error).code }),
    loops: new Loops(systemClock),
    tracing: Tracing.open(systemClock, events),
  };
}

/** The pipelines of those names, in file order; all when no name is given. Throws `usage` for an unknown name. */
export function selectPipelines(config: Config, names: readonly string[]): readonly PipelineConfig[] {
  const known = new Set(config.pipelines.map((pipeline) => pipeline.name));
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new PipelineError(
      'usage',
      `no pipeline ${unknown.join(', ')} in ${config.file}; it has ${[...known].join(', ')}`,
    );
  }
  return config.pipelines.filter((pipeline) => names.length === 0 || names.includes(pipeline.name));
}
