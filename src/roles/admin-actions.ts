import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import { asOutage } from '../load/postgres-error.js';
import { readFates, releaseUndecided } from '../load/fate.js';
import { listProcesses } from '../load/processes.js';
import { type QuarantineFilter, countEntries } from '../load/quarantine-entries.js';
import { type ScheduleLog, createScheduleLog } from '../load/schedules.js';
import type { ActionOutcome, ActionPlan, ActionRequest, Actions } from '../ops/admin/actions.js';
import type { RunReport } from '../batch.js';
import { planDiscard, planReplay, planRetry, planSteering } from './admin-plans.js';
import type { AdminParts } from './admin-server.js';
import { DANGEROUS_CODE } from './admin-views.js';
import { AdminWork } from './admin-work.js';
import type { Deployment } from './deployment.js';
import { type FailedEntry, type FailedQueues, failedQueuesOf } from './failed.js';
import { checkDatabase } from './preflight.js';
import { GONE_MS } from './presence.js';
import { replay } from './replay.js';
import { Retry } from './retry.js';

type Parts = Pick<AdminParts, 'pool' | 'pipelines' | 'keys'>;

/** What may be done from the admin pages: the same as by the commands, by the same functions. */
export class AdminActions implements Actions, Service {
  readonly #deployment: Deployment;
  readonly #parts: Parts;
  readonly #failed: FailedQueues;
  readonly #schedules: ScheduleLog;
  readonly #work: AdminWork;

