// What has to end before something else does: each limit here is shorter than the one that it runs within.

import { formatDuration } from '../config/units.js';
import { PipelineError } from '../errors.js';
import { STATEMENT_TIMEOUT_MS } from '../load/connection.js';
import { defaultAttempts } from '../queue/attempts.js';
import { defaultLocks } from '../queue/bullmq-consumer.js';
import { STOP_DEADLINE_MS } from '../roles/role.js';
import { SESSION_STATEMENT_TIMEOUT_MS } from './ask-postgres.js';
import type { Facts } from './facts.js';
import { GOOD, type Verdict, error, together, unanswered, unseen, warning } from './finding.js';
import { ofQueues } from './source-checks.js';

/**
 * An extension begins when 40 % of the time is used up, and one that gets no answer is given up after 10 s: in what is
 * left of 30 s there is room for another.
 */
const LEAST_VISIBILITY_MS = 30_000;
/** SQS hands out no more of a queue (Amazon SQS Developer Guide, "In-flight messages"). */
const MOST_IN_FLIGHT = 120_000;
/** A deployment, a crash and an outage may cost a receive each. */
const LEAST_RECEIVES = 3;
/** A pipeline of a shared queue that is stopped for half a day costs the others' messages four. */
const LEAST_RECEIVES_SHARED = 6;
/** A worker that died is replaced, and a batch that fails is tried so often; both before it is let go. */
const LEAST_RESIDENCE_MS = defaultLocks.lockMs + defaultLocks.stalledMs + triesMs();

function triesMs(): number {
  const { attempts, baseMs, maxMs } = defaultAttempts;
  const waits = Array.from({ length: attempts - 1 }, (_, tried) => Math.min(maxMs, baseMs * 2 ** tried));
  return waits.reduce((sum, wait) => sum + wait, 0);
}

/** Whether the heartbeat has time to keep messages hidden. */
export function judgeVisibility({ pipelines }: Facts): Verdict {
  return together(
    pipelines.map(({ name, source: { sqs } }) => {
      const visibilityMs = sqs.visibilityTimeoutS * 1_000;
      if (visibilityMs >= LEAST_VISIBILITY_MS) return GOOD;
      return warning(
        `visibility_timeout is ${formatDuration(visibilityMs)}: one call to SQS that gets no answer takes 10s, and ` +
          'messages that are held could be handed out again',
        `set pipelines.${name}.source.sqs.visibility_timeout to ${formatDuration(LEAST_VISIBILITY_MS)} or more (default 5m)`,
        name,
      );
    }),
  );
}

/** Whether batches are formed while their messages are hidden without the heartbeat's help. */
export function judgeLinger({ pipelines }: Facts): Verdict {
  return together(
    pipelines.map(({ name, batch, source: { sqs } }) => {
      const visibilityMs = sqs.visibilityTimeoutS * 1_000;
      if (batch.lingerMs < visibilityMs) return GOOD;
      return warning(
        `batch.linger is ${formatDuration(batch.lingerMs)}, and visibility_timeout ${formatDuration(visibilityMs)}: ` +
          'messages are kept hidden call by call before they are even in a batch',
        `set pipelines.${name}.batch.linger to less than its visibility_timeout (default 1s)`,
        name,
      );
    }),
  );
}

/** Whether a batch is waited for as long as it may rightly take. */
export function judgeResidence({ pipelines }: Facts): Verdict {
  return together(
    pipelines.map(({ name, limits: { residenceMs } }) => {
      if (residenceMs >= LEAST_RESIDENCE_MS) return GOOD;
      return warning(
        `limits.residence is ${formatDuration(residenceMs)}: a batch whose worker died is taken over after ` +
          `${formatDuration(defaultLocks.lockMs + defaultLocks.stalledMs)}, and one that fails is tried for ` +
          `${formatDuration(triesMs())}; it would be let go before`,
        `set pipelines.${name}.limits.residence to ${formatDuration(LEAST_RESIDENCE_MS)} or more (default 15m)`,
        name,
      );
    }),
  );
}

