import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import type { Batch } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import type { Sealer } from '../../src/queue/queue.js';

/** AES-256-GCM with the id as associated data, as the real sealer; keys are derived from their kid, so processes agree. */
export function testSealer(kid = 1, keyring = 'kr_test'): Sealer {
  const key = (id: number): Buffer => createHash('sha256').update(`test key ${id}`).digest();
  return {
    keyring,
    seal(id, plain) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', key(kid), nonce).setAAD(Buffer.from(`${id} ${kid}`));
      const sealed = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
      return { kid, sealed };
    },
    open(id, used, sealed) {
      if (used !== kid) throw new PipelineError('key_unavailable', `there is no key ${used}`);
      try {
        const decipher = createDecipheriv('aes-256-gcm', key(used), sealed.subarray(0, 12))
          .setAAD(Buffer.from(`${id} ${used}`))
          .setAuthTag(sealed.subarray(-16));
        return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
      } catch {
        throw new PipelineError('payload_corrupt', 'not authentic');
      }
    },
  };
}

/** A batch of one message for each body. */
export function batchOf(bodies: readonly string[], batchId = uuidv7()): Batch {
  const ids = bodies.map((_, index) => `m${index}-${batchId}`);
  return {
    batchId,
    runId: uuidv7(),
    pipeline: 'logins',
    messages: ids.map((messageId) => ({
      messageId,
      sentAt: 1_700_000_000_000,
      receivedAt: 1_700_000_000_500,
      attributes: {},
    })),
    records: bodies.map((body, index) => ({ id: ids[index] ?? '', message: index, body })),
  };
}

/** What was seen so far, and promises of what is to be seen. */
export class Seen<T> {
  readonly all: T[] = [];
  #waiters: { enough: () => boolean; resolve: () => void }[] = [];

  push(item: T): void {
    this.all.push(item);
    this.#waiters = this.#waiters.filter((waiter) => {
      if (!waiter.enough()) return true;
      waiter.resolve();
      return false;
    });
  }

  /** The first `count` items that match, as soon as there are that many. Fails after `limitMs`. */
  async take(
    count: number,
    matches: (item: T) => boolean = () => true,
    limitMs = 10_000,
  ): Promise<readonly T[]> {
    const found = (): T[] => this.all.filter(matches);
    if (found().length < count) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve, reject) => {
        this.#waiters.push({ enough: () => found().length >= count, resolve });
        const late = () =>
          reject(new assert.AssertionError({ message: `saw ${found().length} of ${count} in time` }));
        timer = setTimeout(late, limitMs);
      }).finally(() => clearTimeout(timer));
    }
    return found().slice(0, count);
  }
}

/** A promise that the test resolves. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** What takes longer is asked for less often. */
const SOON_MS = 500;

/** Asks until the answer is as wished, for states that no event tells of. Fails after `limitMs`. */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  wished: (answer: T) => boolean,
  limitMs = 10_000,
): Promise<T> {
  const from = Date.now();
  for (;;) {
    const answer = await ask();
    if (wished(answer)) return answer;
    const waitedMs = Date.now() - from;
    assert.ok(waitedMs < limitMs, `not as wished in time: ${JSON.stringify(answer)}`);
    // Asking costs the server as much as the work that is waited for, or more.
    await new Promise((resolve) => setTimeout(resolve, waitedMs < SOON_MS ? 10 : 50));
  }
}

/** Whether a promise has settled by the next turns of the event loop. */
export async function hasSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  const soon = new Promise((resolve) => setTimeout(() => resolve(pending), 50));
  return (await Promise.race([promise.catch(() => undefined), soon])) !== pending;
}
