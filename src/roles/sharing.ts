// Pipelines that share a queue, by their routes: one source for all of them, and its parts.

import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { RouteTable } from '../source/route.js';
import { SharedSource } from '../source/shared-queue.js';
import type { Deployment } from './deployment.js';
import { type Receiving, type ReceivingOptions, openReceiving } from './receiving.js';
import { sourceEvents } from './source-events.js';

/** SQS hides at most so many messages of a standard queue at a time. */
const MOST_IN_FLIGHT = 120_000;

/** The queues of a process's pipelines; those that share one have one connection to it. */
export class QueueSharing {
  readonly #deployment: Deployment;
  readonly #releases: Releases;
  readonly #pipelines: readonly PipelineConfig[];
  readonly #shared = new Map<string, Promise<Shared>>();

  constructor(deployment: Deployment, releases: Releases, pipelines: readonly PipelineConfig[]) {
    this.#deployment = deployment;
    this.#releases = releases;
    this.#pipelines = pipelines;
  }

  /** What that pipeline receives from. Throws `usage` where others have a part in its queue and are not in this process. */
  async open(pipeline: PipelineConfig, options: ReceivingOptions): Promise<Receiving> {
    const { route, name } = pipeline;
    if (route === null) return openReceiving(this.#deployment, this.#releases, pipeline, options);
    const [first] = route.pipelines;
    const opening = this.#shared.get(first) ?? this.#openShared(route, options);
    this.#shared.set(first, opening);
    const { clients, source } = await opening;
    return { clients, openSource: () => source.openBranch(name, options.admit) };
  }

  async #openShared(route: RouteTable, { origins }: ReceivingOptions): Promise<Shared> {
    const members = this.#pipelines.filter(({ name }) => route.pipelines.includes(name));
    const [first] = members;
    if (first === undefined || members.length < route.pipelines.length) throw notAll(route, members);
    const sum = (key: 'inFlight' | 'inFlightBytes'): number =>
      members.reduce((total, { limits }) => total + limits[key], 0);
    const limits = {
      inFlight: Math.min(MOST_IN_FLIGHT, sum('inFlight')),
      inFlightBytes: sum('inFlightBytes'),
    };
    const asOne = { ...first, limits: { ...first.limits, ...limits } };
    const tell = sourceEvents(this.#deployment, first.name);
    let source: SharedSource | null = null;
    const receiving = await openReceiving(this.#deployment, this.#releases, asOne, {
      admit: async (signal) => source?.admit(signal),
      origins,
      // Of these each pipeline is told by itself.
      onEvent: (event) => {
        if (event.kind !== 'received' && event.kind !== 'deleted') tell(event);
      },
    });
    source = new SharedSource(
      {
        table: route,
        clock: this.#deployment.clock,
        open: receiving.openSource,
        limits: (name) => (members.find((one) => one.name === name) ?? first).limits,
        onEvent: (name, event) => sourceEvents(this.#deployment, name)(event),
      },
      await receiving.openSource(),
    );
    return {
      clients: receiving.clients,
      source: await this.#releases.acquire(source, (open) => open.stop()),
    };
  }
}

interface Shared extends Pick<Receiving, 'clients'> {
  readonly source: SharedSource;
}

function notAll({ pipelines }: RouteTable, here: readonly PipelineConfig[]): PipelineError {
  const names = here.map(({ name }) => name);
  const away = pipelines.filter((name) => !names.includes(name));
  return new PipelineError(
    'usage',
    `pipelines ${pipelines.join(', ')} share a queue by \`route\`, which is received from for all of them at once: ` +
      `name ${away.join(', ')} too`,
  );
}
