import {
  judgeConnections,
  judgeDurability,
  judgePostgres,
  judgeRights,
  judgeSchema,
  judgeSharedTables,
  judgeTables,
} from './database-checks.js';
import type { Facts } from './facts.js';
import type { Verdict } from './finding.js';
import {
  judgeAdmin,
  judgeClocks,
  judgeEnvironmentFile,
  judgeFailpoints,
  judgeHealth,
  judgeNode,
} from './host-checks.js';
import { judgeKeyring, judgeKeyringMode, judgeKeys } from './key-checks.js';
import {
  judgeQueueServer,
  judgeRedisMemory,
  judgeRedisPersistence,
  judgeRedisPolicy,
  judgeRedisVersion,
} from './queue-checks.js';
import {
  judgeBuckets,
  judgeDeadLetters,
  judgeLedgerRetention,
  judgeQueueRights,
  judgeQueues,
  judgeRedrive,
  judgeSharedQueues,
} from './source-checks.js';
import {
  judgeDatabaseTimeouts,
  judgeInFlight,
  judgeKillTime,
  judgeLinger,
  judgeReceiveCount,
  judgeResidence,
  judgeVisibility,
} from './time-budget.js';

/** One thing that doctor looks at. Names are part of the interface: docs/reference.md lists them. */
export interface Check {
  readonly name: string;
  /** Under which heading it is shown. */
  readonly area: 'Postgres' | 'SQS' | 'queue' | 'keys' | 'time' | 'process';
  readonly judge: (facts: Facts) => Verdict;
  /** Absent: it is for every deployment. */
  readonly isFor?: (facts: Facts) => boolean;
}

const usesRedis = ({ redis }: Facts): boolean => redis !== null;
const usesS3 = ({ buckets }: Facts): boolean => buckets.length > 0;

/** All checks, in the order in which what they find is best mended. */
export const checks: readonly Check[] = [
  { name: 'node', area: 'process', judge: judgeNode },
  { name: 'env_file', area: 'process', judge: judgeEnvironmentFile },
  { name: 'failpoints', area: 'process', judge: judgeFailpoints },
  { name: 'admin', area: 'process', judge: judgeAdmin },
  { name: 'clocks', area: 'process', judge: judgeClocks },
  { name: 'health', area: 'process', judge: judgeHealth },
  { name: 'keyring', area: 'keys', judge: judgeKeyring },
  { name: 'keyring_mode', area: 'keys', judge: judgeKeyringMode },
  { name: 'keys', area: 'keys', judge: judgeKeys },
  { name: 'postgres', area: 'Postgres', judge: judgePostgres },
  { name: 'schema', area: 'Postgres', judge: judgeSchema },
  { name: 'rights', area: 'Postgres', judge: judgeRights },
  { name: 'tables', area: 'Postgres', judge: judgeTables },
  { name: 'shared_table', area: 'Postgres', judge: judgeSharedTables },
  { name: 'connections', area: 'Postgres', judge: judgeConnections },
  { name: 'durability', area: 'Postgres', judge: judgeDurability },
  { name: 'queue', area: 'queue', judge: judgeQueueServer },
  { name: 'redis_policy', area: 'queue', judge: judgeRedisPolicy, isFor: usesRedis },
  { name: 'redis_version', area: 'queue', judge: judgeRedisVersion, isFor: usesRedis },
  { name: 'redis_memory', area: 'queue', judge: judgeRedisMemory, isFor: usesRedis },
  { name: 'redis_persistence', area: 'queue', judge: judgeRedisPersistence, isFor: usesRedis },
  { name: 'sqs', area: 'SQS', judge: judgeQueues },
  { name: 'sqs_rights', area: 'SQS', judge: judgeQueueRights },
  { name: 'shared_queue', area: 'SQS', judge: judgeSharedQueues },
  { name: 'redrive', area: 'SQS', judge: judgeRedrive },
  { name: 'dead_letters', area: 'SQS', judge: judgeDeadLetters },
  { name: 'ledger_retention', area: 'SQS', judge: judgeLedgerRetention },
  { name: 'buckets', area: 'SQS', judge: judgeBuckets, isFor: usesS3 },
  { name: 'visibility', area: 'time', judge: judgeVisibility },
  { name: 'linger', area: 'time', judge: judgeLinger },
  { name: 'residence', area: 'time', judge: judgeResidence },
  { name: 'in_flight', area: 'time', judge: judgeInFlight },
  { name: 'receive_count', area: 'time', judge: judgeReceiveCount },
  { name: 'kill_time', area: 'time', judge: judgeKillTime },
  { name: 'database_timeouts', area: 'time', judge: judgeDatabaseTimeouts },
];
