import type { ConnectionOptions } from 'node:tls';
import { parseRedisUrl } from '../address/redis-url.js';
import { NO_TLS_FILES, tlsOptions } from '../address/tls.js';
import { connectorTo } from './bullmq-connector.js';
import { COMMAND_LIMIT_MS, type QueueServer } from './bullmq-link.js';

/** While no Sentinel answers, or none knows a primary, they are asked again about so often. */
const SENTINEL_RETRY_MS = 250;

/** Those of ioredis's options that say where it connects, and as whom. */
export interface RedisAddressOptions {
  readonly host?: string;
  readonly port?: number;
  readonly family: number;
  readonly db: number;
  readonly username?: string;
  readonly password?: string;
  readonly tls?: ConnectionOptions;
  readonly disableClientInfo: boolean;
  readonly Connector?: ReturnType<typeof connectorTo>;
  readonly name?: string;
  readonly sentinels?: { host: string; port: number }[];
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  readonly sentinelTLS?: ConnectionOptions;
  readonly enableTLSForSentinelMode?: boolean;
  readonly sentinelCommandTimeout?: number;
  readonly sentinelRetryStrategy?: () => number;
}

/**
 * What ioredis is told of the server and its Sentinels: address, user, TLS. Throws `config_invalid` for a URL that
 * can't be read, or a file of TLS that can't.
 */
export function redisOptions({ url, tls, sentinels }: QueueServer): RedisAddressOptions {
  const { host, port, username, password, db, family, isEncrypted } = parseRedisUrl(url);
  const settings = { ...(tls ?? NO_TLS_FILES), verification: 'full' } as const;
  const common = {
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    db,
    family,
    // Names the library, and asks for a right that a user with the least ones does not have.
    disableClientInfo: true,
  };
  if (!sentinels) {
    const encryption = isEncrypted ? { tls: tlsOptions(settings, host) } : {};
    return {
      ...common,
      host,
      port,
      ...encryption,
      Connector: connectorTo({ host, port, family, ...encryption }),
    };
  }
  return {
    ...common,
    name: sentinels.name,
    sentinels: sentinels.hosts.map((one) => ({ ...one })),
    ...(sentinels.username === null ? {} : { sentinelUsername: sentinels.username }),
    ...(sentinels.password === null ? {} : { sentinelPassword: sentinels.password }),
    // A name of the server's own is not the Sentinels': they are known by the hosts that were given.
    ...(sentinels.tls ? { sentinelTLS: tlsOptions({ ...settings, serverName: null }) } : {}),
    ...(isEncrypted ? { tls: tlsOptions(settings), enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: COMMAND_LIMIT_MS,
    sentinelRetryStrategy: () => SENTINEL_RETRY_MS,
  };
}
