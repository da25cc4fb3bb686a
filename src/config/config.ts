import type { TlsFiles } from '../address/tls.js';
import type { ColumnPolicy } from '../masking/methods.js';
import type { RouteTable } from '../source/route.js';
import type { SqsTransport } from '../source/sqs.js';
import type { Host } from './hosts.js';
import type { Secret } from './secret.js';

/** A part of the day in which a pipeline receives nothing. */
export interface PauseWindow {
  /** Minutes of the day, by the clocks of the schedule's time zone; a `to` that is not later is on the next day. */
  readonly from: number;
  /** Up to 1440, the end of the day. */
  readonly to: number;
  /** The days on which it begins; 0 is Sunday. */
  readonly days: readonly number[];
}

/** When a pipeline runs. */
export type Schedule = {
  /** Of the pattern and of the pauses. */
  readonly timezone: string;
  /** Whether only one ingester of the deployment may drain at a time. */
  readonly exclusive: boolean;
  readonly pause: readonly PauseWindow[];
} & (
  | { readonly kind: 'continuous' }
  | {
      readonly kind: 'cron';
      /** 5 or 6 fields, as node-cron reads them. */
      readonly cron: string;
      readonly catchUp: boolean;
    }
);

/** Where a queue is, and how many receive calls it sees at once. */
export interface QueueConfig {
  /** URL, ARN or name. */
  readonly queue: string;
  readonly region: string;
  /** Null: the SDK's own resolution. */
  readonly endpoint: string | null;
  readonly receivers: number;
  readonly transport: SqsTransport;
  /** ARNs of the queues of whose messages `queue` is to have the dead letters; absent: it is a queue of its own. */
  readonly deadLettersOf?: readonly string[];
}

/** The queues of a pipeline, and how they are read. */
export interface SqsConfig {
  readonly queues: readonly [QueueConfig, ...QueueConfig[]];
  readonly waitTimeS: number;
  readonly visibilityTimeoutS: number;
}

/** How S3 is reached, where messages point to it. */
export interface S3Config {
  readonly buckets: readonly string[];
  readonly region: string;
  /** Null: the SDK's own resolution. */
  readonly endpoint: string | null;
  readonly forcePathStyle: boolean;
}

/** Limits of one pipeline; in_flight ones are per ingester. */
export interface PipelineLimits {
  readonly inFlight: number;
  readonly inFlightBytes: number;
  readonly residenceMs: number;
  readonly breaker: {
    readonly maxRejectedRatio: number;
    readonly minMessages: number;
    readonly maxRejected: number | null;
  };
}

/** How the records of a message are come by, and how much one message may hold. */
export interface OpeningConfig {
  readonly envelope: 'auto' | 'none' | 'sns' | 'eventbridge' | 's3';
  readonly encoding: 'auto' | 'none' | 'base64' | 'gzip' | 'deflate' | 'zstd';
  readonly records: 'auto' | 'one' | 'array' | 'lines';
  readonly maxRecords: number;
  readonly maxUnpackedBytes: number;
  /** Absent: what points to S3 is not followed. */
  readonly buckets?: readonly string[];
}

/** A table that rows go to. */
export interface TargetConfig {
  readonly schema: string;
  readonly table: string;
  readonly create: boolean;
  /** Null: rows are added. */
  readonly upsert: {
    readonly keys: readonly string[];
    /** Null: what is committed last stays. */
    readonly newestBy: string | null;
  } | null;
  /** Null: no partitions are made. */
  readonly partition: {
    readonly by: string;
    readonly every: 'day' | 'month';
    readonly back: number;
    readonly ahead: number;
  } | null;
  /** Given by `maskline migrate` when it makes the table. */
  readonly grants: readonly {
    readonly right: 'select' | 'insert' | 'update' | 'delete';
    readonly role: string;
  }[];
}

