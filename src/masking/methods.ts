import { createHash } from 'node:crypto';

/** How one column's values are masked. Methods and options are those of docs/reference.md. */
export type MaskSpec =
  | { readonly method: 'keep' | 'null' | 'drop' }
  | { readonly method: 'constant'; readonly value: string }
  | TokenMask;

/** The methods that make a token: equal values in one domain give equal tokens under one key. */
export interface TokenMask {
  readonly method: 'siv' | 'hmac';
  /** The joinability unit: columns that share it give equal tokens for equal values. */
  readonly domain: string;
  /** `ip`: canonical 16-byte addresses; otherwise canonical text. */
  readonly as: 'text' | 'ip';
  /** ISO/IEC 7816-4 padding to a multiple of so many bytes, to hide lengths. */
  readonly pad: 16 | 32 | 64 | null;
  readonly lower: boolean;
}

/** What a kept column may hold; see docs/reference.md for the accepted spellings. */
export const columnTypes = [
  'text',
  'integer',
  'bigint',
  'numeric',
  'boolean',
  'date',
  'timestamptz',
  'uuid',
  'inet',
  'jsonb',
  'version_int',
] as const;

/** One of `columnTypes`. */
export type ColumnType = (typeof columnTypes)[number];

/** Where a column's value comes from: a field of the body, or something known of its message. */
export type ColumnSource =
  | { readonly kind: 'field'; readonly name: string }
  | {
      readonly kind: 'meta';
      readonly name:
        | 'message_id'
        | 'sent_at'
        | 'received_at'
        | 'loaded_at'
        | 'group_id'
        | 'sequence_number'
        | 'batch_id'
        | 'run_id';
    }
  | { readonly kind: 'attribute'; readonly name: string };

/** One column of the target, in COPY order. */
export interface ColumnSpec {
  readonly name: string;
  /** `from` as written in the configuration: the path that a rejection names. */
  readonly path: string;
  readonly source: ColumnSource;
  /** Null: text as it comes (masked columns hold tokens, whatever the type of the target). */
  readonly type: ColumnType;
  /** In characters (code points), as Postgres counts; of the value, or of its token. */
  readonly maxLength: number | null;
  readonly required: boolean;
  readonly mask: MaskSpec;
}

/** All that `transform` must know of a pipeline, apart from its keys. */
export interface ColumnPolicy {
  readonly pipeline: string;
  readonly columns: readonly ColumnSpec[];
  readonly maxDepth: number;
  /** Bytes of one record's body. */
  readonly maxBody: number;
  readonly onUnknownField: 'drop' | 'quarantine';
  readonly onReject: 'quarantine' | 'dlq';
  /** SHA-256, in hex, over a canonical form of all of the above. */
  readonly sha256: string;
}

/** Bytes that a token carries besides the encrypted value: SIV's V, or half an HMAC-SHA-256. */
const TOKEN_BASE_BYTES = 16;
const IP_BYTES = 16;

/**
 * How many characters a token has; to check a column's `max_length` before any value is seen. `valueBytes` is the
 * length of the value in UTF-8, which counts for `siv` unless `as: ip`.
 */
export function tokenLength(mask: TokenMask, kid: number, valueBytes: number): number {
  const plain = mask.as === 'ip' ? IP_BYTES : valueBytes;
  const padded = mask.pad === null ? plain : (Math.floor(plain / mask.pad) + 1) * mask.pad;
  const bytes = TOKEN_BASE_BYTES + (mask.method === 'siv' ? padded : 0);
  return 1 + String(kid).length + 1 + Math.ceil((bytes * 4) / 3);
}

/** SHA-256, in hex, over the policy as JSON with its keys sorted: equal for equal policies, however they were written. */
export function policySha256(policy: Omit<ColumnPolicy, 'sha256'>): string {
  const { pipeline, columns, maxDepth, maxBody, onUnknownField, onReject } = policy;
  const canonical = JSON.stringify(
    { pipeline, columns, maxDepth, maxBody, onUnknownField, onReject },
    sortKeys,
  );
  return createHash('sha256').update(canonical).digest('hex');
}

function sortKeys(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
