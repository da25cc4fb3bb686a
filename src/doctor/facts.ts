import type { Config, PipelineConfig } from '../config/config.js';
import type { PipelineError } from '../errors.js';
import type { KidsFound } from '../load/key-uses.js';
import type { ProcessRecord } from '../load/processes.js';
import type { Right } from '../load/rights.js';
import type { ServerReport } from '../load/server-report.js';
import type { Finding } from '../load/target.js';
import type { KeyState } from '../masking/keyring-file.js';
import type { Problem } from '../ops/status.js';
import type { RedisReport } from '../queue/bullmq-check.js';
import type { QueueProbe } from '../source/sqs-probe.js';

/** What was found out, or why it was not. */
export type Fact<T> = T | PipelineError;

/** What is known of the process that asks, and of its directory. */
export interface HostFacts {
  /** As in `process.versions.node`. */
  readonly nodeVersion: string;
  /** Names of variables that `.env` sets and the environment does not. */
  readonly unreadVariables: readonly string[];
  /** Variables that make processes fail on purpose, of those that are set. */
  readonly failpoints: readonly string[];
  /** How long after its first signal a process is killed, by what says so. */
  readonly killTimes: Fact<readonly KillTime[]>;
  /** What is wrong with HOST and PORT; null: nothing. */
  readonly endpoint: Fact<{ readonly host: string }>;
  readonly hasCredentials: boolean;
}

/** How long what supervises a process waits between telling it to end and killing it. */
export interface KillTime {
  /** A file and an app in it, or an option. */
  readonly where: string;
  readonly ms: number;
  /** How to change it. */
  readonly how: string;
}

/** A keyring, as it lies there and as it opens. */
export interface KeyringFacts {
  readonly file: string;
  /** The permission bits of the file; null when it can't be looked at. */
  readonly mode: number | null;
  /** Whether it is owned by another user than this process's. */
  readonly isForeign: boolean;
  /** By kid; empty when the file can't be read. */
  readonly states: ReadonlyMap<number, KeyState>;
  readonly opened: Fact<true>;
}

/** What one of the configured URLs of Postgres leads to. */
export interface DatabaseFacts {
  /** The key of maskline.yaml that the URL stands at. */
  readonly key: string;
  /** Processes that use it. */
  readonly users: readonly string[];
  readonly schema: Fact<true>;
  readonly server: Fact<ServerReport>;
  readonly missing: Fact<readonly Right[]>;
}

/** The tables of a pipeline. */
export interface TableFacts {
  readonly pipeline: string;
  readonly table: string;
  readonly findings: Fact<readonly Finding[]>;
  /** Statements that would make it fit, and whether `maskline migrate` runs them. */
  readonly plan: Fact<readonly { readonly sql: string; readonly automatic: boolean }[]>;
}

/** A queue of a pipeline in SQS. */
export interface SourceFacts {
  readonly pipeline: PipelineConfig;
  readonly queue: string;
  /** Null: there is no such queue. */
  readonly probe: Fact<QueueProbe | null>;
}

/** All that the checks look at: what is configured, and what was found out. They ask nobody. */
export interface Facts {
  readonly config: Config;
  readonly pipelines: readonly PipelineConfig[];
  readonly host: HostFacts;
  readonly keyring: KeyringFacts;
  readonly databases: readonly DatabaseFacts[];
  readonly tables: readonly TableFacts[];
  readonly processes: Fact<readonly ProcessRecord[]>;
  readonly kids: Fact<readonly KidsFound[]>;
  /** Null where the queue is not in Redis. */
  readonly redis: Fact<RedisReport> | null;
  /** Whether the queues between the stages answer. */
  readonly queues: Fact<true>;
  readonly sources: readonly SourceFacts[];
  /** By pipeline; those that follow pointers to S3. */
  readonly buckets: readonly { readonly pipeline: string; readonly reached: Fact<true> }[];
  /** What `status` says of the pipelines. */
  readonly problems: Fact<readonly Problem[]>;
}
