// What is asked at each scrape, and the gauges that it goes into.

import type { Registry } from 'prom-client';
import { type Answer, attempt } from './attempt.js';
import type { Stage } from './events.js';
import { gauge, plainCounter } from './instruments.js';
import { metricNames } from './metric-names.js';
import type { Status } from './status.js';

/** A scrape waits no longer than this for a dependency that is away: Prometheus gives up after 10 s by default. */
const READ_TIMEOUT_MS = 2_000;

/** What a pipeline's queue reports of itself, in messages. */
export interface QueueSample {
  readonly pipeline: string;
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
}

/** Batches that wait or are worked on in one stage. */
export interface BacklogSample {
  readonly pipeline: string;
  readonly stage: Stage;
  readonly batches: number;
}

/** What the database says of a pipeline's schedule; null is what it does not say. */
export interface ScheduleSample {
  readonly pipeline: string;
  readonly isBreakerOpen: boolean | null;
  /** When the latest tick that ended well began, in epoch ms. */
  readonly lastSuccessAt: number | null;
}

/** What is asked at each scrape. What fails or is too slow is left out of that scrape. */
export interface MetricSources {
  readonly queues?: () => Promise<readonly QueueSample[]>;
  readonly backlog?: () => Promise<readonly BacklogSample[]>;
  /** Goes before what the events of this process tell. */
  readonly schedules?: () => Promise<readonly ScheduleSample[]>;
  /** How often values were asked for on record, by outcome. */
  readonly reveals?: () => Promise<ReadonlyMap<string, number>>;
  /** How the whole deployment is, where this process finds that out. */
  readonly status?: () => Promise<Status>;
  /** BullMQ's own metrics in the exposition format, one text for each queue. */
  readonly bullmq?: () => Promise<readonly string[]>;
}

/** The answer, or why there is none in time; never rejects. */
export function ask<T>(read: () => Promise<T>): Promise<Answer<T>> {
  return attempt(read, READ_TIMEOUT_MS);
}

/** What the queues report, by pipeline and state; what they don't say is left out. */
export function sampleQueues(registry: Registry, read: () => Promise<readonly QueueSample[]>): void {
  const messages = gauge(
    registry,
    metricNames.queueMessages,
    'Messages in the queue by state, as SQS estimates them.',
    ['pipeline', 'state'],
    async () => {
      const answer = await ask(read);
      messages.reset();
      for (const { pipeline, visible, inFlight, delayed } of answer.ok ? answer.value : []) {
        messages.set({ pipeline, state: 'visible' }, visible);
        messages.set({ pipeline, state: 'in_flight' }, inFlight);
        messages.set({ pipeline, state: 'delayed' }, delayed);
      }
    },
  );
}

/** What waits or is worked on, by pipeline and stage. */
export function sampleBacklog(registry: Registry, read: () => Promise<readonly BacklogSample[]>): void {
  const backlog = gauge(
    registry,
    metricNames.backlog,
    'Batches waiting or being worked on, by stage.',
    ['pipeline', 'stage'],
    async () => {
      const answer = await ask(read);
      backlog.reset();
      for (const { pipeline, stage, batches } of answer.ok ? answer.value : []) {
        backlog.set({ pipeline, stage }, batches);
      }
    },
  );
}

/** How often values were asked for, by outcome; while nothing can be read it stays as it was. */
export function sampleReveals(registry: Registry, read: () => Promise<ReadonlyMap<string, number>>): void {
  const reveals = plainCounter(
    registry,
    metricNames.reveals,
    'Values asked for by `reveal`, as its records tell.',
    ['outcome'],
    async () => {
      const answer = await ask(read);
      if (answer.ok) reveals.reset();
      for (const [outcome, count] of answer.ok ? answer.value : []) reveals.inc({ outcome }, count);
    },
  );
}