/** Whether all ingesters together may hold what SQS hands out. */
export function judgeInFlight({ pipelines, processes }: Facts): Verdict {
  if (processes instanceof PipelineError) return unanswered('how many ingesters there are', processes);
  return together(
    pipelines.map(({ name, limits: { inFlight } }) => {
      const ingesters = processes.filter(
        (one) => (one.role === 'ingest' || one.role === 'all') && one.pipelines.includes(name),
      ).length;
      const most = Math.max(1, ingesters) * inFlight;
      if (most <= MOST_IN_FLIGHT) return GOOD;
      return warning(
        `${Math.max(1, ingesters)} ingesters may hold ${most} messages by limits.in_flight (${inFlight} each), and SQS ` +
          `hands out ${MOST_IN_FLIGHT}: beyond that it refuses to`,
        `set pipelines.${name}.limits.in_flight to ${Math.floor(MOST_IN_FLIGHT / Math.max(1, ingesters))} or less`,
        name,
      );
    }),
  );
}

/** Whether messages survive the receives that crashes, deployments and outages cost. */
export function judgeReceiveCount(facts: Facts): Verdict {
  return ofQueues(facts, ({ attributes: { redrive } }, { pipeline, queue }) => {
    const least = pipeline.route === null ? LEAST_RECEIVES : LEAST_RECEIVES_SHARED;
    if (redrive === null || redrive.maxReceiveCount >= least) return GOOD;
    return warning(
      `maxReceiveCount of queue ${queue} is ${redrive.maxReceiveCount}: each crash, deployment or batch that is let go ` +
        'costs a receive, and good messages would end as dead letters',
      `set maxReceiveCount in the RedrivePolicy of ${queue} to ${least} or more (aws sqs set-queue-attributes); ` +
        '`maskline dlq redrive` brings back what is there',
      pipeline.name,
    );
  });
}

/** Whether what supervises processes leaves them the time that they need to end. */
export function judgeKillTime({ host: { killTimes } }: Facts): Verdict {
  if (killTimes instanceof PipelineError)
    return error(killTimes.message, 'mend that file; another one of pm2 is named by --pm2');
  if (killTimes.length === 0) {
    return unseen('how long processes are given to end: name the file of pm2 by --pm2, or say it by --grace');
  }
  return together(
    killTimes.map(({ where, ms, how }) => {
      if (ms > STOP_DEADLINE_MS) return GOOD;
      return error(
        `${where}: a process is killed ${formatDuration(ms)} after it was told to end, and takes up to ` +
          `${formatDuration(STOP_DEADLINE_MS)} to finish what it has`,
        `${how} to more than ${formatDuration(STOP_DEADLINE_MS)}, e.g. 30s`,
      );
    }),
  );
}

/** Whether Postgres lets a load take as long as a loader does. */
export function judgeDatabaseTimeouts({ databases }: Facts): Verdict {
  return together(
    databases.map(({ key, server }) => {
      if (server instanceof PipelineError) return unanswered(key, server);
      const { statementTimeoutMs, transactionTimeoutMs, user } = server;
      const verdicts: Verdict[] = [];
      if (statementTimeoutMs !== SESSION_STATEMENT_TIMEOUT_MS) {
        verdicts.push(
          error(
            `${key}: statement_timeout is ${formatDuration(statementTimeoutMs)} in a session that has just set it to ` +
              `${formatDuration(SESSION_STATEMENT_TIMEOUT_MS)}: a pooler gives each statement another session`,
            `let ${key} lead to Postgres itself, or to a pooler in session mode`,
          ),
        );
      }
      if (transactionTimeoutMs && transactionTimeoutMs < STATEMENT_TIMEOUT_MS) {
        verdicts.push(
          error(
            `${key}: transaction_timeout of ${user} is ${formatDuration(transactionTimeoutMs)}, and one statement of a ` +
              `load may take ${formatDuration(STATEMENT_TIMEOUT_MS)}: a large batch could never commit`,
            `run: alter role "${user}" set transaction_timeout = 0`,
          ),
        );
      }
      return together(verdicts);
    }),
  );
}
