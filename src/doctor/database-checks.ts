// Postgres: the schema, the tables, the rights on them, and whether what is committed stays.

import { tablesOf } from '../config/tables.js';
import { PipelineError } from '../errors.js';
import { policies } from '../policy.js';
import { connectionsFor } from '../roles/assembly.js';
import type { DatabaseFacts, Facts } from './facts.js';
import { GOOD, type Verdict, error, together, unanswered, warning } from './finding.js';

/** For commands beside the processes, and a second start of each while a deployment is replaced. */
const SPARE_CONNECTIONS = 4;

/** Whether each configured URL leads to a Postgres that lets us in. */
export function judgePostgres({ databases }: Facts): Verdict {
  return together(
    databases.map(({ key, server }) =>
      server instanceof PipelineError
        ? error(`${key}: ${server.message}`, policies[server.code].remedy)
        : GOOD,
    ),
  );
}

/** Whether maskline's schema is of this version. */
export function judgeSchema({ databases }: Facts): Verdict {
  return together(
    databases.map(({ key, server, schema }) => {
      if (server instanceof PipelineError) return unanswered(key, server);
      if (!(schema instanceof PipelineError)) return GOOD;
      return error(`${key}: ${schema.message}`, remedyOf(schema));
    }),
  );
}

function remedyOf({ code }: PipelineError): string {
  return code === 'permission_denied' ? GRANT_ALL : policies[code].remedy;
}

const GRANT_ALL = 'run deploy/postgres/roles.sql again, as after each `maskline migrate`';

/** Whether each process may do in the schema what it does. */
export function judgeRights({ databases }: Facts): Verdict {
  return together(
    databases.map(({ key, users, server, missing }) => {
      if (server instanceof PipelineError) return unanswered(key, server);
      if (missing instanceof PipelineError) return unanswered(key, missing);
      const [first] = missing;
      if (first === undefined) return GOOD;
      const lacks = missing.map(({ right, on }) => `${right} on maskline.${on}`).join(', ');
      const what = first.right === 'execute' ? 'function ' : '';
      return error(
        `${key}: ${server.user} is to work for ${users.join(', ')}, and lacks ${lacks}`,
        `${GRANT_ALL}; or: grant ${first.right} on ${what}maskline.${first.on} to "${server.user}"` +
          (missing.length > 1 ? ', and the others likewise' : ''),
      );
    }),
  );
}

/** Whether the tables take what the pipelines send: `validate --connect` looks at the same. */
export function judgeTables({ tables }: Facts): Verdict {
  return together(
    tables.map(({ pipeline, table, findings, plan }) => {
      if (findings instanceof PipelineError) return unanswered(`table ${table}`, findings);
      const steps = plan instanceof PipelineError ? [] : plan;
      return together(
        findings.map(({ severity, column, message }) => {
          // A table that is not there has no column to be about.
          const own = steps.filter(({ sql }) => column === null || sql.includes(`"${column}"`));
          return (severity === 'error' ? error : warning)(message, wayTo(own), pipeline);
        }),
      );
    }),
  );
}

function wayTo(steps: readonly { readonly sql: string; readonly automatic: boolean }[]): string {
  if (steps.length === 0) return 'do what it says, and run `maskline validate --connect`';
  if (steps.every(({ automatic }) => automatic)) return 'run `maskline migrate`';
  return `\`maskline migrate plan\` prints what to run: ${steps.map(({ sql }) => sql).join('; ')}`;
}

/** By one of these `prove` knows whose a row is; otherwise it counts the rows of a table, for one pipeline. */
const ROW_IDS: readonly string[] = ['$message_id', '$batch_id'];

/** Whether the rows of each table can be told apart by the pipeline that loads them. */
export function judgeSharedTables({ pipelines }: Facts): Verdict {
  const tables = pipelines.flatMap((pipeline) =>
    tablesOf(pipeline).map(({ target: { schema, table }, columns }) => ({
      pipeline: pipeline.name,
      table: `${schema}.${table}`,
      isTold: columns.some(({ path }) => ROW_IDS.includes(path)),
    })),
  );
  return together(
    tables.map(({ pipeline, table, isTold }) => {
      const other = tables.find((one) => one.table === table && one.pipeline !== pipeline);
      if (other === undefined || isTold) return GOOD;
      return warning(
        `pipelines ${other.pipeline} and ${pipeline} load one table, ${table}, and ${pipeline} keeps no id of its rows there: ` +
          "`maskline prove` can't tell whose they are",
        `give pipelines.${pipeline} a column \`from: $message_id\`, or a table of its own`,
        pipeline,
      );
    }),
  );
}

