import { escapeLiteral } from 'pg';

/** A step into a JSON value: a member of an object, or each element of an array. */
export type JsonStep = { readonly member: string } | { readonly index: number } | { readonly each: true };

/**
 * A path of SQL/JSON, lax, so that what is not there is nothing (PostgreSQL documentation, 8.14.7), as a literal;
 * `filter` is put behind it.
 */
export function jsonPath(steps: readonly JsonStep[], filter = ''): string {
  const written = steps.map((step) => {
    if ('member' in step) return `.${JSON.stringify(step.member)}`;
    return 'index' in step ? `[${String(step.index)}]` : '[*]';
  });
  return escapeLiteral(`$${written.join('')}${filter}`);
}
