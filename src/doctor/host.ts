import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { PipelineError, asPipelineError } from '../errors.js';
import type { Deployment } from '../roles/deployment.js';
import { endpointOf } from '../roles/endpoint.js';
import type { Environment } from '../roles/environment.js';
import type { Fact, HostFacts, KillTime } from './facts.js';
import {
  findComposeFile,
  findPm2File,
  graceOf,
  ownPm2,
  readComposeFile,
  readPm2File,
} from './supervisors.js';

/** What the user says of where the processes run. */
export interface HostOptions {
  /** Where `.env` and the files of pm2 and Compose are looked for. */
  readonly directory: string;
  /** A file of pm2's apps; null: the one in the directory, if there is one. */
  readonly pm2File: string | null;
  /** How long the runtime of the containers waits before it kills; null: not known. */
  readonly graceMs: number | null;
}

/** Variables that a process reads by itself: those that it would miss. */
const READ =
  /^(DATABASE_URL|REDIS_URL|SQS_QUEUE_URL|LOG_LEVEL|HOST|PORT|MASKLINE_[A-Z_]+|AWS_(REGION|DEFAULT_REGION|PROFILE|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|ENDPOINT_URL[A-Z0-9_]*))$/;
const FAILPOINTS = ['MASKLINE_FAILPOINTS', 'MASKLINE_ALLOW_FAILPOINTS'];

/** What can be told without asking a server. Never rejects. */
export async function lookAround(
  deployment: Pick<Deployment, 'config' | 'environment'>,
  options: HostOptions,
): Promise<HostFacts> {
  const { environment } = deployment;
  return {
    nodeVersion: process.versions.node,
    unreadVariables: unreadVariables(options.directory, environment),
    failpoints: FAILPOINTS.filter((name) => environment.variables[name]),
    killTimes: await killTimesOf(environment, options),
    endpoint: endpointFact(deployment),
    hasCredentials: environment.credentials !== null,
  };
}

/** Names of the variables that `.env` in that directory sets, that a process reads, and that are not set here. */
export function unreadVariables(
  directory: string,
  { variables, kek }: Pick<Environment, 'variables' | 'kek'>,
): readonly string[] {
  let text: string;
  try {
    text = readFileSync(resolve(directory, '.env'), 'utf8');
  } catch {
    return [];
  }
  const isSet = (name: string): boolean =>
    Boolean(variables[name]) || (name === 'MASKLINE_KEK' && kek !== null);
  return Object.entries(parseEnv(text)).flatMap(([name, value]) =>
    value !== '' && READ.test(name) && !isSet(name) ? [name] : [],
  );
}

async function killTimesOf(
  { variables }: Environment,
  { directory, pm2File, graceMs }: HostOptions,
): Promise<Fact<readonly KillTime[]>> {
  const pm2 = pm2File ?? findPm2File(directory);
  const compose = findComposeFile(directory);
  try {
    return [
      ...ownPm2(variables),
      ...(pm2 === null ? [] : await readPm2File(pm2)),
      ...(compose === null ? [] : readComposeFile(compose)),
      ...(graceMs === null ? [] : [graceOf(graceMs)]),
    ];
  } catch (error) {
    return asPipelineError(error);
  }
}

function endpointFact(deployment: Pick<Deployment, 'config' | 'environment'>): HostFacts['endpoint'] {
  try {
    return endpointOf(deployment, 'admin') ?? { host: deployment.config.admin.host };
  } catch (error) {
    if (error instanceof PipelineError) return error;
    throw error;
  }
}
