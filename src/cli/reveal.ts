import { text } from 'node:stream/consumers';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { checkSchema } from '../load/migrate.js';
import { chainHead, verifyChain } from '../load/reveal-chain.js';
import { queryTokens } from '../load/reveal-query.js';
import { type Revealer, readRequest } from '../load/reveals.js';
import type { Keyring } from '../masking/keyring.js';
import { selectPipelines } from '../roles/deployment.js';
import { openKeyring } from '../roles/keyring.js';
import { armFailpoints } from '../roles/failpoints.js';
import { osUser } from '../roles/os-user.js';
import { type RevealPlace, type Revealed, reveal, revealPlace } from '../roles/reveal.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import type { Row } from './output.js';
import { purposeOf } from './purpose.js';
import { requestId } from './request-id.js';

interface RevealOptions {
  readonly args: readonly string[];
  readonly sql?: string;
  readonly column?: string;
  readonly kid?: number;
  readonly purpose?: string;
  readonly ticket?: string;
  readonly request?: string;
  readonly verify?: boolean;
  /** A head to look for, or true: print it. */
  readonly head?: string | true;
}

const COLUMNS = ['token', 'value', 'outcome', 'domain'];

/** `reveal`: values of tokens, once it is on record who asks and why; or a look at those records. */
export const revealCommand: Command<RevealOptions> = async (context, options) => {
  if (options.verify || options.head !== undefined) return audit(context, options);
  checkSource(options);
  // That of the request holds.
  const isCarriedOut = options.request !== undefined && options.purpose === undefined;
  const purpose = isCarriedOut ? 'as requested' : purposeOf(options.purpose);
  const deployment = openDeployment(context, 'cli');
  // Before anything goes on record that can't be done.
  const keyring = await openKeyring(deployment);
  keyring.requireMasters('reveal');
  const pipelines = selectPipelines(deployment.config, context.pipelines);
  const place = placeOf(keyring, pipelines, options);
  const failpoints = await armFailpoints(deployment);
  return withPool(deployment, 'reveal', async (pool) => {
    await checkSchema(pool);
    const stored = await storedTexts(pool, options, place);
    const revealer: Revealer = { osUser: osUser(), purpose, ticket: options.ticket ?? null };
    const request = options.request === undefined ? null : requestId(options.request);
    const order = { keyring, pipelines, revealer, stored, place, request };
    const result = await reveal(pool, order, failpoints?.revealRecorded ?? (() => Promise.resolve()));
    if (result.kind === 'revealed') return print(context, result.values);
    if (result.kind === 'rate_limited') {
      context.out.note(
        `Not revealed: ${stored.length} values would be more than reveal.rate allows in a minute; wait, or ask for fewer.`,
      );
    } else {
      const summary = { request: result.request, state: 'waiting', values: stored.length };
      context.out.result(
        summary,
        `Not revealed: more than reveal.quota values need a second person. Another database user runs\n` +
          `  maskline approve ${result.request}\nand then you:\n  maskline reveal --request ${result.request}`,
      );
    }
    return exitCode.failed;
  });
};

/** `reveal --verify` and `reveal --head`. */
async function audit(context: CliContext, options: RevealOptions): Promise<number> {
  const { verify = false, head } = options;
  if (options.args.length > 0 || options.sql !== undefined || options.request !== undefined)
    throw new PipelineError('usage', '--verify and --head reveal nothing: give them no tokens');
  if (typeof head === 'string' && (!verify || !/^[0-9a-f]{64}$/i.test(head)))
    throw new PipelineError('usage', '--head takes a hash of 64 hex digits, with --verify only');
  const deployment = openDeployment(context, 'cli');
  return withPool(deployment, 'audit', async (pool) => {
    await checkSchema(pool);
    if (!verify) {
      const end = await chainHead(pool);
      context.out.result({ ...end }, end.hash);
      return exitCode.ok;
    }
    const earlier = typeof head === 'string' ? head.toLowerCase() : null;
    const report = await verifyChain(pool, earlier);
    const problems = report.problems.map((one): Row => ({ ...one }));
    const ok = report.problemCount === 0;
    const lines = report.problems.map(({ seq, problem }) => `  row ${seq ?? 'at the end'}: ${problem}`);
    context.out.result(
      { ok, rows: report.rows, head: report.head.hash, problem_count: report.problemCount, problems },
      ok
        ? `The chain of ${report.rows} rows is whole; its head is ${report.head.hash}`
        : [`The chain of ${report.rows} rows is broken in ${report.problemCount} places:`, ...lines].join(
            '\n',
          ),
    );
    return ok ? exitCode.ok : exitCode.failed;
  });
}

function checkSource({ args, sql, column, kid, request }: RevealOptions): void {
  const given = [args.length > 0, sql !== undefined].filter(Boolean).length;
  if (given > 1 || (given === 0 && request === undefined)) {
    throw new PipelineError(
      'usage',
      'say what to reveal: tokens, "-" for one a line on stdin, --sql with --column, or --request alone',
    );
  }
  if (sql !== undefined && column === undefined)
    throw new PipelineError('usage', '--sql needs --column: the column of its result that holds the tokens');
  if (sql === undefined && column !== undefined && kid === undefined)
    throw new PipelineError('usage', '--column needs --kid, the key id in mask_kid of the row; or --sql');
  if (kid !== undefined && column === undefined)
    throw new PipelineError('usage', '--kid needs --column: tokens carry their key id');
}

function placeOf(
  keyring: Keyring,
  pipelines: readonly PipelineConfig[],
  { column, kid }: RevealOptions,
): RevealPlace | null {
  if (column === undefined || kid === undefined) return null;
  const [pipeline] = pipelines;
  if (pipeline && pipelines.length === 1) return revealPlace(keyring, pipeline, column, kid);
  throw new PipelineError('usage', '--kid needs one pipeline: name it with -p');
}

async function storedTexts(
  pool: PostgresPool,
  { args, sql, column = '', request }: RevealOptions,
  place: RevealPlace | null,
): Promise<readonly string[]> {
  if (sql !== undefined) return distinct(await queryTokens(pool, sql, column));
  if (args.length === 1 && args[0] === '-') return distinct((await text(process.stdin)).split('\n'));
  if (args.length > 0 || request === undefined) return distinct(args);
  const { tokens } = await readRequest(pool, requestId(request));
  const known = tokens.filter((token) => token !== null);
  if (known.length === tokens.length && !place) return known;
  throw new PipelineError('usage', `request ${request} keeps no values: give the same ones again`);
}

function distinct(lines: readonly string[]): readonly string[] {
  const texts = new Set(lines.map((line) => line.trim()).filter((line) => line !== ''));
  if (texts.size === 0) throw new PipelineError('usage', 'there is nothing to reveal');
  return [...texts];
}

function print({ out }: CliContext, values: readonly Revealed[]): number {
  out.list(
    values.map(({ stored, value, outcome, domain }): Row => ({ token: stored, value, outcome, domain })),
    COLUMNS,
  );
  const closed = values.filter(({ outcome }) => outcome !== 'opened');
  if (closed.length === 0) return exitCode.ok;
  if (closed.some(({ outcome }) => outcome === 'hmac'))
    out.note('Tokens of hmac (h…) cannot be turned back by anybody: the method keeps no value.');
  out.note(`${closed.length} of ${values.length} were not opened: see outcome.`);
  return exitCode.failed;
}
