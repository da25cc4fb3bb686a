// The servers of a deployment, and deployments on them: what a test of the command line needs around it.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { stringify } from 'yaml';
import type { EmbeddedRedis } from '../../src/embedded/redis.js';
import { type OutgoingMessage, type SqsServer, startSqs } from '../../src/embedded/sqs.js';
import { createKekFile } from '../../src/masking/kek.js';
import { createKeyring } from '../../src/masking/keyring-file.js';
import { writeKeyring } from '../../src/masking/keyring.js';
import { Cli, type CliOptions, type CliProcess, type Json } from './cli.js';
import { DATABASE_ROLES, type DatabaseUser, allowLogins, applyRoles, urlAs } from './database-roles.js';
import { openKeyringOracle } from './oracle.js';
import { type TestPostgres, startTestPostgres, withConnection } from './postgres.js';
import { eventually } from './queue.js';
import { startTestRedis } from './redis.js';

/** What maskline.yaml says, as an object. */
export interface ConfigFile {
  readonly [key: string]: unknown;
  readonly pipelines: Readonly<{ [name: string]: Json }>;
}

/** What a deployment is to be. */
export interface DeploymentOptions {
  /** Keys of the pipeline, over those of `LOGINS`. */
  readonly pipeline?: Json;
  /** Keys of the file beside `pipelines`. */
  readonly file?: Json;
  /** Run in the new database; default: the table of the logins. Null: the database is left without maskline's schema. */
  readonly ddl?: string | null;
  /** False: neither keyring nor KEK file are written. */
  readonly keys?: boolean;
  /** Of the SQS queue, as CreateQueue takes them. */
  readonly queueAttributes?: Readonly<{ [name: string]: string }>;
  /**
   * The roles of deploy/postgres/roles.sql are made, and the owner migrates: the deployment is `create: true`, `ddl` is
   * left out, and `start` runs each process under its own role.
   */
  readonly roles?: boolean;
  /** Where the queues are; default redis. */
  readonly queue?: 'redis' | 'postgres';
}

/** Messages of a queue, by what they are doing. */
export interface Depth {
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
}

/** The name of the one pipeline of each deployment, and of its table in `public`. */
export const PIPELINE = 'user_logins';

/** The columns of a login. */
export const LOGIN_COLUMNS = {
  user_id: { from: 'user_id', type: 'text', max_length: 128, required: true },
  device_type: { from: 'device_type', type: 'text', max_length: 32 },
  masked_ip: { from: 'ip', required: true, mask: { method: 'siv', domain: 'ip', as: 'ip' } },
  masked_device_id: { from: 'device_id', required: true, mask: { method: 'siv', domain: 'device_id' } },
  locale: { from: 'locale', type: 'text', max_length: 32 },
  app_version: { from: 'app_version', type: 'text', max_length: 32 },
  create_date: { from: '$sent_at', type: 'date' },
} as const;

/** Their table, made by hand. */
const LOGIN_TABLE = `create table public.${PIPELINE} (user_id varchar(128) not null, device_type varchar(32),
  masked_ip varchar(256) not null, masked_device_id varchar(256) not null, locale varchar(32),
  app_version varchar(32), create_date date)`;

/** Postgres, Redis and an SQS emulator for one test file. */
export class Stack {
  readonly postgres: TestPostgres;
  readonly redis: EmbeddedRedis & { readonly dir: string };
  readonly sqs: SqsServer;
  readonly #deployments: Deployment[] = [];
  #count = 0;

  constructor(servers: Pick<Stack, 'postgres' | 'redis' | 'sqs'>) {
    this.postgres = servers.postgres;
    this.redis = servers.redis;
    this.sqs = servers.sqs;
  }

  /** A deployment with a database, a queue, a prefix in Redis and a directory of its own. */
  async deployment(options: DeploymentOptions = {}): Promise<Deployment> {
    // Before anything is waited for: tests may run side by side.
    this.#count += 1;
    const number = this.#count;
    const isFifo = options.queueAttributes?.['FifoQueue'] === 'true';
    const queue = `queue-${number}${isFifo ? '.fifo' : ''}`;
    const { ddl = options.roles ? null : LOGIN_TABLE } = options;
    const database = ddl === null ? await this.postgres.database() : await this.postgres.migratedDatabase();
    if (ddl !== null) await withConnection(database, (client) => client.query(ddl));
    await this.sqs.createQueue(queue, options.queueAttributes);
    const deployment = new Deployment(this, { database, queue, prefix: `test${number}` }, options);
    this.#deployments.push(deployment);
    if (options.roles) await deployment.migrateAsOwner();
    return deployment;
  }

