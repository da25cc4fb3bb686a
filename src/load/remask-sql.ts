import { escapeIdentifier, escapeLiteral } from 'pg';
import { type JsonStep, jsonPath } from './json-path.js';
import type { CatalogColumn } from './target-catalog.js';

/** A masked column of a target, and how it is to be compared and written. */
export interface RemaskedColumn {
  readonly name: string;
  /** Whether it takes each element of an array. */
  readonly isList: boolean;
  /**
   * `format`: its cells carry no kid, and go by the row's; `vault`: others stand for its tokens, if they mean anything;
   * `json`: its cells are JSON text, with tokens where `places` say.
   */
  readonly kind: 'siv' | 'vault' | 'format' | 'json';
  /** Where tokens are within a JSON value; only of the kind `json`. */
  readonly places?: {
    readonly siv: readonly (readonly JsonStep[])[];
    readonly vault: readonly (readonly JsonStep[])[];
  };
}

/** What the statements of one table are made of. */
export interface RemaskTable {
  /** As regclass spells it, quoted: one table or one leaf of a partitioned one. */
  readonly relation: string;
  readonly columns: readonly (RemaskedColumn & { readonly catalog: CatalogColumn })[];
  readonly kidColumns: readonly string[];
  readonly fromKid: number;
  readonly toKid: number;
}

const TEXTS = ['text', 'varchar', 'bpchar', 'citext'];

/** The condition under which a column holds a token of that key; `letters` are those of its methods, but for the vault's. */
export function holdsToken(
  column: Pick<RemaskedColumn, 'name' | 'isList'>,
  letters: string,
  kid: number,
): string {
  const name = `t.${escapeIdentifier(column.name)}`;
  // Elements stand in quotes, whatever the type of the list; a token holds nothing that would be escaped.
  if (column.isList)
    return `to_jsonb(${name})::text ~ ${escapeLiteral(`"[${letters}]${String(kid)}[.][A-Za-z0-9_-]{22}`)}`;
  const likes = [...letters].map((letter) => `${name}::text like '${letter}${String(kid)}.%'`);
  return likes.length === 1 ? (likes[0] ?? '') : `(${likes.join(' or ')})`;
}

/** The condition under which a column holds a token of that key that the vault knows: others mean nothing any more. */
export function holdsVaultToken(column: Pick<RemaskedColumn, 'name' | 'isList'>, kid: number): string {
  const holds = holdsToken(column, 'v', kid);
  const name = `t.${escapeIdentifier(column.name)}`;
  if (!column.isList) return `(${holds} and ${isKnown(`${name}::text`)})`;
  return `(${holds} and ${holdsKnown(`to_jsonb(${name})`, "'strict $.**'", kid)})`;
}

/** Whether a text at that path of a JSON value is a token of that key that the vault knows. */
function holdsKnown(json: string, path: string, kid: number): string {
  const item = "i.item #>> '{}'";
  const like = `jsonb_typeof(i.item) = 'string' and ${item} like 'v${String(kid)}.%'`;
  return `exists (select from jsonb_path_query(${json}, ${path}) as i (item) where ${like} and ${isKnown(item)})`;
}

/** The condition under which a JSON value holds tokens of that key at the places of its masks. */
function holdsWithin({ name, places }: RemaskedColumn, kid: number): readonly string[] {
  const json = `t.${escapeIdentifier(name)}::jsonb`;
  const siv = (places?.siv ?? []).map(
    (steps) => `jsonb_path_exists(${json}, ${jsonPath(steps, ` ? (@ starts with "s${String(kid)}.")`)})`,
  );
  return [...siv, ...(places?.vault ?? []).map((steps) => holdsKnown(json, jsonPath(steps), kid))];
}

function isKnown(token: string): string {
  return (
    `(exists (select from maskline.vault k where k.token = ${token}) ` +
    `or exists (select from maskline.vault_former k where k.token = ${token}))`
  );
}