/** One pipeline: a queue, its masks and its tables. */
export interface PipelineConfig {
  readonly name: string;
  readonly schedule: Schedule | null;
  readonly source: { readonly sqs: SqsConfig; readonly s3: S3Config | null; readonly opening: OpeningConfig };
  /** Null: all that its queue holds is its own. */
  readonly route: RouteTable | null;
  readonly batch: { readonly maxMessages: number; readonly maxBytes: number; readonly lingerMs: number };
  /** Batches that one process works on at once in each stage; null: `-j`, or else the default of the stage. */
  readonly concurrency: { readonly transform: number | null; readonly load: number | null };
  readonly limits: PipelineLimits;
  readonly policy: ColumnPolicy;
  /** What a rejected record does to its group on a FIFO queue. */
  readonly fifo: 'skip' | 'block';
  /** Whether masked batches are searched for raw values before they leave `transform`. */
  readonly leakGate: boolean;
  /** The table of a row for each record: the only one, or the first of several. */
  readonly target: TargetConfig;
  /** The others, in the order of `policy.several.further`. */
  readonly further: readonly TargetConfig[];
}

/** How the key-encryption key is come by. */
export type KekConfig =
  | { readonly type: 'env' }
  | { readonly type: 'file'; readonly path: string }
  | {
      readonly type: 'aws-kms';
      readonly keyArn: string;
      /** Null: as the keyring file has it, as `encryptedKek`. */
      readonly context: { readonly [name: string]: string } | null;
      readonly encryptedKek: string | null;
    };

/** Whose rights a connection to Postgres has. */
export type DatabaseUser = 'ingest' | 'transform' | 'load' | 'admin' | 'owner' | 'reveal' | 'audit';

/** How Postgres is reached. */
export interface DatabaseConfig {
  /** Null when every user has a URL of its own. */
  readonly url: Secret | null;
  readonly tls: TlsFiles | null;
  /** Users with a URL of their own. */
  readonly roles: Readonly<{ [user in DatabaseUser]?: Secret }>;
}

/** The Sentinels of a Redis. */
export interface SentinelConfig {
  readonly name: string;
  readonly hosts: readonly Host[];
  readonly username: string | null;
  readonly password: Secret | null;
  readonly tls: boolean;
}

/** Whom to tell of what needs a person. */
export interface NotifyConfig {
  readonly webhook: Secret;
  /** By name. */
  readonly headers: Readonly<{ [name: string]: Secret }>;
  readonly on: readonly ('breaker' | 'overdue' | 'quarantine')[];
  /** Open records of a pipeline within an hour from which on its quarantine grows. */
  readonly quarantineGrowth: number;
}

/** A maskline.yaml, parsed, checked, completed with defaults and frozen. Durations in ms unless named otherwise. */
export interface Config {
  /** The file it came from. */
  readonly file: string;
  readonly database: DatabaseConfig;
  readonly queue: {
    readonly url: Secret;
    /** Who migrates a queue on Postgres; `url` unless given. */
    readonly ownerUrl: Secret;
    readonly tls: TlsFiles | null;
    readonly sentinel: SentinelConfig | null;
    readonly backend: 'redis' | 'postgres' | 'memory';
    readonly prefix: string;
    readonly highWater: number;
    readonly keepFailed: { readonly count: number; readonly ageS: number };
  };
  readonly keyring: { readonly file: string; readonly kek: KekConfig };
  readonly admin: {
    readonly host: string;
    readonly port: number;
    readonly allowActions: boolean;
    readonly metricsPublic: boolean;
  };
  readonly retention: {
    readonly ledgerMs: number;
    readonly runsMs: number;
    readonly replayedQuarantineMs: number;
  };
  /** Limits of what one database user may reveal, in values. */
  readonly reveal: { readonly rate: number; readonly quota: number };
  readonly startupTimeoutMs: number;
  readonly healthMaxLagMs: number;
  /** Null: nobody. */
  readonly notify: NotifyConfig | null;
  /** Whether metrics go to stdout too, in CloudWatch's embedded metric format. */
  readonly metrics: { readonly emf: boolean };
  readonly pipelines: readonly PipelineConfig[];
}