  /** Ends all processes and servers, and removes their files. */
  async stop(): Promise<void> {
    await Promise.all(this.#deployments.map((deployment) => deployment.close()));
    await Promise.all([this.postgres.stop(), this.redis.stop(), this.sqs.stop()]);
  }
}

/** Starts the servers; `settings` are Postgres's. To be stopped in `after`. */
export async function startStack(settings: Readonly<{ [name: string]: string }> = {}): Promise<Stack> {
  const [postgres, redis, sqs] = await Promise.all([
    startTestPostgres(settings),
    startTestRedis(),
    startSqs({ remember: 100_000 }),
  ]);
  return new Stack({ postgres, redis, sqs });
}

/** Files and environment of one deployment, and a look at what it does. */
export class Deployment {
  readonly cli: Cli;
  readonly dir: string;
  readonly database: string;
  readonly queue: string;
  readonly prefix: string;
  readonly configFile: string;
  readonly keyringFile: string;
  readonly kekFile: string;
  readonly environment: Readonly<{ [name: string]: string }>;
  readonly #options: DeploymentOptions;
  readonly #stack: Stack;
  readonly #pool: pg.Pool;
  #config: ConfigFile;

  constructor(
    stack: Stack,
    place: { readonly database: string; readonly queue: string; readonly prefix: string },
    options: DeploymentOptions,
  ) {
    this.#stack = stack;
    this.#options = options;
    this.database = place.database;
    this.queue = place.queue;
    this.prefix = place.prefix;
    this.dir = mkdtempSync(join(tmpdir(), 'maskline-cli-'));
    this.configFile = join(this.dir, 'maskline.yaml');
    this.keyringFile = join(this.dir, 'maskline.keyring.json');
    this.kekFile = join(this.dir, 'kek');
    this.#pool = new pg.Pool({ connectionString: place.database, max: 2 });
    // Tests restart the server.
    this.#pool.on('error', () => undefined);
    this.environment = {
      DATABASE_URL: place.database,
      REDIS_URL: options.queue === 'postgres' ? place.database : stack.redis.url,
      SQS_QUEUE_URL: place.queue,
      AWS_ENDPOINT_URL_SQS: stack.sqs.endpoint,
      AWS_REGION: stack.sqs.region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      // From anywhere: commands of several deployments may run in one process.
      MASKLINE_CONFIG: this.configFile,
      PORT: '0',
    };
    this.cli = new Cli(this.dir, this.environment);
    if (options.keys !== false)
      writeKeyring(this.keyringFile, createKeyring(createKekFile(this.kekFile), Date.now()));
    this.#config = this.#initial(options);
    this.configure((config) => config);
  }

  /** What makes a process work under its own database role, in the queue too where that is in Postgres. */
  environmentOf(user: DatabaseUser): Readonly<{ [name: string]: string }> {
    const DATABASE_URL = urlAs(this.database, DATABASE_ROLES[user]);
    return this.#options.queue === 'postgres' ? { DATABASE_URL, REDIS_URL: DATABASE_URL } : { DATABASE_URL };
  }

  /** Starts the process of a role, under its own database role if the deployment has roles. */
  start(
    role: Exclude<DatabaseUser, 'owner' | 'reveal' | 'audit'>,
    { env = {}, ...options }: CliOptions = {},
  ): CliProcess {
    const own = this.#options.roles ? this.environmentOf(role) : {};
    return this.cli.spawn(['run', role], { ...options, env: { ...own, ...env } });
  }

  /** As the comment in roles.sql says: the roles, then `migrate` by the owner, then what is new to the roles. */
  async migrateAsOwner(): Promise<void> {
    await applyRoles(this.database);
    await allowLogins(this.database);
    const { code, stderr } = await this.cli.run(['migrate'], { env: this.environmentOf('owner') });
    assert.equal(code, 0, stderr);
    await applyRoles(this.database);
  }