  constructor(deployment: Deployment, parts: Parts) {
    this.#deployment = deployment;
    this.#parts = parts;
    this.#failed = failedQueuesOf(
      parts.pipelines.map(({ pipeline, queues }) => ({ pipeline: pipeline.name, queues })),
    );
    this.#schedules = createScheduleLog(parts.pool);
    this.#work = new AdminWork(deployment);
  }

  readonly hasKeys = (): boolean => this.#parts.keys.keyring() !== null;

  stop(mode?: StopMode): Promise<void> {
    return this.#work.stop(mode);
  }

  async plan(request: ActionRequest): Promise<ActionPlan> {
    const pipeline = this.#pipelineOf(request);
    const hasKeys = this.hasKeys();
    const now = this.#deployment.clock.now();
    switch (request.action) {
      case 'retry': {
        const live = await listProcesses(this.#parts.pool, GONE_MS);
        return planRetry(request, await this.#jobs(request), { hasKeys, live });
      }
      case 'discard':
        return planDiscard(request, await this.#jobs(request), now);
      case 'replay':
        return planReplay(request, await this.#countEntries(request), hasKeys);
      default: {
        const [steering] = await this.#schedules.readAll([pipeline.name]);
        if (!steering) throw new PipelineError('unexpected', `Postgres gave no row for ${pipeline.name}`);
        return planSteering(request, pipeline, steering, now);
      }
    }
  }

  async perform(request: ActionRequest, by: string, reason: string | null): Promise<ActionOutcome> {
    const pipeline = this.#pipelineOf(request);
    const { action, stage, code, ids } = request;
    this.#deployment.log.info({
      event: 'admin_action',
      ...{ action, pipeline: pipeline.name, user: by },
      ...(stage && { stage }),
      ...(code && { code }),
      ...(ids && { ids }),
      ...(reason !== null && { reason }),
    });
    switch (action) {
      case 'retry':
        return this.#retry(pipeline, await this.#jobs(request));
      case 'discard':
        return this.#discard(await this.#jobs(request));
      case 'replay':
        return this.#replay(pipeline, filterOf(request));
      case 'pause': {
        await this.#schedules.pause(pipeline.name, reason === null ? `by ${by}` : `${reason} (by ${by})`);
        return { text: `${pipeline.name} is paused`, runId: null };
      }
      case 'resume':
        await this.#schedules.resume(pipeline.name);
        return { text: `${pipeline.name} goes on`, runId: null };
      case 'run':
        await this.#schedules.requestRun(pipeline.name);
        return { text: `${pipeline.name} runs within a few seconds`, runId: null };
    }
  }

  async #retry(pipeline: PipelineConfig, entries: readonly FailedEntry[]): Promise<ActionOutcome> {
    const { pool, keys } = this.#parts;
    requireSome(entries);
    const queues = await keys.queues(pipeline.name);
    const sink = {
      fates: (batchIds: readonly string[]) => asOutage(() => readFates(pool, batchIds)),
      letGo: (batches: Parameters<typeof releaseUndecided>[1]) =>
        asOutage(() => releaseUndecided(pool, batches)),
    };
    const retry = new Retry(this.#deployment, { pool }, { pipeline, queues, sink }, entries);
    const result = await this.#work.start(pipeline.name, (stop) => retry.run(stop));
    const { runId } = retry;
    if (result === null) return { text: 'The retry is under way: its run tells how it goes', runId };
    const { report, refused, gone } = result;
    const left = refused.length > 0 ? `; ${refused.length} left as they are: ${refused[0]?.why ?? ''}` : '';
    const missing = gone > 0 ? `; ${gone} were retried or discarded by somebody else` : '';
    return { text: `Retried: ${reportText(report)}${left}${missing}`, runId };
  }

  async #discard(entries: readonly FailedEntry[]): Promise<ActionOutcome> {
    requireSome(entries);
    let discarded = 0;
    for (const entry of entries) if (await this.#failed.discard(entry)) discarded += 1;
    return { text: `${discarded} of ${entries.length} failed jobs removed`, runId: null };
  }

  async #replay(pipeline: PipelineConfig, filter: QuarantineFilter): Promise<ActionOutcome> {
    const { pool, keys } = this.#parts;
    const keyring = keys.keyring();
    if (keyring === null) throw new PipelineError('key_unavailable', 'this process has no keys');
    await checkDatabase(pool, [pipeline], 'loads');
    const parts = { deployment: this.#deployment, pool, keyring };
    const result = await this.#work.start(pipeline.name, ({ soft }) =>
      replay(parts, { pipeline, filter, limit: null }, soft),
    );
    if (result === null) return { text: 'The replay is under way: the overview shows its run', runId: null };
    return { text: `Replayed: ${reportText(result.report)}`, runId: result.report.runId };
  }

  /** The failed jobs that a request means. */
  async #jobs({ pipeline, stage, code, ids, until }: ActionRequest): Promise<readonly FailedEntry[]> {
    const codes = code === null ? [] : [code];
    const found =
      ids === null
        ? await this.#failed.list({ codes, since: null, limit: null })
        : await this.#failed.find(ids);
    return found.filter(
      (entry) =>
        entry.pipeline === pipeline &&
        (stage === null || entry.stage === stage) &&
        entry.failedAt <= Date.parse(until),
    );
  }

  async #countEntries(request: ActionRequest): Promise<number> {
    const counts = await countEntries(this.#parts.pool, filterOf(request));
    return counts.reduce((sum, { open }) => sum + open, 0);
  }

  #pipelineOf({ pipeline: name }: ActionRequest): PipelineConfig {
    const found = this.#parts.pipelines.find(({ pipeline }) => pipeline.name === name);
    if (found) return found.pipeline;
    throw new PipelineError('not_found', 'this process knows no pipeline of that name');
  }
}

/** Open entries of a pipeline and code; what might end this process is replayed by its command only. */
function filterOf({ pipeline, code, until }: ActionRequest): QuarantineFilter {
  return {
    ids: null,
    pipelines: [pipeline],
    codes: code === null ? [] : [code],
    withoutCodes: [DANGEROUS_CODE],
    since: null,
    until,
    state: 'open',
  };
}

function requireSome({ length }: readonly FailedEntry[]): void {
  if (length === 0)
    throw new PipelineError(
      'not_found',
      'there is no such failed job any more: it was retried or discarded meanwhile',
    );
}

function reportText({ received, loaded, duplicates, quarantined, released }: RunReport): string {
  return `received ${received}, loaded ${loaded}, duplicates ${duplicates}, quarantined ${quarantined}, released ${released}`;
}
