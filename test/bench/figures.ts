import type { Usage } from './usage.js';

/** maskline's own processes, in the order of the flow. */
export const roleNames = ['ingest', 'transform', 'load'] as const;
/** What runs beside them and is not maskline's. */
export const serverNames = ['postgres', 'redis', 'sqs_emulator'] as const;
/** Whatever is measured. */
export const processNames = [...roleNames, ...serverNames] as const;

export type RoleName = (typeof roleNames)[number];
export type ServerName = (typeof serverNames)[number];
export type ProcessName = (typeof processNames)[number];

/** One value for each of some processes. */
export type By<Name extends string, T = number> = Readonly<Record<Name, T>>;

/** What one run has measured, before any arithmetic. */
export interface Measured {
  readonly messages: number;
  /** From the receive of the first message to the last commit, in ms. */
  readonly wallMs: number;
  /** When every role was ready and none had received. */
  readonly before: By<ProcessName, Usage>;
  /** When all was committed and deleted from SQS. */
  readonly after: By<ProcessName, Usage>;
}

/** One run's figures. */
export interface RunFigures {
  readonly messages: number;
  readonly wall_ms: number;
  readonly messages_per_second: number;
  /** µs of CPU per message, start-up left out. */
  readonly cpu_us_per_message: By<RoleName | 'total'>;
  readonly server_cpu_us_per_message: By<ServerName>;
  readonly peak_rss_mib: By<RoleName>;
  /** ms of CPU that each role took until it was ready. */
  readonly start_up_cpu_ms: By<RoleName>;
}

/** The figures of one run. `total` is the sum of the roles; servers are not in it. */
export function figuresOf(measured: Measured): RunFigures {
  const { messages, wallMs, before, after } = measured;
  const used = (name: ProcessName): number => after[name].cpuMicros - before[name].cpuMicros;
  const perMessage = (name: ProcessName): number => used(name) / messages;
  const total = roleNames.reduce((sum, name) => sum + used(name), 0) / messages;
  return {
    messages,
    wall_ms: wallMs,
    messages_per_second: messages / (wallMs / 1_000),
    cpu_us_per_message: { ...by(roleNames, perMessage), total },
    server_cpu_us_per_message: by(serverNames, perMessage),
    peak_rss_mib: by(roleNames, (name) => after[name].peakRssBytes / 2 ** 20),
    start_up_cpu_ms: by(roleNames, (name) => before[name].cpuMicros / 1_000),
  };
}

/** The middle of some values, and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of at least one value; the median of an even number is the mean of the two in the middle. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => {
    const value = sorted[index];
    if (value === undefined) throw new RangeError('a spread needs a value');
    return value;
  };
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
  };
}

/** Median, least and most over the runs. The median of `total` is that of the runs' totals. */
export interface Summary {
  readonly messages_per_second: Spread;
  readonly cpu_us_per_message: By<RoleName | 'total', Spread>;
  readonly server_cpu_us_per_message: By<ServerName, Spread>;
  readonly peak_rss_mib: By<RoleName, Spread>;
  readonly start_up_cpu_ms: By<RoleName, Spread>;
}

/** Sums up runs, at least one. */
export function summaryOf(runs: readonly RunFigures[]): Summary {
  const spread = (value: (run: RunFigures) => number): Spread => spreadOf(runs.map(value));
  return {
    messages_per_second: spread((run) => run.messages_per_second),
    cpu_us_per_message: by([...roleNames, 'total'] as const, (name) =>
      spread((run) => run.cpu_us_per_message[name]),
    ),
    server_cpu_us_per_message: by(serverNames, (name) =>
      spread((run) => run.server_cpu_us_per_message[name]),
    ),
    peak_rss_mib: by(roleNames, (name) => spread((run) => run.peak_rss_mib[name])),
    start_up_cpu_ms: by(roleNames, (name) => spread((run) => run.start_up_cpu_ms[name])),
  };
}

/** What became of the messages that were sent. */
export interface Outcome {
  readonly sent: number;
  readonly rows: number;
  readonly ledgerEntries: number;
  readonly loaded: number;
  /** Duplicates, quarantined and released records: none are expected. */
  readonly notLoaded: number;
  readonly leftInQueue: number;
}

/** Why a run has no figures, or null: each message must be one row, known to the ledger and deleted from SQS. */
export function problemOf(outcome: Outcome): string | null {
  const { sent, rows, ledgerEntries, loaded, notLoaded, leftInQueue } = outcome;
  const isAsSent = rows === sent && ledgerEntries === sent && loaded === sent;
  if (isAsSent && notLoaded === 0 && leftInQueue === 0) return null;
  return (
    `${sent} messages were sent, and there are ${rows} rows, ${ledgerEntries} ledger entries, ${loaded} loaded, ` +
    `${notLoaded} duplicate, quarantined or released, and ${leftInQueue} left in the queue`
  );
}

/** One value for each name. */
export function by<Name extends string, T>(names: readonly Name[], value: (name: Name) => T): By<Name, T> {
  return Object.fromEntries(names.map((name) => [name, value(name)])) as By<Name, T>;
}
