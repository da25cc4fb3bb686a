import { isUtf8 } from 'node:buffer';
import type { Delivery } from '../batch.js';
import { type Clock, backoffMs } from '../clock.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { actionFor } from '../policy.js';
import { Bell } from '../bell.js';
import { type Line, ObjectUnreadable, atMost, linesOf, unpacked } from './object-lines.js';
import type { ObjectPlace, ObjectStore } from './object-store.js';
import type { Piece, Pointers, Received } from './parts.js';
import type { OnSourceEvent } from './source-events.js';
import { split } from './splitting.js';
import { type LooseRecord, type Opening, openMessage } from './unwrap.js';

/** Several pieces make a batch, so that it is filled well from pieces of many objects. */
const PIECE_RECORDS = 250;
const PIECE_BYTES = 128 * 1024;
/** While S3 is away, pauses double from and up to these. */
const OUTAGE_BASE_MS = 500;
const OUTAGE_MAX_MS = 20_000;

/** What reading objects needs. */
export interface ObjectReaderOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly opening: Opening;
  /** Of a batch: no piece is larger, but for a single record. */
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly onEvent: OnSourceEvent;
}

/**
 * Reads what messages point to in S3. Outages are waited out, and reading goes on where it broke off, of the very same
 * object. What can't be read of an object is one record, rejected, with the id `…rest`.
 */
export class ObjectReader implements Pointers {
  readonly #options: ObjectReaderOptions;
  /** Readers that wait for S3 to come back. */
  #waiting = 0;
  readonly #back = new Bell();

  constructor(options: ObjectReaderOptions) {
    this.#options = options;
  }

  async ready(signal: AbortSignal): Promise<void> {
    while (this.#waiting > 0 && !signal.aborted) await this.#back.wait(signal);
  }

  async fetch({ points, ...delivery }: Received, halt: AbortSignal): Promise<Received> {
    if (points?.kind !== 'payload') return points === undefined ? delivery : { ...delivery, points };
    const { messageId, body, attributes } = delivery.envelope;
    try {
      const bytes = await atMost(this.#bytes(points.payload, halt), points.opening.maxUnpackedBytes);
      if (bytes === null) throw new ObjectUnreadable('too_large');
      if (!isUtf8(bytes)) throw new ObjectUnreadable('bad_envelope');
      const opened = openMessage(messageId, bytes.toString('utf8'), points.opening);
      return {
        envelope: { ...delivery.envelope, attributes: { ...opened.attributes, ...attributes } },
        records: opened.records,
        receipt: { ...delivery.receipt, bytes: opened.bytes },
      };
    } catch (error) {
      if (!(error instanceof ObjectUnreadable)) throw error;
      return { ...delivery, records: [{ id: messageId, body, rejected: error.reason }] };
    }
  }

  follow({ points, ...delivery }: Received, halt: AbortSignal): AsyncIterable<Piece> | null {
    return points?.kind === 'objects' ? this.#records(delivery, points.objects, halt) : null;
  }

  async *#records(
    { envelope: { messageId, body } }: Delivery,
    objects: readonly ObjectPlace[],
    halt: AbortSignal,
  ): AsyncGenerator<Piece, void, undefined> {
    for (const [n, place] of objects.entries()) {
      const prefix = objects.length === 1 ? `${messageId}#` : `${messageId}#${n}.`;
      try {
        yield* this.#pieces(prefix, place, halt);
      } catch (error) {
        if (!(error instanceof ObjectUnreadable)) throw error;
        // Not numbered: how far an object that is damaged can be read may differ from time to time.
        yield [{ id: `${prefix}rest`, body, rejected: error.reason }];
      }
    }
  }

  async *#pieces(
    prefix: string,
    place: ObjectPlace,
    halt: AbortSignal,
  ): AsyncGenerator<Piece, void, undefined> {
    const maxRecords = Math.min(PIECE_RECORDS, this.#options.maxRecords);
    const maxBytes = Math.min(PIECE_BYTES, this.#options.maxBytes);
    let piece: LooseRecord[] = [];
    let bytes = 0;
    let index = 0;
    for await (const { text, rejected } of this.#lines(place, halt)) {
      const size = Buffer.byteLength(text);
      if (piece.length === maxRecords || (piece.length > 0 && bytes + size > maxBytes)) {
        yield piece;
        piece = [];
        bytes = 0;
      }
      piece.push({ id: `${prefix}${index}`, body: text, ...(rejected === undefined ? {} : { rejected }) });
      bytes += size;
      index += 1;
    }
    if (piece.length > 0) yield piece;
  }

  /** The records' texts: of an object that is not large as of a message's body, of a large one its lines. */
  async *#lines(place: ObjectPlace, halt: AbortSignal): AsyncGenerator<Line, void, undefined> {
    const { records, maxUnpackedBytes } = this.#options.opening;
    const chunks = unpacked(this.#bytes(place, halt));
    if (records === 'lines') return yield* linesOf(chunks, maxUnpackedBytes);
    const head: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const next = await chunks.next();
      if (next.done === true) return yield* wholeText(Buffer.concat(head), records);
      head.push(next.value);
      bytes += next.value.length;
      if (bytes > maxUnpackedBytes) break;
    }
    if (records !== 'auto') {
      await chunks.return();
      throw new ObjectUnreadable('too_large');
    }
    yield* linesOf(followedBy(head, chunks), maxUnpackedBytes);
  }

  /** The bytes of an object, across outages. Throws `ObjectUnreadable` when it is gone, or another by now. */
  async *#bytes(place: ObjectPlace, halt: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    const { store } = this.#options;
    let { eTag } = place;
    let at = 0;
    let total = Infinity;
    for (let attempt = 1; at < total; attempt += 1) {
      try {
        const object = await store.open({ ...place, eTag }, at, halt);
        if (object === null) throw new ObjectUnreadable('object_gone');
        ({ eTag, bytes: total } = object);
        for await (const chunk of object.body as AsyncIterable<Buffer>) {
          at += chunk.length;
          attempt = 0;
          yield chunk;
        }
        if (at < total) throw new PipelineError('s3_unavailable', `an answer of S3 broke off at byte ${at}`);
      } catch (error) {
        if (halt.aborted) throw new PipelineError('canceled', 'reading an object was cut');
        if (error instanceof ObjectUnreadable) throw error;
        if (at < total) await this.#pause(brokenOff(error), attempt, halt);
      }
    }
  }

