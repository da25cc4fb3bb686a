// Proposed columns as YAML.

import { identifierProblem } from '../config/columns.js';
import type { Field } from './fields.js';
import { type Proposal, snakeCase } from './proposal.js';

/** A proposal and the column that it is for. */
export interface ProposedColumn extends Proposal {
  readonly column: string;
}

const PLAIN = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Words that YAML, old or new, reads as something else than text. */
const NO_TEXT = /^(?:y|yes|n|no|on|off|true|false|null)$/i;
const LONGEST_NAME_BYTES = 50;

/** Gives each proposal a column name of its own: of its path, and of what is left of the values. */
export function nameColumns(
  proposals: readonly { readonly field: Field; readonly proposal: Proposal }[],
): readonly ProposedColumn[] {
  const taken = new Set<string>();
  return proposals.map(({ field, proposal }) => {
    const base = nameFor(field, proposal.method);
    let column = base;
    for (let number = 2; taken.has(column); number += 1) column = `${base}_${number}`;
    taken.add(column);
    return { ...proposal, column };
  });
}

/** The columns as members of `columns`, each under a comment that says why it is as it is. */
export function columnsYaml(columns: readonly ProposedColumn[], indent: string): string {
  return columns
    .flatMap((column) => [`${indent}# ${commentOf(column)}`, `${indent}${memberOf(column)}`])
    .join('\n');
}

function commentOf({ method, reason, sureness, matching, values }: ProposedColumn): string {
  const count = `${matching} of ${values} values`;
  const share = method === 'keep' || reason.includes(`${matching} of `) ? '' : ` (${count})`;
  return `${method}, ${sureness}: ${reason}${share}.`;
}

function memberOf({ column, from, type, maxLength, required, mask, sentinels }: ProposedColumn): string {
  const members = [
    `from: ${scalar(from)}`,
    ...(type === null ? [] : [`type: ${type.includes('[') ? JSON.stringify(type) : type}`]),
    ...(maxLength === null ? [] : [`max_length: ${maxLength}`]),
    ...(required ? ['required: true'] : []),
    ...(sentinels.length === 0
      ? []
      : [`sentinels: [${sentinels.map((word) => JSON.stringify(word)).join(', ')}]`]),
    ...(mask === null ? [] : [`mask: { ${mask} }`]),
  ];
  return `${scalar(column)}: { ${members.join(', ')} }`;
}

function scalar(text: string): string {
  return PLAIN.test(text) && !NO_TEXT.test(text) ? text : JSON.stringify(text);
}

function nameFor({ names }: Field, method: Proposal['method']): string {
  let name = names
    .map(snakeCase)
    .join('_')
    .replace(/^[^\p{L}_]+/u, '');
  while (Buffer.byteLength(name) > LONGEST_NAME_BYTES) name = [...name].slice(0, -1).join('');
  const sound = identifierProblem(name) === null ? name : `field_${name}`;
  switch (method) {
    case 'siv':
      return `masked_${sound}`;
    case 'bucket':
      return `${sound}_range`;
    case 'generalize':
      return `${sound}_year`;
    default:
      return sound;
  }
}
