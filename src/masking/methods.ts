import { createHash } from 'node:crypto';

/** How one column's values are masked. Methods and options are those of docs/reference.md. */
export type MaskSpec =
  | { readonly method: 'keep' | 'null' | 'drop' }
  | { readonly method: 'constant'; readonly value: string }
  | TokenMask
  | VaultMask
  | IpTruncateMask
  | PartialMask
  | Ff1Mask
  | IpcryptMask
  | DateShiftMask
  | BucketMask
  | GeneralizeMask
  | CustomMask
  | JsonMask;

/** Stores parts of a JSON value, each in its own way: what is at none of its paths is left out, or else kept. */
export interface JsonMask {
  readonly method: 'json';
  readonly others: 'drop' | 'keep';
  /** None of them twice. Only `keep` may have others within it. */
  readonly members: readonly JsonMember[];
  /** Places that are left out, as other columns take what is there. */
  readonly taken: readonly (readonly PathStep[])[];
}

/** A place within a JSON value, and how what is there is stored. */
export interface JsonMember {
  /** From the value, as written. */
  readonly at: string;
  /** From the body, as a rejection names it. */
  readonly path: string;
  /** From the value; members and elements only, not one element by its number. */
  readonly steps: readonly PathStep[];
  readonly mask: Exclude<MaskSpec, JsonMask>;
}

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

/** A random token; the value is in the vault, sealed, and erasable by its subject. */
export interface VaultMask extends Omit<TokenMask, 'method'> {
  readonly method: 'vault';
  /** Whose value it is; null: nobody can have it erased by name. */
  readonly subject: FieldPath | null;
}

/** Keeps the network of an address: so many leading bits. */
export interface IpTruncateMask {
  readonly method: 'ip-truncate';
  readonly v4: number;
  readonly v6: number;
}

/** Shows a part of a value, for display. */
export type PartialMask =
  | { readonly method: 'partial'; readonly kind: 'email' | 'card' }
  | { readonly method: 'partial'; readonly kind: 'phone'; readonly show: number }
  | {
      readonly method: 'partial';
      readonly kind: 'pattern';
      /** Matched against whole values. */
      readonly pattern: string;
      /** `$1` to `$9` stand for groups of the pattern, `$$` for a dollar. */
      readonly replace: string;
    };

/** A part of a template: text that stays, or a run of `least` to `most` numerals that are encrypted. */
export type TemplatePart = { readonly literal: string } | { readonly least: number; readonly most: number };

/** FF1 of NIST SP 800-38G r1 over all runs of numerals joined. */
export interface Ff1Mask {
  readonly method: 'ff1';
  readonly domain: string;
  readonly template: readonly TemplatePart[];
  /** The numerals in their order, no character twice; their number is the radix. */
  readonly alphabet: string;
}

/** An address as another address (draft-denis-ipcrypt); `ipcrypt-pfx` keeps common prefixes common. */
export interface IpcryptMask {
  readonly method: 'ipcrypt-det' | 'ipcrypt-pfx';
  readonly domain: string;
}

/** Moves a date by a number of days, from -`days` to `days`, that its entity and the key decide. */
export interface DateShiftMask {
  readonly method: 'date-shift';
  readonly domain: string;
  readonly entity: FieldPath;
  readonly days: number;
}

/** Puts numbers into half-open ranges. `edges` ascend, in plain decimals; without them, ranges are `width` wide. */
export type BucketMask = { readonly method: 'bucket' } & (
  { readonly edges: readonly string[] } | { readonly width: string }
);

/** Periods that a date or a time can be generalized to, the widest first. */
export const periods = ['year', 'quarter', 'month', 'week', 'day', 'hour'] as const;

/** One of `periods`. */
export type Period = (typeof periods)[number];

/** Gives many values one. */
export type GeneralizeMask = { readonly method: 'generalize' } & (
  | { readonly to: Period | 'ip_version' }
  | {
      /** Canonical values and their groups, sorted by value. */
      readonly map: readonly (readonly [value: string, group: string])[];
      /** The group of all other values, null for SQL NULL; without it, they are rejections. */
      readonly other?: string | null;
      readonly lower: boolean;
    }
);

/** A function of the user's, in a file of its own. */
export interface CustomMask {
  readonly method: 'custom';
  /** As written: from the folder of the pipeline file. */
  readonly file: string;
  /** Of the bytes of the file and of those that it imports from beside it, in hex. */
  readonly sha256: string;
  /** The name of its export. */
  readonly export: string;
  readonly options: Readonly<{ [name: string]: unknown }>;
  /** For how long one call may last. */
  readonly timeoutMs: number;
  /** Absent: the masker has no key. */
  readonly domain?: string;
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
  'text[]',
] as const;

