// A deployment of two pipelines: one that is going to be broken, and a sound one.

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import type { Json } from './cli.js';
import { SMALL_COLUMNS } from './events.js';
import { keyringOracle } from './oracle.js';
import { type ConfigFile, type Deployment, PIPELINE, type Stack } from './stack.js';

/** The table of the pipeline that is going to be broken, `user_logins`. */
export const BROKEN = `public.${PIPELINE}`;
/** The table of the pipeline `sound`. */
export const SOUND = 'public.sound';

/** Both pipelines, each with a queue and a table of its own. */
export interface TwoPipelines {
  readonly deployment: Deployment;
  readonly sendSound: (bodies: readonly string[]) => Promise<void>;
}

/** `keys` go over those of the pipeline that is going to be broken, `both` over those of either. */
export async function twoPipelines(stack: Stack, keys: Json = {}, both: Json = {}): Promise<TwoPipelines> {
  const pipeline = {
    schedule: '* * * * * *',
    batch: { max_messages: 100, linger: '50ms' },
    columns: SMALL_COLUMNS,
    ...both,
  };
  const table = (name: string): string => `create table ${name} (event_id varchar(32), device varchar(256))`;
  const deployment = await stack.deployment({ ddl: `${table(BROKEN)}; ${table(SOUND)}`, pipeline });
  const queue = `${deployment.queue}-sound`;
  await stack.sqs.createQueue(queue);
  const sound = { ...pipeline, source: { sqs: { queue } }, target: { table: SOUND } };
  deployment.configure(({ pipelines, ...rest }) => ({
    ...rest,
    pipelines: { [PIPELINE]: { ...pipelines[PIPELINE], ...keys }, sound },
  }));
  const sendSound = async (bodies: readonly string[]): Promise<void> => {
    await stack.sqs.send(
      queue,
      bodies.map((body) => ({ body })),
    );
  };
  return { deployment, sendSound };
}

/** A configuration beside the deployment's own, whose keyring has a newer primary key besides; returns its file. */
export function newerKeyring(deployment: Deployment): string {
  const masters = new Map(deployment.masters()).set(2, randomBytes(32));
  const { id } = JSON.parse(readFileSync(deployment.keyringFile, 'utf8')) as { id: string };
  const file = join(deployment.dir, 'newer.json');
  writeFileSync(file, keyringOracle(masters, readFileSync(deployment.kekFile, 'utf8').trim(), id));
  const config = parse(readFileSync(deployment.configFile, 'utf8')) as ConfigFile & {
    readonly keyring: Json;
  };
  const configFile = join(deployment.dir, 'newer.yaml');
  writeFileSync(configFile, stringify({ ...config, keyring: { ...config.keyring, file } }));
  return configFile;
}
