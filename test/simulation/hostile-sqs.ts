import { PipelineError } from '../../src/errors.js';
import type { QueueClient } from '../../src/source/queue-client.js';
import type { FakeSqs } from './fake-sqs.js';
import type { Faults } from './faults.js';
import type { Host } from './host.js';
import type { Oracle } from './oracle.js';
import type { Outage } from './outage.js';
import type { Benign, Planted } from './planted.js';

/** What the queue is seen through. */
export interface HostileSqsOptions {
  readonly sqs: FakeSqs;
  readonly faults: Faults;
  readonly oracle: Oracle;
  readonly outage: Outage;
  readonly planted: Planted | Benign | null;
}

/** Sets up the queue's own misbehaviour, and tells the oracle of all that is handed out. */
export function makeHostile({ sqs, faults, oracle }: HostileSqsOptions): void {
  sqs.faults.duplicate = (id) => {
    // Of a FIFO queue's messages SQS keeps no copies that another receive could find.
    if (sqs.isFifo) return false;
    const twice = faults.strikes('sqs_duplicate', id);
    if (twice) oracle.handsOutTwice(id);
    return twice;
  };
  sqs.faults.overlook = (id) => faults.strikes('sqs_overlooked', id);
  sqs.faults.entry = (call, handle) => {
    if (faults.strikes('sqs_entry_failed', `${call} ${handle}`)) return 'failed';
    // At-least-once delivery: a copy that was away at the delete comes back (AWS, "Standard queue delivery").
    if (call === 'delete' && faults.strikes('sqs_delete_undone', handle)) return 'done';
    return null;
  };
}

/** The queue, as one process reaches it. */
export function sqsAt(host: Host, options: HostileSqsOptions): QueueClient {
  const { sqs, oracle, outage, planted } = options;
  const lost = (): PipelineError => new PipelineError('sqs_unavailable', 'SQS did not answer');
  const call = async <T>(name: string, effect: () => Promise<T>): Promise<T> => {
    try {
      return await host.call({ name: `sqs.${name}`, lost, effect: () => outage.through(effect) });
    } catch (error) {
      host.trouble();
      throw error;
    }
  };
  const connection = connectionsOf(host);
  return {
    queue: sqs.queue,
    receive: async (poll, signal) => {
      let isGivenUp = false;
      const raw = await call('receive', async () => {
        // A request that arrives when nobody waits for it any more dies with nobody, unless it was cut by then.
        const end = isGivenUp && !signal.aborted ? new AbortController().signal : connection(signal);
        const messages = await sqs.receive(poll, end);
        for (const { id, handle } of messages) oracle.handedOut(id, handle, host);
        return messages;
      }).finally(() => {
        isGivenUp = true;
      });
      for (const { handle } of raw) oracle.arrived(handle);
      return raw;
    },
    deleteBatch: async (handles) => {
      const results = await call('delete', async () => {
        const before = sqs.deleted.length;
        const answer = await sqs.deleteBatch(handles);
        for (const id of sqs.deleted.slice(before)) oracle.deleted(id);
        return answer;
      });
      return planted === 'failed_deletes_ignored' ? results.map(() => 'done') : results;
    },
    changeVisibilityBatch: async (changes) => {
      const isExtension = changes.some(({ handle }) => oracle.isHeld(handle));
      if (planted === 'no_heartbeat' && isExtension) return changes.map(() => 'done');
      // What nobody takes any more the source gives back by itself.
      for (const { handle, seconds } of changes) if (seconds === 0) oracle.givenBack(handle);
      return call('change', async () => {
        const results = await sqs.changeVisibilityBatch(changes);
        if (results.includes('failed')) host.trouble();
        for (const [index, { handle }] of changes.entries()) {
          if (results[index] === 'gone') oracle.lapsed(handle);
        }
        return results;
      });
    },
    attributes: () => call('attributes', () => sqs.attributes()),
    close: () => sqs.close(),
  };
}

/** A connection dies with its process, or is cut: a poll that waits is given up, what was handed out stays handed out. */
function connectionsOf(host: Host): (signal: AbortSignal) => AbortSignal {
  const connections = new WeakMap<AbortSignal, AbortSignal>();
  return (signal) => {
    const known = connections.get(signal);
    if (known) return known;
    const cut = new AbortController();
    for (const end of [signal, host.death]) {
      if (end.aborted) cut.abort('cut');
      end.addEventListener('abort', () => cut.abort('cut'), { once: true });
    }
    connections.set(signal, cut.signal);
    return cut.signal;
  };
}
