import { createHmac, randomBytes } from 'node:crypto';

import { nullCells } from './accepted.js';
import { IP_BYTES, padColumn, unpad, valueAt } from './column.js';
import { PipelineError } from '../errors.js';
import { canonicalEntity } from './date-shift.js';
import { formatIp } from './ip.js';
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
  /** Whose value it is: HMACs, as `subjectHmac` makes them. */
  readonly subjects: readonly Buffer[];
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

/** Gives the token of a value; `entry` makes what would be stored for it. */
export type TokenOf = (lookup: Buffer, subject: Buffer | null, entry: () => VaultEntry) => string;

const TOKEN_BYTES = 16;
/** The domain of the key that subjects are hashed with. */
const SUBJECT_DOMAIN = 'maskline/subject';
/** What is sealed: one of these, the padding or 0, and the encoded value. */
const TEXT = 0;
const IP = 1;
const HEAD_BYTES = 2;

/** Masks with random tokens of the vault, as `tokenOf` gives them. Throws `key_unavailable`. */
export function vaultMask(spec: ColumnSpec, mask: VaultMask, keyring: Keyring, tokenOf: TokenOf): ColumnMask {
  const kid = keyring.primaryKid;
  const key = keyring.derive('vault', mask.domain, kid);
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
      const owner = subject === null ? null : subjectHmac(keyring, subject, kid);
      const token = tokenOf(lookup, owner, () => newEntry(keyring, mask, lookup, plain));
      cells[i] = maxLength !== null && token.length > maxLength ? refuse('too_long') : token;
    }
    return cells;
  };
}

/** HMAC-SHA-256 of a canonical subject under K("hmac", "maskline/subject", kid). Throws `key_unavailable`. */
export function subjectHmac(keyring: Keyring, subject: string, kid: number): Buffer {
  return createHmac('sha256', keyring.derive('hmac', SUBJECT_DOMAIN, kid))
    .update(subject, 'utf8')
    .digest();
}

/** Keeps each different value once, with all its subjects. */
export class VaultEntries {
  readonly #entries = new Map<string, VaultEntry>();

  /** Takes a value in. */
  readonly add: TokenOf = (lookup, subject, entry) => {
    const name = lookupName(lookup);
    const known = this.#entries.get(name) ?? entry();
    const isNew = subject !== null && !known.subjects.some((other) => other.equals(subject));
    this.#entries.set(name, isNew ? { ...known, subjects: [...known.subjects, subject] } : known);
    return known.token;
  };

  /** In the order of their lookups, so that two who store them at once cannot deadlock. */
  sorted(): readonly VaultEntry[] {
    return [...this.#entries.values()].toSorted((a, b) => a.lookup.compare(b.lookup));
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
  const encoded = plain.subarray(HEAD_BYTES);
  const value = pad === 0 ? encoded : unpad(encoded, pad);
  if (value && kind === TEXT) return value.toString('utf8');
  if (value?.length === IP_BYTES && kind === IP) return formatIp(value);
  throw new PipelineError(
    'payload_corrupt',
    `vault entry of key ${String(kid)} holds what this version cannot read: finish the upgrade`,
  );
}

function newEntry(keyring: Keyring, mask: VaultMask, lookup: Buffer, plain: Buffer): VaultEntry {
  const token = tokenPrefix('vault', keyring.primaryKid) + randomBytes(TOKEN_BYTES).toString('base64url');
  const head = Buffer.from([mask.as === 'ip' ? IP : TEXT, mask.pad ?? 0]);
  const { kid, sealed } = seal(keyring, 'vault', token, Buffer.concat([head, plain]));
  return { lookup, token, kid, domain: mask.domain, sealed, subjects: [] };
}
