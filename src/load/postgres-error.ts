import { tlsFailure } from '../address/tls-failure.js';
import { type ErrorCode, PipelineError } from '../errors.js';

/** Where a statement was going, for the message and for telling whose table is missing. */
export type Place =
  | { readonly kind: 'maskline' }
  /** `table` as configured; `columns` are the names that a message may quote. */
  | { readonly kind: 'target'; readonly table: string; readonly columns: readonly string[] };

/** What a Postgres error says without quoting data: the only parts of it that ever leave this directory. */
export interface PostgresFault {
  readonly sqlstate: string;
  readonly table: string | null;
  readonly column: string | null;
  readonly constraint: string | null;
  /** The line of the COPY that failed, from 1; null when the server named none. */
  readonly line: number | null;
}

/** The target refused a row: its fault, not ours. Stays within `load`: the row is set aside and the others go on. */
export class RowRefused extends Error {
  readonly fault: PostgresFault;

  constructor(fault: PostgresFault) {
    super(`the table refused a row: ${describe(fault)}`);
    this.name = 'RowRefused';
    this.fault = fault;
  }
}

/** Messages of pg and of Node for a connection that is gone or never came about; they carry no SQLSTATE. */
const CONNECTION_LOST =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed)/;
const QUERY_CANCELED = '57014';
const POOL_ENDED = /^(Cannot use a pool after calling end|Client was closed and is not queryable)/;
/** Node's codes of sockets, name resolution and TLS; most others that begin with `ERR_` are misuse. */
const SOCKET_CODE = /^(E(?!RR_)[A-Z0-9_]+|ERR_(?:SSL|TLS|SOCKET|STREAM)_[A-Z0-9_]+|UND_ERR_[A-Z_]+)$/;
const TLS_REFUSED = /does not support SSL|SSL connection/i;
const TLS_PLACES = {
  ca: 'sslrootcert in the database URL, or database.tls.ca_file',
  serverName: 'database.tls.server_name',
  client: 'sslcert and sslkey in the database URL, or database.tls.cert_file and key_file',
  without: 'write sslmode=disable',
};
const LOGIN_REFUSED =
  'Postgres refuses the login: check user and password of the database URL, and pg_hba.conf, which may ask for TLS (sslmode=verify-full) or for a client certificate';
const CLIENT_AUTHENTICATION = /^SASL/;

/** Whether the row is to blame; `maskline.refuses_row` in the migrations is the same list. */
export function refusesRow(sqlstate: string): boolean {
  return (
    /^(22|54)/.test(sqlstate) || ['23502', '23503', '23505', '23514', '23P01', 'P0001'].includes(sqlstate)
  );
}

/**
 * Any error of the driver, as a PipelineError, or as RowRefused when the target refused a row. The text quotes the
 * SQLSTATE and names of tables, columns and constraints, never the driver's message, `detail` or `where`.
 */
export function asPostgresError(
  error: unknown,
  place: Place = { kind: 'maskline' },
): PipelineError | RowRefused {
  if (error instanceof PipelineError || error instanceof RowRefused) return error;
  const fault = postgresFault(error, place);
  if (!fault) return clientError(error);
  if (place.kind === 'target' && refusesRow(fault.sqlstate)) return new RowRefused(fault);
  const code = codeOf(fault, place);
  return new PipelineError(code, `${sentence(code, fault, place)}: ${describe(fault)}`, {
    cause: safeCause(fault.sqlstate),
  });
}

/** The work's result; what it throws is mapped by `asPostgresError`. */
export async function on<T>(place: Place, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asPostgresError(error, place);
  }
}

interface ServerFields {
  readonly code?: unknown;
  readonly schema?: unknown;
  readonly table?: unknown;
  readonly column?: unknown;
  readonly constraint?: unknown;
  readonly where?: unknown;
}

/** Contention is over soon, and an ingester can only wait for it: to its work it is one more outage. */
export async function asOutage<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof PipelineError) || error.code !== 'contention') throw error;
    throw new PipelineError('postgres_unavailable', error.message, { cause: error });
  }
}

/**
 * To an ingester a statement that ran into statement_timeout is one more outage, but to a loader it is about the batch:
 * tried for ever, it would hold its worker for ever. Throws `statement_timeout` for it, `what` being the batch.
 */
export async function withinLimits<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const cause = error instanceof PipelineError ? error.cause : null;
    if (!isObject(cause) || cause['code'] !== QUERY_CANCELED) throw error;
    throw new PipelineError(
      'statement_timeout',
      `${what}: a statement took longer than statement_timeout allows (SQLSTATE ${QUERY_CANCELED}); look for what slows ` +
        'it down, such as a trigger or an index that is missing, or lower batch.max_messages',
      { cause },
    );
  }
}

/** The fault behind an error of the server; null when it is not one of the server's. */
function postgresFault(error: unknown, place: Place): PostgresFault | null {
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return null;
  const { code, schema, table, column, constraint, where }: ServerFields = error;
  const context = place.kind === 'target' ? copyContext(text(where) ?? '', place) : null;
  return {
    sqlstate: text(code) ?? 'unknown',
    table:
      text(table) === null ? null : [text(schema), text(table)].filter((part) => part !== null).join('.'),
    column: text(column) ?? context?.column ?? null,
    constraint: text(constraint),
    line: context?.line ?? null,
  };
}

