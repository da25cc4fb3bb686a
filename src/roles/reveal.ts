// Values had back from what is stored, for who may have them: first the record of it, committed, then the values.

import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import {
  type RevealDecision,
  type RevealItem,
  type Revealer,
  beginReveal,
  endReveal,
  readSealed,
} from '../load/reveals.js';
import type { Keyring } from '../masking/keyring.js';
import type { ColumnSpec, TokenMask } from '../masking/methods.js';
import { allColumns, masksOf } from '../masking/parts.js';
import { auditReference, openSivTokens } from '../masking/reveal.js';
import { parseToken } from '../masking/token.js';
import { unmaskOf } from '../masking/unmask.js';
import { openVaultValue } from '../masking/vault.js';

/** What masks that keep the format made carries no key id, and does not say of which column it is. */
export interface RevealPlace {
  readonly pipeline: string;
  readonly column: ColumnSpec;
  /** As it goes on record: of columns of one name that are masked in different ways, with their table. */
  readonly name: string;
  readonly kid: number;
}

/** What is to be revealed, and who asks. */
export interface RevealOrder {
  readonly keyring: Keyring;
  /** Whose masks are tried. */
  readonly pipelines: readonly PipelineConfig[];
  readonly revealer: Revealer;
  readonly stored: readonly string[];
  readonly place: RevealPlace | null;
  /** The approved request that this carries out; null: none. */
  readonly request: string | null;
}

/** What became of one of them. */
export interface Revealed {
  readonly stored: string;
  readonly value: string | null;
  readonly outcome: 'opened' | 'not_authentic' | 'not_in_vault' | 'unfit' | 'hmac' | 'no_token' | 'no_key';
  readonly domain: string | null;
}

/** Of a reveal that was not let through, the decision; else its values, in order. */
export type RevealResult = Exclude<RevealDecision, { kind: 'granted' }> | RevealedAll;

interface RevealedAll {
  readonly kind: 'revealed';
  readonly values: readonly Revealed[];
}

/**
 * Reveals. `recorded` is awaited between the commit of the record and the first look at a value. Throws what hinders the
 * record, and then nothing was opened: `postgres_unavailable`, `permission_denied`, `usage`; and `key_unavailable`.
 */
export async function reveal(
  pool: Pick<PostgresPool, 'query'>,
  order: RevealOrder,
  recorded: () => Promise<void>,
): Promise<RevealResult> {
  const { revealer, request, stored, place } = order;
  const items = itemsOf(order);
  const details = place && {
    pipeline: place.pipeline,
    column: place.name,
    kid: place.kid,
  };
  const decision = await beginReveal(pool, revealer, request, items, details && JSON.stringify(details));
  if (decision.kind !== 'granted') return decision;
  await recorded();
  const values = place ? unmaskAll(order, place) : await openAll(pool, order, items);
  const counts: { [outcome: string]: number } = {};
  for (const { outcome } of values) counts[outcome] = (counts[outcome] ?? 0) + 1;
  await endReveal(pool, revealer, request, counts);
  if (values.length !== stored.length) throw new RangeError('a reveal lost count of its values');
  return { kind: 'revealed', values };
}

/** The place of what a column keeps the format of. Throws `usage` for a column that is none of those, and a key that is away. */
export function revealPlace(
  keyring: Keyring,
  pipeline: PipelineConfig,
  columnName: string,
  kid: number,
): RevealPlace {
  const { name } = pipeline;
  const { column, ...place } = columnOf(pipeline, columnName);
  if (!keyring.kids().includes(kid)) {
    throw new PipelineError('key_unavailable', `key ${String(kid)} is not in keyring ${keyring.id}`);
  }
  if (unmaskOf(column.mask, keyring, kid) === null) {
    throw new PipelineError(
      'usage',
      `column ${columnName} of pipeline ${name} is masked by ${column.mask.method}, which is not undone by column and key: ` +
        'tokens of siv and vault are revealed by themselves, and all others not at all',
    );
  }
  return { ...place, pipeline: name, column, kid };
}

