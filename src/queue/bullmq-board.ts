import {
  type BoardCounts,
  type BoardQueue,
  type BoardState,
  boardJob,
  boardStates,
  isBatchId,
} from './board.js';
import type { JobQueue } from './bullmq-link.js';

/** Bounds one page: a job comes with its whole payload. */
const MAX_JOBS = 50;

/** Runs `work` on the open queue, and turns what it throws into an error of ours; `doing` goes into its message. */
type Call = <R>(doing: string, work: (queue: JobQueue) => Promise<R>) => Promise<R>;

/** A BullMQ queue as a dashboard may show it. */
export function bullBoard(name: string, call: Call): BoardQueue {
  const looking = <R>(work: (queue: JobQueue) => Promise<R>): Promise<R> => call(`looking at ${name}`, work);
  return {
    name,
    counts: async () => {
      const counts = await looking((queue) => queue.getJobCounts(...boardStates));
      const of = (state: BoardState): number => counts[state] ?? 0;
      return {
        active: of('active'),
        waiting: of('waiting'),
        delayed: of('delayed'),
        failed: of('failed'),
        completed: of('completed'),
      };
    },
    jobs: async (states, start, end) => {
      const last = Math.min(end, start + MAX_JOBS - 1);
      const jobs = await looking((queue) => queue.getJobs([...states], start, last));
      // What is gone since it was listed comes as nothing.
      return jobs.flatMap((job, index) => (job ? [boardJob(job, start + index + 1)] : []));
    },
    job: async (id) => {
      if (!isBatchId(id)) return null;
      const found = await looking(async (queue) => {
        const job = await queue.getJob(id);
        return job ? { job, state: await job.getState() } : null;
      });
      if (found === null) return null;
      const state = boardStates.find((known) => known === found.state) ?? 'unknown';
      return { ...boardJob(found.job, 1), state };
    },
    isPaused: () => looking((queue) => queue.isPaused()),
    finished: async (how): Promise<BoardCounts> => {
      const { meta, data } = await looking((queue) => queue.getMetrics(how));
      return { total: countOf(meta.count), perMinute: data.map(countOf), at: countOf(meta.prevTS) };
    },
  };
}

/** BullMQ reads these as text on one of its servers, and as numbers on the other. */
function countOf(value: unknown): number {
  const count = Number(value);
  return Number.isSafeInteger(count) && count >= 0 ? count : 0;
}