/** One of `columnTypes`. */
export type ColumnType = (typeof columnTypes)[number];

/** One step from a JSON value into it: a member of an object, an element of an array, or each of its elements. */
export type PathStep = { readonly member: string } | { readonly index: number } | { readonly each: true };

/** A place in a body: a field of it, and the steps from there. With `each`, it is many places. */
export interface FieldPath {
  readonly name: string;
  readonly steps: readonly PathStep[];
  /**
   * In a table of which each row is an element of a list: so many of the steps lead to the element, and the rest begin
   * there. Absent: the place is the same in all rows of a record.
   */
  readonly within?: number;
}

/** Where a column's value comes from: a field of the body or a place in it, or something known of its message. */
export type ColumnSource =
  | { readonly kind: 'field'; readonly name: string }
  | ({ readonly kind: 'path' } & FieldPath)
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
        | 'run_id'
        /** The key id that the row is masked under. */
        | 'mask_kid'
        /** The number of the row's element in its list, from 0. */
        | 'index';
    }
  | { readonly kind: 'attribute'; readonly name: string }
  /** The body, but for what other columns take. */
  | { readonly kind: 'rest' };

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
  /** Values that stand for none: they become NULL. Absent when there are none. */
  readonly sentinels?: readonly string[];
}

/** Whether a column takes each element of an array: its type is then `jsonb` or `text[]`, whatever its mask makes. */
export function isList({ source }: Pick<ColumnSpec, 'source'>): boolean {
  return source.kind === 'path' && hasEach(source);
}

/** Whether a path is that of many places, in one row. */
export function hasEach({ steps, within = 0 }: FieldPath): boolean {
  return steps.slice(within).some((step) => 'each' in step);
}

/** The other field that a mask needs besides its own; null when it needs none. */
export function companionOf(mask: MaskSpec): FieldPath | null {
  if (mask.method === 'date-shift') return mask.entity;
  return mask.method === 'vault' ? mask.subject : null;
}

/** What of a record goes to one of several tables. */
export interface TablePolicy {
  /** `schema.table`. */
  readonly table: string;
  readonly columns: readonly ColumnSpec[];
  /** The list of which each element is a row, and how it is written; null: a record is one row. */
  readonly each: { readonly path: string; readonly place: FieldPath } | null;
}

/** All that `transform` must know of a pipeline, apart from its keys. */
export interface ColumnPolicy {
  readonly pipeline: string;
  /** Of the pipeline's table, or the first of several. */
  readonly columns: readonly ColumnSpec[];
  /** The name of that table, and the others. Absent: there is but one. */
  readonly several?: { readonly table: string; readonly further: readonly TablePolicy[] };
  readonly maxDepth: number;
  /** Bytes of one record's body. */
  readonly maxBody: number;
  readonly onUnknownField: 'drop' | 'quarantine';
  readonly onReject: 'quarantine' | 'dlq';
  /** SHA-256, in hex, over a canonical form of all of the above. */
  readonly sha256: string;
  /** The folder that files of custom masks are named from; their content, and not their place, is in `sha256`. */
  readonly folder?: string;
}

/** Bytes that a token carries besides the encrypted value: SIV's V, or half an HMAC-SHA-256. */
const TOKEN_BASE_BYTES = 16;
const IP_BYTES = 16;

/**
 * How many characters a token has; to check a column's `max_length` before any value is seen. `valueBytes` is the
 * length of the value in UTF-8, which counts for `siv` unless `as: ip`.
 */
export function tokenLength(mask: TokenMask | VaultMask, kid: number, valueBytes: number): number {
  const plain = mask.as === 'ip' ? IP_BYTES : valueBytes;
  const padded = mask.pad === null ? plain : (Math.floor(plain / mask.pad) + 1) * mask.pad;
  const bytes = TOKEN_BASE_BYTES + (mask.method === 'siv' ? padded : 0);
  return 1 + String(kid).length + 1 + Math.ceil((bytes * 4) / 3);
}

/** SHA-256, in hex, over the policy as JSON with its keys sorted: equal for equal policies, however they were written. */
export function policySha256(policy: Omit<ColumnPolicy, 'sha256'>): string {
  const { pipeline, columns, several, maxDepth, maxBody, onUnknownField, onReject } = policy;
  const canonical = JSON.stringify(
    { pipeline, columns, several, maxDepth, maxBody, onUnknownField, onReject },
    sortKeys,
  );
  return createHash('sha256').update(canonical).digest('hex');
}

function sortKeys(_: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** The mask of a column that stores tokens with the id of their key in them, or null. */
export function tokenMaskOf({ mask }: Pick<ColumnSpec, 'mask'>): TokenMask | VaultMask | null {
  return mask.method === 'siv' || mask.method === 'hmac' || mask.method === 'vault' ? mask : null;
}