  /** Writes maskline.yaml anew. */
  configure(change: (config: ConfigFile) => ConfigFile): void {
    this.#config = change(this.#config);
    writeFileSync(this.configFile, stringify(this.#config));
  }

  /** The same with other keys of its pipeline. */
  configurePipeline(keys: Json): void {
    this.configure(({ pipelines, ...rest }) => ({
      ...rest,
      pipelines: { [PIPELINE]: { ...pipelines[PIPELINE], ...keys } },
    }));
  }

  /** Sends one message a body, and returns their ids. */
  async send(bodies: readonly string[]): Promise<readonly string[]> {
    return this.sendMessages(bodies.map((body) => ({ body })));
  }

  async sendMessages(messages: readonly OutgoingMessage[]): Promise<readonly string[]> {
    return this.#stack.sqs.send(this.queue, messages);
  }

  /** Rows of one statement in the deployment's database. */
  async query(sql: string, values: unknown[] = []): Promise<readonly Json[]> {
    const { rows } = await this.#pool.query<Json>(sql, values);
    return rows;
  }

  /** One number. */
  async count(from: string): Promise<number> {
    const [row] = await this.query(`select count(*)::int as n from ${from}`);
    return Number(row?.['n']);
  }

  /** Asks for that number until it is as wished, also while the server is away. */
  async countUntil(from: string, wished: (count: number) => boolean, limitMs = 60_000): Promise<number> {
    return eventually(() => this.count(from).catch(() => Number.NaN), wished, limitMs);
  }

  /** What the queue holds, as SQS tells. */
  async depth(): Promise<Depth> {
    const url = await this.#stack.sqs.queueUrl(this.queue);
    const answer = await sqsCall(this.#stack.sqs.endpoint, 'GetQueueAttributes', {
      QueueUrl: url,
      AttributeNames: ['All'],
    });
    const attributes = answer['Attributes'] as Readonly<{ [name: string]: string }>;
    const of = (name: string): number => Number(attributes[`ApproximateNumberOfMessages${name}`]);
    return { visible: of(''), inFlight: of('NotVisible'), delayed: of('Delayed') };
  }

  /** How often each message was received before, of up to ten that are visible; they are visible again afterwards. */
  async receiveCounts(): Promise<readonly number[]> {
    const QueueUrl = await this.#stack.sqs.queueUrl(this.queue);
    const { Messages = [] } = await sqsCall(this.#stack.sqs.endpoint, 'ReceiveMessage', {
      QueueUrl,
      MaxNumberOfMessages: 10,
      VisibilityTimeout: 0,
      AttributeNames: ['ApproximateReceiveCount'],
    });
    const messages = Messages as readonly { Attributes: { ApproximateReceiveCount: string } }[];
    // This very receive counts too.
    return messages.map(({ Attributes }) => Number(Attributes.ApproximateReceiveCount) - 1);
  }

  /** The runs that came to an end, oldest first. */
  async runs(): Promise<readonly Json[]> {
    return this.query(
      `select state, received::int, loaded::int, duplicates::int, quarantined::int, released::int
         from maskline.runs where finished_at is not null order by started_at`,
    );
  }

  /** The master keys, opened by another implementation than the product's. */
  masters(): ReadonlyMap<number, Buffer> {
    return openKeyringOracle(
      readFileSync(this.keyringFile, 'utf8'),
      readFileSync(this.kekFile, 'utf8').trim(),
    );
  }

  async close(): Promise<void> {
    await this.cli.stopAll();
    await this.#pool.end();
    rmSync(this.dir, { recursive: true, force: true });
  }

  #initial({ pipeline = {}, file = {}, roles = false }: DeploymentOptions): ConfigFile {
    mkdirSync(this.dir, { recursive: true });
    return {
      version: 1,
      database: { url: '${DATABASE_URL}' },
      queue: { url: '${REDIS_URL}', prefix: this.prefix },
      keyring: { file: this.keyringFile, kek: { type: 'file', path: this.kekFile } },
      ...file,
      pipelines: {
        [PIPELINE]: {
          columns: LOGIN_COLUMNS,
          batch: { linger: '200ms' },
          target: { table: `public.${PIPELINE}`, create: roles },
          ...pipeline,
        },
      },
    };
  }
}

/** Every finished run's report adds up: received = loaded + duplicates + quarantined + released. */
export function assertAddsUp(runs: readonly Json[]): void {
  for (const run of runs) {
    const sum = ['loaded', 'duplicates', 'quarantined', 'released'].reduce(
      (n, key) => n + Number(run[key]),
      0,
    );
    assert.equal(sum, run['received'], `the run does not add up: ${JSON.stringify(run)}`);
  }
}

/** One call of the SQS API, past the product. */
async function sqsCall(endpoint: string, action: string, input: object): Promise<Json> {
  const answer = await fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` },
    body: JSON.stringify(input),
  });
  assert.equal(answer.status, 200, `${action}: ${answer.status}`);
  return (await answer.json()) as Json;
}
