// Tells a webhook what needs a person, once each, however many processes look. It stands apart from all work: whatever
// the webhook does, nothing waits for it.

import { type Clock, backoffMs } from '../clock.js';
import type { Config, NotifyConfig } from '../config/config.js';
import { asPipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import {
  type DueNotice,
  type Observation,
  countFreshQuarantine,
  knownNotices,
  noteObservations,
  noticeFailed,
  noticeTold,
  takeDueNotices,
} from '../load/notices.js';
import { attempt } from '../ops/attempt.js';
import type { Logger } from '../ops/logger.js';
import { noticeBody } from '../ops/notice.js';
import type { PipelineStatus, Status } from '../ops/status.js';
import { postJson } from '../ops/webhook.js';
import { actionFor } from '../policy.js';

/** What it takes. */
export interface NotifierParts {
  readonly config: Pick<Config, 'notify'>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly pool: Pick<PostgresPool, 'query'>;
  /** How the deployment is. */
  readonly read: () => Promise<Status>;
  /** How long a request may take, in ms; absent, the default. */
  readonly timeoutMs?: number;
}

/** As often as the admin role looks by itself. */
const LOOK_EVERY_MS = 10_000;
const HOUR_MS = 3_600_000;
/** A webhook that is away is asked again soon at first, and then ever more seldom. */
const RETRY_BASE_MS = 5_000;
const RETRY_MAX_MS = 15 * 60_000;

/** A stop does not wait longer for a database that does not answer. */
const GOODBYE_LIMIT_MS = 1_000;

type Kind = NotifyConfig['on'][number];

/** Looks and tells until stopped. Never fails: what stands in the way is in the log. Null when nobody is to be told. */
export function startNotifier(parts: NotifierParts): Service | null {
  const { clock, config, log } = parts;
  const { notify } = config;
  if (notify === null) return null;
  const stopped = new AbortController();
  const { signal } = stopped;
  let said: string | null = null;
  const once = async (): Promise<void> => {
    try {
      await look({ ...parts, notify }, signal);
      said = null;
    } catch (thrown) {
      const error = asPipelineError(thrown);
      // An outage is told by others, and everything else once.
      if (signal.aborted || actionFor(error) === 'wait' || said === error.code) return;
      said = error.code;
      log.warn({ event: 'notify_failed', error });
    }
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      await once();
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  };
  const looping = loop();
  return {
    stop: async () => {
      stopped.abort();
      await attempt(() => looping, GOODBYE_LIMIT_MS);
    },
  };
}

/** A notifier that has somebody to tell. */
interface Looking extends NotifierParts {
  readonly notify: NotifyConfig;
}

/** One look: takes note of what is the case, and tells what is due. Throws `postgres_unavailable`. */
export async function look(parts: Looking, signal: AbortSignal): Promise<void> {
  const { pool } = parts;
  const status = await parts.read();
  if (signal.aborted) return;
  await noteObservations(pool, await observe(parts, status));
  const due = await takeDueNotices(pool);
  await Promise.all(due.map((notice) => tell(parts, notice, status, signal)));
}

async function observe(
  { pool, notify, clock }: Looking,
  { pipelines }: Status,
): Promise<readonly Observation[]> {
  const max = notify.quarantineGrowth;
  const names = pipelines.map(({ pipeline }) => pipeline);
  const [fresh, known] = await Promise.all([
    countFreshQuarantine(pool, names, { withinMs: HOUR_MS, max }),
    knownNotices(pool),
  ]);
  const grows = (pipeline: string): boolean => {
    const wasSo = known.some((one) => one.pipeline === pipeline && one.kind === 'quarantine');
    // Twice as many to begin as to go on, or it would come and go.
    return (fresh.get(pipeline) ?? 0) >= (wasSo ? max / 2 : max);
  };
  return pipelines.flatMap((status) =>
    notify.on.flatMap((kind): Observation[] => {
      const since = sinceWhen(kind, status, () => (grows(status.pipeline) ? clock.now() : null));
      return since === undefined ? [] : [{ pipeline: status.pipeline, kind, since }];
    }),
  );
}

/** Epoch ms; null when it is not the case, undefined when nobody knows. */
function sinceWhen(
  kind: Kind,
  { breaker, breaker_since, overdue_since }: PipelineStatus,
  grows: () => number | null,
): number | null | undefined {
  // It is the database that tells all of it.
  if (breaker === null) return undefined;
  if (kind === 'quarantine') return grows();
  const since = kind === 'overdue' ? overdue_since : breaker === 'open' ? breaker_since : null;
  return since === null ? null : Date.parse(since);
}

async function tell(
  { pool, notify, clock, log, timeoutMs }: Looking,
  due: DueNotice,
  { pipelines }: Status,
  signal: AbortSignal,
): Promise<void> {
  const { pipeline, id, isOver, attempts } = due;
  const kind = notify.on.find((one) => one === due.kind);
  // Nobody wants to hear of this kind any more.
  if (kind === undefined) return noticeTold(pool, due);
  const body = noticeBody(
    { id, kind, pipeline, isOver, since: due.since.toISOString(), at: new Date(clock.now()).toISOString() },
    pipelines.find((one) => one.pipeline === pipeline),
  );
  const headers = Object.entries(notify.headers).map(([name, value]) => [name, value.reveal()] as const);
  const address = { url: notify.webhook.reveal(), headers: Object.fromEntries(headers) };
  const delivery = await postJson(address, body, signal, timeoutMs);
  const fields = { pipeline, reason: kind, state: body.state, attempt: attempts };
  if (delivery.ok) {
    log.info({ event: 'notice_sent', ...fields });
    return noticeTold(pool, due);
  }
  if (signal.aborted) return;
  log.warn({ event: 'notice_failed', ...fields }, `the webhook of notify did not take it: ${delivery.why}`);
  await noticeFailed(pool, due, backoffMs(clock, attempts, RETRY_BASE_MS, RETRY_MAX_MS));
}
