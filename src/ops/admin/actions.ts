import type { Stage } from '../events.js';

/** What may be done from the pages. */
export const actionNames = ['retry', 'discard', 'replay', 'pause', 'resume', 'run'] as const;

/** One of `actionNames`. */
export type ActionName = (typeof actionNames)[number];

/** What somebody wants done, and to what. */
export interface ActionRequest {
  readonly action: ActionName;
  readonly pipeline: string;
  /** Failed jobs of that stage; null: of both. */
  readonly stage: Stage | null;
  /** Of failed jobs their error's, of quarantine entries their rejection's; null: any. */
  readonly code: string | null;
  /** Failed jobs by id; null: not chosen so. */
  readonly ids: readonly string[] | null;
  /** Only what was there at that time (ISO 8601): who agrees to three must not get four. */
  readonly until: string;
}

/** What a request would do, as it is asked for: nothing has happened yet. */
export interface ActionPlan {
  /** What the button says: `Retry 3 failed jobs`. */
  readonly title: string;
  /** What will happen, in sentences. */
  readonly effect: readonly string[];
  /** The same on the command line. */
  readonly command: string;
  /** Why it can't be done, and how it can; null: it can. */
  readonly refusal: string | null;
}

/** What an action has done, in a sentence, and the run that it is part of. */
export interface ActionOutcome {
  readonly text: string;
  readonly runId: string | null;
}

/** Everything that the pages can change. */
export interface Actions {
  /** Whether this process has the keys that retry and replay need. */
  readonly hasKeys: () => boolean;
  /** What it would do. Throws `postgres_unavailable`, `redis_unavailable` when that can't be told. */
  plan(request: ActionRequest): Promise<ActionPlan>;
  /**
   * Does it on behalf of `by`, who may have said why, and puts that into the log. Throws what is in the way: `usage`,
   * `not_found`, outages.
   */
  perform(request: ActionRequest, by: string, reason: string | null): Promise<ActionOutcome>;
}

const NAME = /^[A-Za-z0-9_-]{1,100}$/;
const CODE = /^[A-Za-z0-9_]{1,64}$/;
const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The request in a query; null where it makes none. Names are checked by their form only: whether they exist, `plan` says. */
export function readRequest(
  query: Readonly<{ [name: string]: string | undefined }>,
  now: number,
): ActionRequest | null {
  const { pipeline, stage = '', code = '', id = '' } = query;
  const action = actionNames.find((known) => known === query['action']);
  if (action === undefined || pipeline === undefined || !NAME.test(pipeline)) return null;
  if (!['', 'transform', 'load'].includes(stage) || (code !== '' && !CODE.test(code))) return null;
  if (id !== '' && !ID.test(id)) return null;
  return {
    action,
    pipeline,
    stage: stage === 'transform' || stage === 'load' ? stage : null,
    code: code === '' ? null : code,
    ids: id === '' ? null : [id],
    until: new Date(now).toISOString(),
  };
}

/** Where the question is put whether it is to be done. */
export function confirmPath(
  request: Pick<ActionRequest, 'action' | 'pipeline'> & {
    readonly stage?: string;
    readonly code?: string;
    readonly id?: string;
  },
): string {
  return `/confirm?${new URLSearchParams(Object.entries(request)).toString()}`;
}
