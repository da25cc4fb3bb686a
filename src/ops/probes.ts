import { Hono, type MiddlewareHandler } from 'hono';
import { type Answer, attempt } from './attempt.js';

/** Says whether one dependency answers: resolves when it does, throws a PipelineError when it doesn't. */
export type Check = () => Promise<unknown>;

/** A probe of Kubernetes waits 1 s by default; a dependency that needs longer is not ready. */
const CHECK_TIMEOUT_MS = 900;

/** What the probes look at. */
export interface ProbeOptions {
  /** By the name that `/readyz?verbose` shows. */
  readonly checks: { readonly [name: string]: Check };
  /** Names of what hangs in this process; none while all of it goes on, or waits for an outage to end. */
  readonly hung: () => readonly string[];
  /** Stands before everything that tells more than yes or no. */
  readonly guard: MiddlewareHandler;
}

/**
 * `/livez`: 200 while nothing hangs, else 503 with the names of what does; that it answers shows that the event loop
 * turns. `/readyz`: 200 when every check passes, else 503; with `?verbose` each check by name, with the code of its
 * failure and nothing more.
 */
export function probeRoutes(options: ProbeOptions): Hono {
  const check = sharedChecks(options.checks);
  const app = new Hono();
  app.get('/livez', (context) => {
    const hung = options.hung();
    return hung.length === 0 ? context.text('ok\n') : context.text(`hung: ${hung.join(', ')}\n`, 503);
  });
  app.get('/readyz', async (context, next) => {
    if (context.req.query('verbose') !== undefined) return next();
    const isReady = (await check()).every(([, answer]) => answer.ok);
    return context.text(isReady ? 'ok\n' : 'not ready\n', isReady ? 200 : 503);
  });
  app.get('/readyz', options.guard, async (context) => {
    const answers = await check();
    const isReady = answers.every(([, answer]) => answer.ok);
    const lines = [
      ...answers.map(([name, answer]) =>
        answer.ok ? `[+] ${name} ok` : `[-] ${name} failed: ${answer.code}`,
      ),
      ...options.hung().map((name) => `[-] ${name} hung`),
      isReady ? 'ready' : 'not ready',
    ];
    return context.text(`${lines.join('\n')}\n`, isReady ? 200 : 503);
  });
  return app;
}

type Answers = readonly (readonly [name: string, answer: Answer<unknown>])[];

/** All checks at once; whoever asks while they run gets the same answers, so that probes can't flood a dependency. */
function sharedChecks(checks: ProbeOptions['checks']): () => Promise<Answers> {
  let running: Promise<Answers> | null = null;
  const run = async (): Promise<Answers> => {
    try {
      return await Promise.all(
        Object.entries(checks).map(
          async ([name, check]) => [name, await attempt(check, CHECK_TIMEOUT_MS)] as const,
        ),
      );
    } finally {
      running = null;
    }
  };
  return () => (running ??= run());
}
