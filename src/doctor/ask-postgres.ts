import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { kidsFound } from '../load/key-uses.js';
import { checkSchema } from '../load/migrate.js';
import { listProcesses } from '../load/processes.js';
import { type RightsUser, memberships, missingRights, rightsOf } from '../load/rights.js';
import { describeServer } from '../load/server-report.js';
import { planTarget } from '../load/target-plan.js';
import { checkTarget, targetSpec } from '../load/target.js';
import { isList } from '../masking/methods.js';
import { isJsonColumn } from '../masking/parts.js';
import { type PoolUser, databaseServer, databaseUrls, openPool } from '../roles/database.js';
import type { Deployment } from '../roles/deployment.js';
import { GONE_MS } from '../roles/presence.js';
import { fact } from './fact.js';
import type { DatabaseFacts, Fact, Facts, TableFacts } from './facts.js';

/** What each of its sessions sets for itself: no question takes longer that is of use. */
export const SESSION_STATEMENT_TIMEOUT_MS = 10_000;
/** A server that is away is known to be soon; and where connections are short, who finds that out must not need many. */
const LIMITS = { connectTimeoutMs: 3_000, max: 2, statementTimeoutMs: SESSION_STATEMENT_TIMEOUT_MS };
/** Those that a URL for all is for. */
const STAGES: readonly RightsUser[] = ['ingest', 'transform', 'load', 'admin'];
const OWN: readonly RightsUser[] = [...STAGES, 'reveal', 'audit'];
/** Those whose tokens say what they were made under; what a vault's stand for is sealed in maskline's own table. */
const TOKENS: readonly string[] = ['siv', 'hmac'];

/** Asks about the databases of a configuration, over one pool for each URL. */
export class PostgresQuestions {
  readonly #deployment: Deployment;
  readonly #releases: Releases;
  readonly #pools = new Map<string, PostgresPool>();

  constructor(deployment: Deployment, releases: Releases) {
    this.#deployment = deployment;
    this.#releases = releases;
  }

  /** The pool of that user's URL. Throws `config_invalid` for a URL or a file of its TLS that can't be read. */
  async pool(user: PoolUser): Promise<PostgresPool> {
    const { url } = databaseServer(this.#deployment.config, user);
    const known = this.#pools.get(url);
    if (known) return known;
    const pool = openPool(this.#deployment, user, 'maskline-doctor', LIMITS);
    this.#pools.set(url, pool);
    return this.#releases.acquire(pool, (opened) => opened.close());
  }

  /** Each URL, and what it is like for the processes that use it. */
  databases(): Promise<readonly DatabaseFacts[]> {
    const urls = [...databaseUrls(this.#deployment.config)];
    return Promise.all(urls.map(([key, user]) => this.#database(key, user)));
  }

  async #database(key: string, user: PoolUser): Promise<DatabaseFacts> {
    const users = await this.#users(user);
    const [schema, server, missing] = await Promise.all([
      this.#ask(async () => {
        await checkSchema(await this.pool(user));
        return true as const;
      }),
      this.#ask(async () => describeServer(await this.pool(user), this.#deployment.clock)),
      this.#ask(async () => missingRights(await this.pool(user), rightsOf(users))),
    ]);
    return { key, users: user === 'owner' ? ['migrate'] : users, schema, server, missing };
  }

  /** The processes that use the URL of that user. */
  async #users(user: PoolUser): Promise<readonly RightsUser[]> {
    if (user !== 'all') return OWN.filter((each) => each === user);
    const { roles } = this.#deployment.config.database;
    const shared = STAGES.filter((each) => roles[each] === undefined);
    const member = await this.#ask(async () => memberships(await this.pool('all')));
    // Each process may have a URL of its own in its environment: this is then that of one of them.
    const known = member instanceof PipelineError ? [] : member.filter((each) => shared.includes(each));
    return known.length > 0 ? known : shared;
  }

  /** The tables of these pipelines; rights on them are looked at where this is the URL of the loader. */
  async tables(pipelines: readonly PipelineConfig[]): Promise<readonly TableFacts[]> {
    const { roles } = this.#deployment.config.database;
    const loads = roles.load !== undefined || (await this.#users('all')).includes('load');
    return Promise.all(
      pipelines.flatMap((pipeline) =>
        tablesOf(pipeline).map(async (table) => {
          const spec = targetSpec(table, table.target);
          return {
            pipeline: pipeline.name,
            table: `${spec.schema}.${spec.table}`,
            findings: await this.#ask(async () =>
              checkTarget(await this.pool('load'), spec, loads ? 'loads' : 'looks'),
            ),
            plan: await this.#ask(async () => planTarget(await this.pool('load'), spec)),
          };
        }),
      ),
    );
  }

  /** The processes that are there. */
  processes(): Promise<Facts['processes']> {
    return this.#ask(async () => listProcesses(await this.pool('admin'), GONE_MS));
  }

  /** The keys that rows were made under. */
  kids(pipelines: readonly PipelineConfig[]): Promise<Facts['kids']> {
    const columns = pipelines
      .flatMap(tablesOf)
      .flatMap(({ target: { schema, table }, columns: all }) =>
        all
          .filter((column) => TOKENS.includes(column.mask.method) && !isList(column) && !isJsonColumn(column))
          .map(({ name }) => ({ schema, table, column: name })),
      );
    return this.#ask(async () => {
      const pool = await this.pool('admin');
      // Without the schema there is nothing that was made under a key.
      await checkSchema(pool);
      return kidsFound(pool, columns);
    });
  }

  #ask<T>(ask: () => Promise<T>): Promise<Fact<T>> {
    return fact('Postgres', 'postgres_unavailable', ask);
  }
}
