// Tokens within JSON values brought to another key; everything else of a value stays, to the last digit.

import { type JsonPlace, placesAt, readExact, writeJson } from './json-tree.js';
import type { Keyring } from './keyring.js';
import { type JsonColumn, partsBy } from './parts.js';
import { type Successors, remaskOf, succeed } from './remask.js';
import type { JsonPlaces, RemaskColumn } from './remask-rows.js';

/** Where a column has tokens that can be brought to another key. */
export function placesOf(column: JsonColumn): JsonPlaces {
  const stepsBy = (method: 'siv' | 'vault'): JsonPlaces['siv'] =>
    partsBy(column, method).map(({ steps }) => steps);
  return { siv: stepsBy('siv'), vault: stepsBy('vault') };
}

/** The tokens of the vault in a JSON value; what is no text there is none. */
export function jsonVaultTokens({ places }: Pick<RemaskColumn, 'places'>, json: string): readonly string[] {
  const value = readExact(json);
  return (places?.vault ?? [])
    .flatMap((steps) => placesAt(value, steps))
    .map((place) => place.value)
    .filter((text) => typeof text === 'string');
}

/**
 * As `remaskOf`, for JSON texts: null for one with a token that does not open. What is no text where a token should be
 * stays as it is. Throws `key_unavailable`.
 */
export function remaskJson(
  column: JsonColumn,
  keyring: Keyring,
  fromKid: number,
): (stored: readonly string[], successors: Successors) => readonly (string | null)[] {
  const parts = column.mask.members.flatMap(({ steps, mask }) => {
    const remask = mask.method === 'vault' ? succeed : remaskOf(mask, keyring, fromKid);
    return remask ? [{ steps, remask }] : [];
  });
  return (stored, successors) => {
    const values = stored.map(readExact);
    const [stays, moves] = [new Set<number>(), new Set<number>()];
    for (const { steps, remask } of parts) {
      const found = values.flatMap((value, at) =>
        placesAt(value, steps).flatMap((place) => (isText(place) ? [{ at, place }] : [])),
      );
      const changed = remask(
        found.map(({ place }) => place.value),
        successors,
      );
      for (const [k, { at, place }] of found.entries()) {
        const text = changed[k] ?? null;
        if (text === null) stays.add(at);
        else if (text !== place.value) {
          place.set(text);
          moves.add(at);
        }
      }
    }
    return values.map((value, at) => {
      if (stays.has(at)) return null;
      return moves.has(at) ? writeJson(value) : (stored[at] ?? null);
    });
  };
}

function isText(place: JsonPlace): place is JsonPlace & { readonly value: string } {
  return typeof place.value === 'string';
}