/** Whether the processes that are known find connections. */
export function judgeConnections(facts: Facts): Verdict {
  const { databases, processes } = facts;
  return together(
    databases.map((database, index) => {
      const { key, server } = database;
      if (server instanceof PipelineError) return unanswered(key, server);
      if (processes instanceof PipelineError) return unanswered('which processes there are', processes);
      const own = neededOf(facts, (role) => isOf(database, role));
      if (server.userLimit !== null && server.userLimit < own) {
        return error(
          `${key}: ${server.user} may have ${server.userLimit} connections, and its processes may open ${own}`,
          `run: alter role "${server.user}" connection limit ${own + SPARE_CONNECTIONS}`,
        );
      }
      return index === 0 ? judgeServer(facts, server) : GOOD;
    }),
  );
}

function judgeServer(
  facts: Facts,
  { maxConnections, reservedConnections, databaseLimit }: Exclude<DatabaseFacts['server'], PipelineError>,
): Verdict {
  const needed = neededOf(facts, () => true) + SPARE_CONNECTIONS;
  const open = Math.min(maxConnections - reservedConnections, databaseLimit ?? Infinity);
  if (needed <= open) return GOOD;
  const count = facts.processes instanceof PipelineError ? 0 : facts.processes.length;
  return error(
    `the ${count} processes on record may open ${needed} connections, commands included, and Postgres has ${open} for ` +
      `them (max_connections ${maxConnections}, ${reservedConnections} reserved)`,
    `set max_connections of Postgres to ${needed + reservedConnections} or more and restart it, run fewer processes, or ` +
      'lower pipelines.NAME.concurrency',
  );
}

/** Whether processes of that role use that URL. */
function isOf({ users }: DatabaseFacts, role: string): boolean {
  return role === 'all' ? users.length > 1 : users.some((user) => user === role);
}

/** What all processes on record of such roles may open; of none, what one process of all may. */
function neededOf({ processes, pipelines }: Facts, isCounted: (role: string) => boolean): number {
  const known = processes instanceof PipelineError ? [] : processes;
  const all = known.length > 0 ? known : [{ role: 'all', pipelines: pipelines.map(({ name }) => name) }];
  return all
    .filter(({ role }) => isCounted(role))
    .reduce((sum, { role, pipelines: names }) => {
      const own = role === 'admin' ? [] : pipelines.filter(({ name }) => names.includes(name));
      return sum + connectionsFor({ pipelines: own, role });
    }, 0);
}

/** Whether what Postgres says is committed is still there after a power cut or a failover. */
export function judgeDurability({ databases }: Facts): Verdict {
  const [database] = databases;
  if (database === undefined) return GOOD;
  // It is one server, whoever asks.
  const { key, server } = database;
  if (server instanceof PipelineError) return unanswered(key, server);
  const off = [...(server.fsync ? [] : ['fsync']), ...(server.fullPageWrites ? [] : ['full_page_writes'])];
  const verdicts: Verdict[] = [];
  if (off.length > 0) {
    verdicts.push(
      error(
        `${off.join(' and ')} of Postgres ${off.length > 1 ? 'are' : 'is'} off: rows whose messages are deleted from SQS ` +
          'can be lost in a power cut',
        `run: ${off.map((name) => `alter system set ${name} = on`).join('; ')}; select pg_reload_conf()`,
      ),
    );
  }
  if (server.asynchronousStandbys > 0) {
    verdicts.push(
      warning(
        `${server.asynchronousStandbys} standbys follow Postgres, and a COMMIT waits for none: a failover loses what they ` +
          'lack, after its messages were deleted from SQS',
        'set synchronous_standby_names, or name the loss in your recovery plan',
      ),
    );
  }
  return together(verdicts);
}
