import { Hono, type MiddlewareHandler } from 'hono';
import { type Answer, attempt } from './attempt.js';

/** Says whether one dependency answers: resolves when it does, throws a PipelineError when it doesn't. */
export type Check = () => Promise<unknown>;

/** A probe of Kubernetes waits 1 s by default; a dependency that needs longer is not ready. */
const CHECK_TIMEOUT_MS = 900;

/** Loops that must show signs of life; one that has been silent for longer than its limit is dead. */
export class Heartbeats {
  readonly #now: () => number;
  readonly #beats = new Map<string, { readonly limitMs: number; at: number }>();

  /** `now` is in ms of any clock that does not go back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Watches `name` from now on; the returned function is its beat. */
  watch(name: string, limitMs: number): () => void {
    const heart = { limitMs, at: this.#now() };
    this.#beats.set(name, heart);
    return () => {
      heart.at = this.#now();
    };
  }

  /** No longer watches `name`, as when its loop has ended as it should. */
  forget(name: string): void {
    this.#beats.delete(name);
  }

  /** Each name, and whether it is alive. */
  states(): readonly { readonly name: string; readonly isAlive: boolean }[] {
    const now = this.#now();
    return [...this.#beats].map(([name, heart]) => ({ name, isAlive: now - heart.at <= heart.limitMs }));
  }
}

/** What the probes look at. */
export interface ProbeOptions {
  /** By the name that `/readyz?verbose` shows. */
  readonly checks: { readonly [name: string]: Check };
  readonly heartbeats: Heartbeats;
  /** Stands before everything that tells more than yes or no. */
  readonly guard: MiddlewareHandler;
}

/**
 * `/livez`: 200 while the event loop turns and every loop shows signs of life, else 503. `/readyz`: 200 when every
 * check passes, else 503; with `?verbose` each check by name, with the code of its failure and nothing more.
 */
export function probeRoutes(options: ProbeOptions): Hono {
  const check = sharedChecks(options.checks);
  const app = new Hono();
  app.get('/livez', (context) => {
    const isAlive = options.heartbeats.states().every((heart) => heart.isAlive);
    return context.text(isAlive ? 'ok\n' : 'not alive\n', isAlive ? 200 : 503);
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
      ...options.heartbeats
        .states()
        .map(
          ({ name, isAlive }) => `${isAlive ? '[+]' : '[-]'} loop ${name} ${isAlive ? 'alive' : 'silent'}`,
        ),
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
