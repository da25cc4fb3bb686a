import { PipelineError } from '../errors.js';
import { type Releases, runService } from '../lifecycle.js';
import { openPool } from '../roles/database.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { openKeyring } from '../roles/keyring.js';
import { type TapPoint, openTap } from '../roles/tap.js';
import type { CliContext, Command } from './context.js';
import { openDeployment } from './deployment.js';
import { errorText, exitCode, exitCodeOf } from './exit.js';
import { tapRow, tapText } from './tap-text.js';

interface TapOptions {
  readonly args: readonly string[];
  readonly number?: number;
}

const STAGES = ['ingest', 'transform', 'load'] as const;
/** Nothing is in hand that would have to be finished. */
const STOP_DEADLINE_MS = 8_000;

/** `tap`: batches as they pass a stage, masked values and shapes only, until Ctrl-C or so many were shown. */
export const tapCommand: Command<TapOptions> = async (context, { args: [given = 'transform'], number }) => {
  const stage = STAGES.find((known) => known === given);
  if (stage === undefined) {
    throw new PipelineError('usage', `there is no stage ${given}; there are ${STAGES.join(', ')}`);
  }
  if (number === 0) throw new PipelineError('usage', '-n must be at least 1');
  const { out } = context;
  const deployment = openDeployment({ ...context, logLevel: 'silent' }, 'tap');
  return runService({
    start: async ({ releases, signal }) => {
      const pipelines = selectPipelines(deployment.config, context.pipelines);
      const point = await pointOf(deployment, stage, releases);
      const tap = await openTap(deployment, pipelines, point, releases);
      const names = pipelines.map(({ name }) => name).join(', ');
      out.note(
        `Watching ${stage} of ${names}; ${number === undefined ? 'Ctrl-C ends' : `${number} batches`}.`,
      );
      const stopping = new AbortController();
      const done = show(context, tap, {
        number: number ?? Infinity,
        signal: AbortSignal.any([signal, stopping.signal, context.unread]),
      });
      const stop = async (): Promise<void> => {
        stopping.abort();
        await done.catch(() => undefined);
      };
      return { service: { stop }, done };
    },
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.ok,
    report: (event) => {
      if (event.kind === 'failed') out.note(errorText(event.error));
    },
  });
};

/** Only what has to be opened needs keys, and only what was committed the database. */
async function pointOf(
  deployment: Deployment,
  stage: (typeof STAGES)[number],
  releases: Releases,
): Promise<TapPoint> {
  if (stage === 'ingest') return { stage };
  if (stage === 'transform') return { stage, keyring: await openKeyring(deployment) };
  const pool = await releases.acquire(openPool(deployment, 'admin', 'maskline-tap'), (open) => open.close());
  return { stage, pool };
}

async function show(
  { out }: CliContext,
  tap: Awaited<ReturnType<typeof openTap>>,
  { number, signal }: { readonly number: number; readonly signal: AbortSignal },
): Promise<number> {
  let left = number;
  for await (const tapped of tap.batches(signal)) {
    out.text(out.json ? JSON.stringify(tapRow(tapped)) : tapText(tapped));
    left -= 1;
    if (left <= 0) break;
  }
  if (tap.missed > 0) out.note(`${tap.missed} more came and went before they could be looked at.`);
  return exitCode.ok;
}