/**
 * What the server's context says of the COPY: `COPY name, line 3, column x: "…"`. The rest of the context quotes
 * the row, which could imitate such a line; hence whoever reads this treats the line as a hint and tries it out.
 */
function copyContext(
  where: string,
  place: Place & { readonly kind: 'target' },
): { readonly line: number; readonly column: string | null } | null {
  const match = /^COPY [^\n]*?, line (\d+)(?:, column (.*?):|[:,]|$)/m.exec(where);
  if (!match) return null;
  const column = match[2] ?? null;
  return {
    line: Number(match[1]),
    column: column !== null && place.columns.includes(column) ? column : null,
  };
}

function codeOf({ sqlstate }: PostgresFault, place: Place): ErrorCode {
  const kind = sqlstate.slice(0, 2);
  if (kind === '40' || sqlstate === '55P03') return 'contention';
  // A ledger partition attached this moment makes the default one refuse a row that was under way to it.
  if (sqlstate === '23514' && place.kind === 'maskline') return 'contention';
  if (['08', '53', '57', '58'].includes(kind) || sqlstate === '25006') return 'postgres_unavailable';
  if (sqlstate === '42501' || ['28', '0L', '0P'].includes(kind)) return 'permission_denied';
  if (place.kind === 'maskline' && ['42P01', '42703', '42883', '3F000'].includes(sqlstate))
    return 'schema_outdated';
  if (['42', '3D', '3F', '0A', '55'].includes(kind)) return 'table_unfit';
  return 'unexpected';
}

function sentence(code: ErrorCode, { sqlstate }: PostgresFault, place: Place): string {
  const what = place.kind === 'target' ? `table ${place.table}` : "maskline's own tables";
  switch (code) {
    case 'contention':
      return `${what} was locked by another transaction`;
    case 'postgres_unavailable':
      return 'Postgres can take no work now';
    case 'permission_denied':
      if (sqlstate.startsWith('28')) return LOGIN_REFUSED;
      return `Postgres denies the right to use ${what}; grant it to the role of the database URL`;
    case 'schema_outdated':
      return 'the schema maskline is missing or older than this version; run `maskline migrate`';
    case 'table_unfit':
      if (place.kind === 'maskline')
        return "maskline's own tables are not as this version made them; run `maskline migrate`";
      return `${what} does not take what the pipeline sends; run \`maskline validate --connect\``;
    default:
      return `Postgres refused a statement on ${what}`;
  }
}

function describe(fault: PostgresFault): string {
  const parts = [`SQLSTATE ${fault.sqlstate}`];
  if (fault.table !== null) parts.push(`table ${fault.table}`);
  if (fault.column !== null) parts.push(`column ${fault.column}`);
  if (fault.constraint !== null) parts.push(`constraint ${fault.constraint}`);
  return parts.join(', ');
}

/** Errors that arose on this side of the connection. */
function clientError(error: unknown): PipelineError {
  const message = error instanceof Error ? error.message : '';
  const given = isObject(error) ? text(error['code']) : null;
  if (POOL_ENDED.test(message))
    return new PipelineError('canceled', 'the connections to Postgres were closed');
  const tls = given === null ? null : tlsFailure(given, TLS_PLACES);
  if (tls !== null) return new PipelineError('config_invalid', `Postgres ${tls}`);
  if (TLS_REFUSED.test(message)) {
    return new PipelineError(
      'config_invalid',
      'Postgres offers no TLS, which the database URL or database.tls asks for: turn it on there (ssl = on), or write sslmode=disable',
    );
  }
  if (CLIENT_AUTHENTICATION.test(message)) {
    return new PipelineError(
      'permission_denied',
      'Postgres asks for a password that the database URL does not give',
    );
  }
  if (CONNECTION_LOST.test(message) || (given !== null && SOCKET_CODE.test(given))) {
    const why = given ?? 'connection lost or timed out';
    return new PipelineError('postgres_unavailable', `Postgres is unreachable: ${why}`, {
      cause: safeCause(why),
    });
  }
  const kind = error instanceof Error ? error.name : typeof error;
  return new PipelineError(
    'unexpected',
    `unexpected ${kind} from the Postgres client (its text is withheld)`,
  );
}

/** Stands for an error whose text or fields may quote rows; of the original it keeps where it was thrown, no more. */
function safeCause(code: string, original?: unknown): Error {
  const cause = Object.assign(new Error(`Postgres: ${code}`), { name: 'PostgresError', code });
  if (original instanceof Error && original.stack !== undefined) {
    const textEnd = original.stack.indexOf(original.message) + original.message.length;
    cause.stack = `PostgresError: ${code}${original.stack.slice(textEnd)}`;
  }
  return cause;
}

function isObject(value: unknown): value is Readonly<{ [field: string]: unknown }> {
  return typeof value === 'object' && value !== null;
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