  /** Waits out an outage; throws what is none, and `canceled`. */
  async #pause(error: PipelineError, attempt: number, halt: AbortSignal): Promise<void> {
    if (actionFor(error) !== 'wait') throw error;
    const { clock, onEvent } = this.#options;
    const waitMs = backoffMs(clock, attempt, OUTAGE_BASE_MS, OUTAGE_MAX_MS);
    onEvent({ kind: 'waiting', error, waitMs });
    this.#waiting += 1;
    await clock.sleep(waitMs, halt);
    this.#waiting -= 1;
    this.#back.ring();
    if (halt.aborted) throw new PipelineError('canceled', 'reading an object was cut');
  }
}

/** What ends a body that is being read is the connection's fault, whatever it is called. */
function brokenOff(error: unknown): PipelineError {
  if (error instanceof PipelineError) return asPipelineError(error);
  const kind = error instanceof Error ? error.name : typeof error;
  return new PipelineError('s3_unavailable', `an answer of S3 broke off (${kind})`, { cause: error });
}

/** An object of nothing, such as S3's own marks of folders, holds no records. */
function* wholeText(bytes: Buffer, records: Opening['records']): Generator<Line, void, undefined> {
  if (!isUtf8(bytes)) throw new ObjectUnreadable('bad_envelope');
  const text = bytes.toString('utf8');
  if (text.trim() === '') return;
  const pieces = split(text, records, Infinity);
  if ('rejected' in pieces) throw new ObjectUnreadable(pieces.rejected);
  for (const one of pieces.texts) yield { text: one };
}

async function* followedBy(
  head: readonly Buffer[],
  rest: AsyncGenerator<Buffer, void, undefined>,
): AsyncGenerator<Buffer, void, undefined> {
  yield* head;
  yield* rest;
}
