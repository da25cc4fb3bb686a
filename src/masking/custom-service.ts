// A masker's own thread: loads its files, and answers one question after the other until the thread is ended.

import { type KeyObject, createHmac } from 'node:crypto';
import { workerData } from 'node:worker_threads';

import {
  type Answer,
  type Place,
  type Question,
  type Result,
  type ThreadData,
  type Usage,
  state,
} from './custom-exchange.js';
import { type Loaded, loadModules, placeOf, unfit } from './custom-modules.js';
import { isDefined } from './define-masker.js';

type Mask = (value: string) => unknown;
type Exports = Extract<Loaded, { exports: unknown }>['exports'];

const definitionKeys = ['mask', 'input', 'keyed', 'check'];

/** Serves the process that started this thread. */
export async function serveMasker(): Promise<void> {
  const given: unknown = workerData;
  if (!isThreadData(given)) throw new TypeError('this runs in a thread that a process has started to mask');
  const { signal, port, files } = given;
  // What is printed may hold values.
  for (const stream of [process.stdout, process.stderr]) stream.write = printNothing;
  // A promise that nobody waits for is no value's fault: its result is refused already.
  process.on('unhandledRejection', () => undefined);
  // The thread that asks is asleep: a masker that ends its thread must not let it sleep to the end of its limit.
  process.on('exit', () => {
    Atomics.store(signal, 0, state.ended);
    Atomics.notify(signal, 0);
  });
  const answer = (message: Answer): void => {
    port.postMessage(message);
    Atomics.store(signal, 0, state.answered);
    Atomics.notify(signal, 0);
  };
  const loaded = await loadModules(files);
  if ('kind' in loaded) {
    answer(loaded);
    return;
  }
  const masks = new Map<number, Mask>();
  port.on('message', (question: Question) => {
    if (question.kind === 'prepare') answer(prepare(question, loaded.exports, masks, files));
    else answer(maskAll(masks.get(question.use), question.values, files));
  });
  answer({ kind: 'loaded' });
}

function printNothing(...given: readonly unknown[]): true {
  const done = given.at(-1);
  if (typeof done === 'function') process.nextTick(() => void Reflect.apply(done, undefined, []));
  return true;
}

function prepare(
  { use, usage }: Extract<Question, { kind: 'prepare' }>,
  exports: Exports,
  masks: Map<number, Mask>,
  files: ThreadData['files'],
): Answer {
  if (!Object.hasOwn(exports, usage.export)) return unfit('no_export', { subject: usage.export });
  const masker = exports[usage.export];
  if (!isDefined(masker)) return unfit('not_a_masker', { subject: usage.export });
  const { mask, input = 'canonical', keyed = false, check, ...others } = { ...masker };
  const strange = Object.keys(others).find((key) => !definitionKeys.includes(key));
  if (strange !== undefined) return unfit('unknown_key', { subject: strange });
  if (typeof mask !== 'function') return unfit('no_function');
  if (mask.constructor.name === 'AsyncFunction') return unfit('asynchronous');
  if (input !== 'canonical' && input !== 'as_sent') return unfit('unknown_key', { subject: 'input' });
  if (keyed === true && usage.key === null) return unfit('no_domain');
  if (keyed !== true && usage.key !== null) return unfit('idle_domain');
  const context = contextOf(usage);
  if (typeof check === 'function') {
    try {
      Reflect.apply(check, masker, [context]);
    } catch (error) {
      return unfit('check_threw', { place: placeOf(error, files) });
    }
  }
  masks.set(use, (value): unknown => Reflect.apply(mask, masker, [value, context]));
  return { kind: 'prepared', input };
}

function contextOf({ column, options, key }: Usage): object {
  const plain = { column, options: deepFreeze(options) };
  return Object.freeze(key === null ? plain : { ...plain, hmac: hmacOf(key) });
}

function hmacOf(key: KeyObject): (text: string) => string {
  return (text) => {
    if (typeof text !== 'string') throw new TypeError('hmac takes a text');
    return createHmac('sha256', key).update(text, 'utf8').digest('base64url');
  };
}

function maskAll(mask: Mask | undefined, values: readonly string[], files: ThreadData['files']): Answer {
  let place: Place | null = null;
  const results = values.map((value): Result => {
    try {
      const result = mask?.(value);
      return typeof result === 'string' || result === null ? result : false;
    } catch (error) {
      // What it says may hold the value.
      place ??= placeOf(error, files);
      return false;
    }
  });
  return { kind: 'masked', results, place };
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}

/** It comes from the process that started the thread. */
function isThreadData(value: unknown): value is ThreadData {
  return (
    typeof value === 'object' && value !== null && 'signal' in value && 'port' in value && 'files' in value
  );
}
