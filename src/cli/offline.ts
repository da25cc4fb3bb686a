import { existsSync } from 'node:fs';
import type { Config } from '../config/config.js';
import type { Environment } from '../config/interpolation.js';
import { loadConfig } from '../config/load.js';
import type { Keyring } from '../masking/keyring.js';
import { throwawayKeyring } from '../foresight/test-keyring.js';
import { openKeyring } from '../roles/keyring.js';
import type { CliContext } from './context.js';

/** What stands in for places that are not named, and that nobody connects to. */
const NO_DATABASE = 'postgres://localhost/none';
const NO_QUEUE = 'none';

/** What a command that needs no servers reads. */
export interface OfflineOptions {
  /** Another file than the deployment's own. */
  readonly file?: string;
  /** Whether messages of the queue are looked at, which then must be named. */
  readonly readsQueue?: boolean;
  /** Whether something goes on record in the database, which then must be named. */
  readonly records?: boolean;
}

/** The configuration for work without a database, which need not be named. Throws `config_invalid`. */
export function readOfflineConfig(
  { configFile, environment: { variables } }: CliContext,
  { file = configFile, readsQueue = false, records = false }: OfflineOptions = {},
): Config {
  const env = records ? variables : withoutDatabase(variables);
  return loadConfig({ file, env: readsQueue ? env : withoutQueue(env) });
}

/** The environment, with stand-ins for the servers that it does not name. */
export function withoutServers(variables: Environment): Environment {
  return withoutQueue(withoutDatabase(variables));
}

function withoutQueue(variables: Environment): Environment {
  return { ...variables, SQS_QUEUE_URL: variables['SQS_QUEUE_URL'] || NO_QUEUE };
}

function withoutDatabase(variables: Environment): Environment {
  return { ...variables, DATABASE_URL: variables['DATABASE_URL'] || NO_DATABASE };
}

/**
 * The deployment's keyring; where it has none, or under `throwaway`, one that lives for this process only, which is
 * said on stderr. Throws `key_unavailable` or `config_invalid` for a keyring that does not open.
 */
export async function rehearsalKeyring(
  { environment, out }: CliContext,
  config: Pick<Config, 'keyring'>,
  throwaway: boolean,
): Promise<Keyring> {
  const { file } = config.keyring;
  if (!throwaway && existsSync(file)) return openKeyring({ config, environment });
  const why = throwaway ? 'As asked' : `There is no keyring ${file}`;
  out.note(`${why}: masked with a throwaway key, so the tokens are not those of production.`);
  return throwawayKeyring(Date.now());
}
