import type { Readable } from 'node:stream';

/** An object as a message names it. */
export interface ObjectPlace {
  readonly bucket: string;
  readonly key: string;
  /** Null where the bucket keeps no versions, or the message does not say. */
  readonly versionId: string | null;
  /** Without quotes; null: whatever stands there. */
  readonly eTag: string | null;
}

/** An object that is being read. */
export interface OpenObject {
  /** Its bytes, from where it was asked for. It may break off. */
  readonly body: Readable;
  /** Without quotes; with it, the rest can be asked for of the very same object. */
  readonly eTag: string | null;
  /** Of the whole object. */
  readonly bytes: number;
}

/**
 * Where objects are. Calls may be made in parallel. They throw `s3_unavailable` for an outage or a throttle, and
 * `source_unfit` when the bucket or the rights on it are not as needed.
 */
export interface ObjectStore {
  /** The object from byte `from` on; null when it is not there (any more), is another by now, or is archived. */
  open(place: ObjectPlace, from: number, signal: AbortSignal): Promise<OpenObject | null>;
  /** Asks for a bucket without reading of it. */
  check(bucket: string): Promise<void>;
  /** Closes its connections. Safe twice. */
  close(): void;
}
