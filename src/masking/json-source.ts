/** Numbers that JSON.parse may not keep digit for digit: with a fraction, an exponent or more than 15 digits. */
const riskyNumber = /[0-9][.eE]|[0-9]{16}/;
const structural = /["{}[\],]/g;
const stringEnd = /["\\]/g;

/**
 * JSON text of a field's value, digits as they came: JSON.parse keeps 17 of them at most, and of `1.50` it makes 1.5.
 * `body` is a JSON object that JSON.parse took, and `value` what it made of the field; as there, the last of several
 * fields of one name counts.
 */
export function memberSource(body: string, name: string, value: unknown): string {
  if (!riskyNumber.test(body)) return JSON.stringify(value);
  return findMember(body, name) ?? JSON.stringify(value);
}

/** The text of the last top-level member of that name. The body is valid JSON, so only structure need be looked at. */
function findMember(body: string, name: string): string | null {
  let found: string | null = null;
  let key: unknown = null;
  let depth = 0;
  let valueStart = 0;
  structural.lastIndex = 0;
  for (let mark = structural.exec(body); mark; mark = structural.exec(body)) {
    const at = mark.index;
    switch (mark[0]) {
      case '"': {
        const end = endOfString(body, at);
        structural.lastIndex = end;
        if (depth === 1 && key === null) {
          key = keyText(body.slice(at, end));
          valueStart = body.indexOf(':', end) + 1;
        }
        break;
      }
      case '{':
      case '[':
        depth += 1;
        break;
      default:
        if (depth === 1) {
          if (key === name) found = body.slice(valueStart, at).trim();
          key = null;
        }
        if (mark[0] !== ',') depth -= 1;
    }
  }
  return found;
}

/** The index behind the closing quote of the string that begins at `start`. */
function endOfString(body: string, start: number): number {
  stringEnd.lastIndex = start + 1;
  for (let mark = stringEnd.exec(body); mark; mark = stringEnd.exec(body)) {
    if (mark[0] === '"') return mark.index + 1;
    stringEnd.lastIndex = mark.index + 2;
  }
  return body.length;
}

function keyText(literal: string): unknown {
  return literal.includes('\\') ? JSON.parse(literal) : literal.slice(1, -1);
}
