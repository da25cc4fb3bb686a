// How a frame travels: deflated and sealed, as the data of a job.

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Batch, MaskedBatch } from '../batch.js';
import { PipelineError } from '../errors.js';
import { MIN_FRAME_BYTES, corrupt, integer, newer, text } from './frame.js';
import { type Codec, MAX_KID } from './payload.js';
import type { Sealer } from './queue.js';

/** The newest job data that this version writes and reads. */
const PAYLOAD_VERSION = 1;

/** Inflated; the default batch is 1 MiB, so what claims to be larger than this was not made by us. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;

/** What may be quoted of a keyring's id, which is read from the queue. */
const KEYRING_ID = /^[A-Za-z0-9_-]{1,80}$/;

/** zlib's fastest: at 500 messages 17 % of the size; higher levels cost several times the CPU for 2 % more. */
const DEFLATE_LEVEL = 1;

/** What a job's data is: all that a look into the queue can show of a batch. */
export interface SealedPayload {
  /** Version of the payload. */
  readonly v: number;
  /** Id of the key that sealed it, and of its keyring. */
  readonly kid: number;
  readonly keyring: string;
  /** How many records it holds. */
  readonly n: number;
  /** Size of the frame, inflated. */
  readonly bytes: number;
  /** The deflated frame, sealed, in base64. */
  readonly ct: string;
  /** The batch's `trace`, readable and not authentic: it is part of no decision. */
  readonly trace?: string;
}

/** Version 00 of traceparent (W3C Trace Context, section 3.2.2); what is not that is no trace. */
const TRACE = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * Deflates and seals a frame of `n` records; `id` names its place, the queue and the batch. Synchronous, since
 * that takes half to nine tenths of the CPU time that zlib's thread pool does at any batch size (measured).
 */
export function pack(sealer: Sealer, id: string, frame: Buffer, n: number): SealedPayload {
  if (frame.length > MAX_FRAME_BYTES) {
    const message = `a batch of ${frame.length} bytes can't be queued; the limit is ${MAX_FRAME_BYTES}: lower batch.max_bytes`;
    throw new PipelineError('config_invalid', message);
  }
  const { kid, sealed } = sealer.seal(id, deflateRawSync(frame, { level: DEFLATE_LEVEL }));
  return {
    v: PAYLOAD_VERSION,
    kid,
    keyring: sealer.keyring,
    n,
    bytes: frame.length,
    ct: sealed.toString('base64'),
  };
}

/**
 * The frame in a job's data, and how many records it claims. Throws `payload_newer`, `payload_corrupt`, and what
 * the sealer throws: `key_unavailable`.
 */
export function unpack(
  sealer: Sealer,
  id: string,
  data: unknown,
): { readonly frame: Buffer; readonly n: number } {
  if (typeof data !== 'object' || data === null) throw corrupt('the job data');
  const { v, kid, keyring, n, bytes, ct } = data as Partial<{ [field in keyof SealedPayload]: unknown }>;
  const version = integer(v, 'its version', 1);
  if (version > PAYLOAD_VERSION) throw newer(version, PAYLOAD_VERSION);
  const sealedUnder = text(keyring, 'its keyring');
  if (sealedUnder !== sealer.keyring) throw otherKeyring(sealedUnder, sealer.keyring);
  const sealed = Buffer.from(text(ct, 'its bytes'), 'base64');
  // Buffer.from skips what is no base64; only the one spelling that was written is taken.
  if (sealed.toString('base64') !== ct) throw corrupt('its bytes');
  const records = integer(n, 'its count of records');
  const size = integer(bytes, 'its size', MIN_FRAME_BYTES, MAX_FRAME_BYTES);
  const deflated = sealer.open(id, integer(kid, 'its key id', 1, MAX_KID), sealed);
  return { frame: inflate(deflated, size), n: records };
}

/** Under the same key id, another keyring's key would only look like bytes that were altered. */
function otherKeyring(theirs: string, ours: string): PipelineError {
  const shown = KEYRING_ID.test(theirs) ? theirs : 'of an unreadable id';
  return new PipelineError(
    'key_unavailable',
    `a queued payload was sealed under another keyring (${shown}; this process has ${ours}): give all processes the same keyring file`,
  );
}

function inflate(deflated: Buffer, size: number): Buffer {
  let frame: Buffer;
  try {
    frame = inflateRawSync(deflated, { maxOutputLength: size });
  } catch {
    throw corrupt('its compression, or its size');
  }
  if (frame.length !== size) throw corrupt('its size');
  return frame;
}

/** A batch as job data of that queue. Throws `key_unavailable`. */
export function sealBatch<T extends Batch | MaskedBatch>(
  codec: Codec<T>,
  sealer: Sealer,
  queue: string,
  batch: T,
): SealedPayload {
  const payload = pack(sealer, placeOf(queue, batch.batchId), codec.encode(batch), codec.count(batch));
  return batch.trace === undefined ? payload : { ...payload, trace: batch.trace };
}

/** The batch in job data of that queue and id. Throws as `unpack`. */
export function openBatch<T extends Batch | MaskedBatch>(
  codec: Codec<T>,
  sealer: Sealer,
  queue: string,
  batchId: string,
  data: unknown,
): T {
  const { frame, n } = unpack(sealer, placeOf(queue, batchId), data);
  const batch = codec.decode(frame);
  if (batch.batchId !== batchId) throw corrupt('it belongs to another batch');
  if (codec.count(batch) !== n) throw corrupt('its count of records');
  const trace = traceOf(data);
  return trace === null ? batch : { ...batch, trace };
}

function traceOf(data: unknown): string | null {
  if (typeof data !== 'object' || data === null || !('trace' in data)) return null;
  return typeof data.trace === 'string' && TRACE.test(data.trace) ? data.trace : null;
}

function placeOf(queue: string, batchId: string): string {
  return `${queue}/${batchId}`;
}
