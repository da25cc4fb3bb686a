import { setTimeout as delay } from 'node:timers/promises';
import { PipelineError } from '../errors.js';
import { type Releases, runService } from '../lifecycle.js';
import { openPool } from '../roles/database.js';
import type { Status } from '../ops/status.js';
import { selectPipelines } from '../roles/deployment.js';
import { openStatusParts } from '../roles/status-parts.js';
import { collectStatus } from '../roles/status.js';
import type { CliContext, Command } from './context.js';
import { openDeployment } from './deployment.js';
import { errorText, exitCode, exitCodeOf } from './exit.js';
import { problemLine, renderStatus, verdict } from './status-screen.js';

interface StatusOptions {
  readonly watch?: boolean;
  readonly check?: boolean;
}

const REFRESH_MS = 2_000;
/** Nothing of what is being closed is waited for: the answers are there, or there are none. */
const STOP_DEADLINE_MS = 4_000;
/** Less than a status waits for, so that closing does not wait for a connection that is still being tried. */
const CONNECT_LIMIT_MS = 2_000;

/** `status`: how a deployment is. Needs no keys, and prints what it can while something is away. */
export const statusCommand: Command<StatusOptions> = async (context, { watch = false, check = false }) => {
  if (watch && check) throw new PipelineError('usage', 'give either --watch or --check, not both');
  const show = watch ? follow : check ? checkOnce : showOnce;
  return runService({
    start: async ({ releases, signal }) => {
      const ask = await openStatus(context, releases);
      const done = show(context, ask, signal);
      return { service: { stop: async () => void (await done.catch(() => undefined)) }, done };
    },
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: watch ? exitCode.ok : exitCode.failed,
    // A screen is no place for the log of a process that only looks.
    report: (event) => {
      if (event.kind === 'failed') context.out.note(errorText(event.error));
    },
  });
};

type Ask = () => Promise<Status>;

async function openStatus(context: CliContext, releases: Releases): Promise<Ask> {
  const deployment = openDeployment({ ...context, logLevel: 'silent' }, 'status');
  const pipelines = selectPipelines(deployment.config, context.pipelines);
  const pool = await releases.acquire(
    openPool(deployment, 'admin', 'maskline-status', { connectTimeoutMs: CONNECT_LIMIT_MS }),
    (open) => open.close(),
  );
  const parts = await openStatusParts(deployment, pipelines, { pool, releases });
  return () => collectStatus(deployment, parts);
}

async function showOnce(context: CliContext, ask: Ask): Promise<number> {
  print(context, await ask());
  return exitCode.ok;
}

/** As monitoring plugins do: a line for each problem, and the exit code. */
async function checkOnce({ out }: CliContext, ask: Ask): Promise<number> {
  const status = await ask();
  out.text(out.json ? JSON.stringify(status) : verdict(status));
  for (const problem of status.problems) out.note(problemLine(problem));
  return status.healthy ? exitCode.ok : exitCode.failed;
}

async function follow(context: CliContext, ask: Ask, ended: AbortSignal): Promise<number> {
  const signal = AbortSignal.any([ended, context.unread]);
  const screen = context.out.json ? null : openScreen();
  try {
    while (!signal.aborted) {
      const status = await ask();
      if (signal.aborted) break;
      if (screen) screen.draw(renderStatus(status));
      else print(context, status);
      await delay(REFRESH_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    screen?.close();
  }
  return exitCode.ok;
}

function print({ out }: CliContext, status: Status): void {
  out.text(out.json ? JSON.stringify(status) : renderStatus(status));
}

interface Screen {
  draw(text: string): void;
  close(): void;
}

// ECMA-48, and xterm's private modes 1049 (another screen, so that the shell's is there again afterwards) and 25 (cursor).
const OPEN = '\u001B[?1049h\u001B[?25l';
const CLOSE = '\u001B[?25h\u001B[?1049l';
const HOME = '\u001B[H';
const CLEAR_LINE = '\u001B[K';
const CLEAR_BELOW = '\u001B[J';

/** Draws over what was drawn before, without flicker; what does not fit below is left out. */
function openScreen(): Screen {
  const { stdout } = process;
  stdout.write(OPEN);
  return {
    draw: (text) => {
      const lines = [...text.split('\n'), '', 'every 2 s; Ctrl-C ends'].slice(
        0,
        Math.max(1, stdout.rows - 1),
      );
      stdout.write(HOME + lines.map((line) => `${line}${CLEAR_LINE}\n`).join('') + CLEAR_BELOW);
    },
    close: () => void stdout.write(CLOSE),
  };
}
