import { createHmac, randomBytes } from 'node:crypto';

import { nullCells } from './accepted.js';
import { IP_BYTES, padColumn, unpad, valueAt } from './column.js';
import { PipelineError } from '../errors.js';
import { canonicalEntity } from './date-shift.js';
import { formatIp } from './ip.js';
import { SUBJECT_DOMAIN } from './key-methods.js';
import type { Keyring } from './keyring.js';
import type { ColumnSpec, VaultMask } from './methods.js';
import { type ColumnMask, refuse } from './refusal.js';
import { open, seal } from './seal.js';
import { tokenPrefix } from './token.js';
import { encoderOf } from './tokenize.js';

/** A value of a vault column, and what the vault is to hold for it unless it holds it already. */
export interface VaultEntry {
  /** HMAC-SHA-256 of the encoded value under K("vault", domain, kid). */
  readonly lookup: Buffer;
  /** A new one. */
  readonly token: string;
  readonly kid: number;
  readonly domain: string;
  /** The value, sealed for that token. */
  readonly sealed: Buffer;
  readonly subjects: readonly VaultSubject[];
}

/** Whose value it is. */
export interface VaultSubject {
  /** As `subjectHmac` makes it, under the key of the entry. */
  readonly subject: Buffer;
  /** The canonical subject, sealed: under another key, it has another HMAC. */
  readonly sealed: Buffer;
}

/** Tokens by `lookupName`. */
export type VaultTokens = ReadonlyMap<string, string>;

/** Where the tokens of the method `vault` are. */
export interface Vault {
  /**
   * The token of each entry, in order: the one that is known by its lookup, or else the entry's own, which is then
   * stored and committed before this resolves. May be called in parallel, and repeated. Throws `postgres_unavailable`.
   */
  tokens(entries: readonly VaultEntry[]): Promise<readonly string[]>;
}

/** What would be stored for a value: its entry, and the canonical subject, null where it has none. */
interface Storable {
  readonly subject: string | null;
  readonly entry: () => VaultEntry;
}

/** Gives the token of a value. */
export type TokenOf = (lookup: Buffer, storable: Storable) => string;

const TOKEN_BYTES = 16;
/** What is sealed: one of these, the padding or 0, and the encoded value. */
const TEXT = 0;
const IP = 1;
const HEAD_BYTES = 2;

/** Masks with random tokens of the vault, as `tokenOf` gives them. Throws `key_unavailable`. */
export function vaultMask(spec: ColumnSpec, mask: VaultMask, keyring: Keyring, tokenOf: TokenOf): ColumnMask {
  const kid = keyring.primaryKid;
  const key = keyring.derive('vault', mask.domain, kid);
  // What is needed for a value, at the start rather than at the first one.
  keyring.derive('seal', 'vault', kid);
  if (mask.subject !== null) keyring.derive('hmac', SUBJECT_DOMAIN, kid);
  const encode = encoderOf(mask);
  const { maxLength } = spec;
  return (values, normalized, companions = []) => {
    const cells = nullCells(values);
    const { column, at } = encode(values, cells, normalized);
    const encoded = mask.pad === null ? column : padColumn(column, mask.pad);
    for (const [k, i] of at.entries()) {
      const subject = mask.subject === null ? null : canonicalEntity(companions[i]);
      if (subject !== null && typeof subject !== 'string') {
        cells[i] = subject;
        continue;
      }
      const plain = valueAt(encoded, k);
      const lookup = createHmac('sha256', key).update(plain).digest();
      const entry = (): VaultEntry => vaultEntry(keyring, mask.domain, Buffer.concat([headOf(mask), plain]));
      const token = tokenOf(lookup, { subject, entry });
      cells[i] = maxLength !== null && token.length > maxLength ? refuse('too_long') : token;
    }
    return cells;
  };
}

/** HMAC-SHA-256 of an encoded value under K("vault", domain, kid). Throws `key_unavailable`. */
export function vaultLookup(keyring: Keyring, domain: string, kid: number, encoded: Buffer): Buffer {
  return createHmac('sha256', keyring.derive('vault', domain, kid))
    .update(encoded)
    .digest();
}

/** HMAC-SHA-256 of a canonical subject under K("hmac", "maskline/subject", kid). Throws `key_unavailable`. */
export function subjectHmac(keyring: Keyring, subject: string, kid: number): Buffer {
  return createHmac('sha256', keyring.derive('hmac', SUBJECT_DOMAIN, kid))
    .update(subject, 'utf8')
    .digest();
}

interface Kept {
  readonly entry: VaultEntry;
  /** By what they are, so that each is hashed and sealed once. */
  readonly subjects: Map<string, VaultSubject>;
}