/** By its name; of pipelines with several tables also as `table.column`, where a name alone is one of several columns. */
function columnOf(pipeline: PipelineConfig, given: string): Pick<RevealPlace, 'column' | 'name'> {
  const { name } = pipeline;
  const named = tablesOf(pipeline).flatMap(({ target, columns }) =>
    columns
      .map((column) => ({ column, longName: `${target.table}.${column.name}` }))
      .filter(({ column, longName }) => column.name === given || longName === given),
  );
  const [found] = named;
  if (!found) throw new PipelineError('usage', `pipeline ${name} has no column ${given}`);
  const mask = JSON.stringify(found.column.mask);
  // Tables that have it in common have it masked alike: then it is one.
  if (named.every(({ column }) => JSON.stringify(column.mask) === mask))
    return {
      column: found.column,
      name: isAlone(pipeline, found.column) ? found.column.name : found.longName,
    };
  const names = named.map(({ longName }) => longName).join(' or ');
  throw new PipelineError(
    'usage',
    `tables of pipeline ${name} mask column ${given} in different ways: say ${names}`,
  );
}

/** Whether no table has a column of that name that is masked in another way. */
function isAlone(pipeline: PipelineConfig, { name, mask }: ColumnSpec): boolean {
  return allColumns(pipeline.policy)
    .filter((one) => one.name === name)
    .every((one) => JSON.stringify(one.mask) === JSON.stringify(mask));
}

/** What of each goes on record: of what is no token nothing, since it may be a value. */
function itemsOf({ keyring, stored, place }: RevealOrder): readonly RevealItem[] {
  if (place) {
    const { kid, pipeline, name } = place;
    const at = { pipeline, column: name };
    return stored.map((text) => ({ token: auditReference(keyring, kid, at, text), outcome: 'granted' }));
  }
  const kids = new Set(keyring.kids());
  return stored.map((text): RevealItem => {
    const token = parseToken(text);
    if (!token) return { token: null, outcome: 'no_token' };
    if (token.letter === 'h') return { token: text, outcome: 'hmac' };
    // A token of the vault is no ciphertext: its value may have been brought to another key since.
    return { token: text, outcome: token.letter === 'v' || kids.has(token.kid) ? 'granted' : 'no_key' };
  });
}

function unmaskAll({ keyring, stored }: RevealOrder, { column, kid }: RevealPlace): readonly Revealed[] {
  const values = unmaskOf(column.mask, keyring, kid)?.(stored) ?? [];
  const domain = 'domain' in column.mask ? column.mask.domain : null;
  return values.map((value, i) => ({
    stored: stored[i] ?? '',
    value,
    outcome: value === null ? 'unfit' : 'opened',
    domain,
  }));
}

async function openAll(
  pool: Pick<PostgresPool, 'query'>,
  { keyring, pipelines, stored }: RevealOrder,
  items: readonly RevealItem[],
): Promise<readonly Revealed[]> {
  const granted = (letter: string): readonly string[] =>
    stored.filter((text, i) => items[i]?.outcome === 'granted' && text.startsWith(letter));
  const siv = granted('s');
  const opened = openSivTokens(keyring, tokenMasks(pipelines), siv);
  const bySiv = new Map(siv.map((text, i) => [text, opened[i] ?? null]));
  const sealed = await readSealed(pool, granted('v'));
  return stored.map((text, i): Revealed => {
    const outcome = items[i]?.outcome ?? 'no_token';
    if (outcome !== 'granted') return { stored: text, value: null, outcome, domain: null };
    if (bySiv.has(text)) {
      const found = bySiv.get(text) ?? { value: null, domain: null };
      return { stored: text, ...found, outcome: found.value === null ? 'not_authentic' : 'opened' };
    }
    const entry = sealed.get(text);
    if (!entry) return { stored: text, value: null, outcome: 'not_in_vault', domain: null };
    const { sealed_for: token, kid, domain } = entry;
    if (!keyring.kids().includes(kid)) return { stored: text, value: null, outcome: 'no_key', domain };
    const value = openVaultValue(keyring, token, kid, entry.sealed);
    return { stored: text, value, outcome: 'opened', domain };
  });
}

function tokenMasks(pipelines: readonly PipelineConfig[]): readonly TokenMask[] {
  return pipelines.flatMap(({ policy }) =>
    allColumns(policy)
      .flatMap(masksOf)
      .flatMap((mask) => (mask.method === 'siv' || mask.method === 'hmac' ? [mask] : [])),
  );
}
