import type { EventBus } from './events.js';
import type { Status } from './status.js';

/**
 * The units that are used, of those that CloudWatch has (Amazon CloudWatch User Guide, "Specification: embedded metric
 * format").
 */
type Unit = 'Count' | 'Seconds' | 'None';

const NAMESPACE = 'maskline';

/** What alarms need, of each pipeline. */
const UNITS = {
  MessagesReceived: 'Count',
  MessagesDeleted: 'Count',
  RowsLoaded: 'Count',
  RowsDuplicate: 'Count',
  RowsQuarantined: 'Count',
  RowsReleased: 'Count',
  JobsFailed: 'Count',
  EndToEndLag: 'Seconds',
  Stopped: 'None',
} as const satisfies { readonly [name: string]: Unit };

type Name = keyof typeof UNITS;

/** The sums and the largest lag of one pipeline since the last line. */
type Figures = { [name in Name]?: number };

/**
 * One line in the embedded metric format: CloudWatch makes metrics of it wherever the log goes to CloudWatch Logs.
 * `values` are by name of the metric, `dimensions` by theirs; `at` is in epoch ms.
 */
function emfLine(
  values: Readonly<{ [name: string]: number }>,
  units: Readonly<{ [name: string]: Unit }>,
  dimensions: Readonly<{ [name: string]: string }>,
  at: number,
): string {
  const metrics = Object.keys(values).map((name) => ({ Name: name, Unit: units[name] ?? 'None' }));
  const directive = { Namespace: NAMESPACE, Dimensions: [Object.keys(dimensions)], Metrics: metrics };
  const members = { _aws: { Timestamp: at, CloudWatchMetrics: [directive] }, ...dimensions, ...values };
  return `${JSON.stringify(members)}\n`;
}

/** A line about the whole deployment, as `status` sees it. */
export function statusLine({ problems, pipelines }: Status, at: number): string {
  const lags = pipelines.flatMap(({ lag_seconds: lag }) => lag ?? []);
  const values = { Problems: problems.length, ...(lags.length > 0 ? { Lag: Math.max(...lags) } : {}) };
  return emfLine(values, { Problems: 'Count', Lag: 'Seconds' }, { service: NAMESPACE }, at);
}

/** Adds up what the events tell of each pipeline, and hands it out as lines, each event once. */
export class EmfTotals {
  readonly #figures = new Map<string, Figures>();
  readonly #stopped = new Set<string>();

  constructor(events: Pick<EventBus, 'on'>, pipelines: readonly string[]) {
    for (const pipeline of pipelines) this.#figures.set(pipeline, {});
    events.on('messages_received', ({ pipeline, messages }) =>
      this.#add(pipeline, 'MessagesReceived', messages),
    );
    events.on('messages_deleted', ({ pipeline, messages }) =>
      this.#add(pipeline, 'MessagesDeleted', messages),
    );
    events.on('batch_loaded', ({ pipeline, loaded, duplicates, quarantined, released, lagMs }) => {
      this.#add(pipeline, 'RowsLoaded', loaded);
      this.#add(pipeline, 'RowsDuplicate', duplicates);
      this.#add(pipeline, 'RowsQuarantined', quarantined);
      this.#add(pipeline, 'RowsReleased', released);
      if (lagMs !== null) this.#raise(pipeline, Math.max(0, lagMs) / 1_000);
    });
    events.on('batch_let_go', ({ pipeline, records }) => this.#add(pipeline, 'RowsReleased', records));
    events.on('job_failed', ({ pipeline, final }) => {
      if (final) this.#add(pipeline, 'JobsFailed', 1);
    });
    events.on('pipeline_stopped', ({ pipeline, isStopped }) => {
      if (isStopped) this.#stopped.add(pipeline);
      else this.#stopped.delete(pipeline);
    });
  }

  /** One line for each pipeline, also when nothing came: an alarm tells silence from nothing to do. */
  lines(at: number): readonly string[] {
    return [...this.#figures].map(([pipeline, figures]) => {
      this.#figures.set(pipeline, {});
      const { EndToEndLag: lag, ...sums } = figures;
      const values = { ...ZEROS, ...sums, Stopped: this.#stopped.has(pipeline) ? 1 : 0 };
      return emfLine(lag === undefined ? values : { ...values, EndToEndLag: lag }, UNITS, { pipeline }, at);
    });
  }

  #add(pipeline: string, name: Name, amount: number): void {
    const figures = this.#figures.get(pipeline);
    if (figures) figures[name] = (figures[name] ?? 0) + amount;
  }

  #raise(pipeline: string, lag: number): void {
    const figures = this.#figures.get(pipeline);
    if (figures) figures.EndToEndLag = Math.max(figures.EndToEndLag ?? 0, lag);
  }
}

const ZEROS: Readonly<{ [name: string]: number }> = {
  MessagesReceived: 0,
  MessagesDeleted: 0,
  RowsLoaded: 0,
  RowsDuplicate: 0,
  RowsQuarantined: 0,
  RowsReleased: 0,
  JobsFailed: 0,
};