/** Keeps each different value once, with all its subjects. */
export class VaultEntries {
  readonly #keyring: Keyring;
  readonly #kept = new Map<string, Kept>();

  constructor(keyring: Keyring) {
    this.#keyring = keyring;
  }

  /** Takes a value in. */
  readonly add: TokenOf = (lookup, { subject, entry }) => {
    const name = lookupName(lookup);
    const kept = this.#kept.get(name) ?? { entry: entry(), subjects: new Map<string, VaultSubject>() };
    this.#kept.set(name, kept);
    if (subject !== null && !kept.subjects.has(subject))
      kept.subjects.set(subject, vaultSubject(this.#keyring, subject));
    return kept.entry.token;
  };

  /** In the order of their lookups, so that two who store them at once cannot deadlock. */
  sorted(): readonly VaultEntry[] {
    return [...this.#kept.values()]
      .map(({ entry, subjects }) => ({ ...entry, subjects: [...subjects.values()] }))
      .toSorted((a, b) => a.lookup.compare(b.lookup));
  }
}

/** A lookup as the name of its token. */
function lookupName(lookup: Buffer): string {
  return lookup.toString('base64url');
}

/** The tokens that were found for a batch. Null: the vault was not asked, and a column that needs it cannot be masked. */
export function foundTokens(tokens: VaultTokens | null, { name }: ColumnSpec): TokenOf {
  return (lookup) => {
    const token = tokens?.get(lookupName(lookup));
    if (token !== undefined) return token;
    throw new PipelineError(
      'unexpected',
      tokens === null
        ? `column ${name} is masked by vault, whose tokens are in Postgres: this was to be masked without a look there`
        : `column ${name}: the vault has no token for a value that it was asked for`,
    );
  };
}

/** The tokens that the vault gave for those entries, by lookup. */
export function tokensOf(entries: readonly VaultEntry[], tokens: readonly string[]): VaultTokens {
  return new Map(entries.map(({ lookup }, i) => [lookupName(lookup), tokens[i] ?? '']));
}

/** The entries' own tokens, where nothing may be stored: equal for equal values of this batch, and of no other. */
export function candidateTokens(entries: readonly VaultEntry[]): VaultTokens {
  return tokensOf(
    entries,
    entries.map(({ token }) => token),
  );
}

/** A vault that holds nothing and stores nothing: for who only wants to know what would become of records. */
export const dryVault: Vault = {
  tokens: (entries) => Promise.resolve(entries.map(({ token }) => token)),
};

/** The canonical value that was sealed for a token. Throws `key_unavailable` or `payload_corrupt`. */
export function openVaultValue(keyring: Keyring, token: string, kid: number, sealed: Buffer): string {
  const plain = open(keyring, 'vault', token, kid, sealed);
  const [kind, pad = 0] = plain;
  const encoded = encodedOf(plain);
  const value = pad === 0 ? encoded : unpad(encoded, pad);
  if (value && kind === TEXT) return value.toString('utf8');
  if (value?.length === IP_BYTES && kind === IP) return formatIp(value);
  throw new PipelineError(
    'payload_corrupt',
    `vault entry of key ${String(kid)} holds what this version cannot read: finish the upgrade`,
  );
}

/** The encoded value in what is sealed. */
export function encodedOf(plain: Buffer): Buffer {
  return plain.subarray(HEAD_BYTES);
}

/** A new entry for what is to be sealed, under the primary key and without a subject. Throws `key_unavailable`. */
export function vaultEntry(keyring: Keyring, domain: string, plain: Buffer): VaultEntry {
  const token = tokenPrefix('vault', keyring.primaryKid) + randomBytes(TOKEN_BYTES).toString('base64url');
  const { kid, sealed } = seal(keyring, 'vault', token, plain);
  const lookup = vaultLookup(keyring, domain, kid, encodedOf(plain));
  return { lookup, token, kid, domain, sealed, subjects: [] };
}

/** A canonical subject as it is stored, under the primary key. Throws `key_unavailable`. */
export function vaultSubject(keyring: Keyring, text: string): VaultSubject {
  const subject = subjectHmac(keyring, text, keyring.primaryKid);
  const { sealed } = seal(keyring, 'vault', subjectId(subject), Buffer.from(text, 'utf8'));
  return { subject, sealed };
}

/** What a subject's seal is bound to: no token begins like that. */
export function subjectId(hmac: Buffer): string {
  return `subject ${hmac.toString('base64url')}`;
}

function headOf({ as, pad }: VaultMask): Buffer {
  return Buffer.from([as === 'ip' ? IP : TEXT, pad ?? 0]);
}