/** The condition under which a row goes by that key. */
export function isOfKid(kidColumns: readonly string[], kid: number): string {
  const tests = kidColumns.map((name) => `t.${escapeIdentifier(name)}::bigint = ${String(kid)}`);
  return tests.length === 0 ? 'false' : `(${tests.join(' or ')})`;
}

/** Which rows are still to be brought over. */
export function isLeft({ columns, kidColumns, fromKid }: RemaskTable): string {
  const tokens = columns.flatMap((column) => {
    switch (column.kind) {
      case 'format':
        return [];
      case 'siv':
        return [holdsToken(column, 's', fromKid)];
      case 'vault':
        return [holdsVaultToken(column, fromKid)];
      case 'json':
        return holdsWithin(column, fromKid);
    }
  });
  return `coalesce(${[...tokens, isOfKid(kidColumns, fromKid)].join(', false) or coalesce(')}, false)`;
}

/** Reads, and locks unless it is a rehearsal, the rows of blocks $1 (included) to $2 that are still to be brought over. */
export function readSql(table: RemaskTable, isRehearsal: boolean): string {
  const cells = table.columns.map((column) => cell(`t.${escapeIdentifier(column.name)}`, column));
  return `select t.ctid::text as place, ${isOfKid(table.kidColumns, table.fromKid)} as is_of_old_kid,
                 jsonb_build_array(${cells.join(', ')}) as cells
            from only ${table.relation} as t
           where t.ctid >= format('(%s,0)', $1::bigint)::tid and t.ctid < format('(%s,0)', $2::bigint)::tid
             and (${isLeft(table)})
           order by t.ctid ${isRehearsal ? '' : 'for update'}`;
}

/**
 * Writes rows: $1 is a JSON array of [place, whether it is of the old kid, cells]. Returns for each whether it now
 * holds what was written, which a trigger may have changed.
 */
export function writeSql(table: RemaskTable): string {
  const items = table.columns.map((column, i) => ({
    name: escapeIdentifier(column.name),
    value: assigned(column, `(n.cells -> ${String(i)})`),
    column,
  }));
  const sets = items.map(({ name, value }) => `${name} = ${value}`);
  const same = items.map(
    ({ name, value, column }) => `${cell(`t.${name}`, column)} is not distinct from ${cell(value, column)}`,
  );
  for (const column of table.kidColumns) {
    const name = escapeIdentifier(column);
    const kid = `case when n.is_of_old_kid then ${String(table.toKid)} else t.${name} end`;
    sets.push(`${name} = ${kid}`);
    same.push(`(not n.is_of_old_kid or t.${name} = ${String(table.toKid)})`);
  }
  return `update only ${table.relation} as t set ${sets.join(', ')}
            from (select (r -> 0 #>> '{}')::tid as place, (r -> 1)::boolean as is_of_old_kid, r -> 2 as cells
                    from jsonb_array_elements($1::jsonb) as r) as n
           where t.ctid = n.place
       returning ${same.join(' and ')} as is_same`;
}

/**
 * A cell as JSON. Blanks that fill up a char(n) are no part of its value; numbers within JSON have digits that a client
 * would lose, so that it is text there.
 */
function cell(expression: string, { kind, catalog }: RemaskTable['columns'][number]): string {
  const isText = kind === 'json' || catalog.base_type === 'bpchar';
  return isText ? `to_jsonb((${expression})::text)` : `to_jsonb(${expression})`;
}

/** What is assigned of a cell. Never a cast to a type with a length: that would cut off what does not fit. */
export function assigned({ isList, catalog }: RemaskTable['columns'][number], json: string): string {
  if (isList && ['jsonb', 'json'].includes(catalog.base_type)) {
    return `nullif(${json}, 'null'::jsonb)::${catalog.base_type}`;
  }
  if (isList && catalog.base_type.startsWith('_')) {
    return `case when jsonb_typeof(${json}) = 'array' then array(
      select e.item from jsonb_array_elements_text(${json}) with ordinality as e (item, i) order by e.i) end`;
  }
  const text = `(${json} #>> '{}')`;
  return TEXTS.includes(catalog.base_type) ? text : `${text}::${catalog.type}`;
}
