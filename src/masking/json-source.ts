/** Numbers that JSON.parse may not keep digit for digit: with a fraction, an exponent or more than 15 digits. */
const riskyNumber = /[0-9][.eE]|[0-9]{16}/;
const structural = /["{}[\],]/g;
const stringEnd = /["\\]/g;
const stringOrNumber = /"|-?[0-9][0-9.eE+-]*/g;

/**
 * JSON text of a field's value, digits as they came: JSON.parse keeps 17 of them at most, and of `1.50` it makes 1.5.
 * `body` is a JSON object that JSON.parse took, and `value` what it made of the field; as there, the last of several
 * fields of one name counts.
 */
export function memberSource(body: string, name: string, value: unknown): string {
  return valueSource(body, value, (text) => memberText(text, name));
}

/** The same for a value that lies deeper: `find` gives the text of it in the body, or null. */
export function valueSource(body: string, value: unknown, find: (body: string) => string | null): string {
  return mayLoseDigits(body) ? exactText(find(body), value) : JSON.stringify(value);
}

/** A value's JSON text as it was found, fit for Postgres; where none was found, another text of the value. */
export function exactText(found: string | null, value: unknown): string {
  return found === null ? JSON.stringify(value) : withoutReplaced(found);
}

/** Whether JSON.parse may have changed a number of the body. */
export function mayLoseDigits(body: string): boolean {
  return riskyNumber.test(body);
}

/** The numbers in JSON text, as they are written. */
export function* numbersIn(json: string): Generator<string> {
  stringOrNumber.lastIndex = 0;
  for (let mark = stringOrNumber.exec(json); mark; mark = stringOrNumber.exec(json)) {
    if (mark[0] !== '"') yield mark[0];
    else {
      const end = endOfString(json, mark.index);
      stringOrNumber.lastIndex = end;
    }
  }
}

/** An object or a list that is not closed yet; a list has no members. */
interface Open {
  readonly members: Map<unknown, Span> | null;
  key: unknown;
  valueStart: number;
}

interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * The text with null for each member that a later one of its name replaces: they do not count, but Postgres reads
 * them, and refuses what it can't hold or is nested too deep.
 */
function withoutReplaced(json: string): string {
  const open: Open[] = [];
  const replaced: Span[] = [];
  const endMember = (at: number): void => {
    const top = open.at(-1);
    if (!top?.members || top.key === null) return;
    const before = top.members.get(top.key);
    if (before) replaced.push(before);
    top.members.set(top.key, { from: top.valueStart, to: at });
    top.key = null;
  };
  structural.lastIndex = 0;
  for (let mark = structural.exec(json); mark; mark = structural.exec(json)) {
    const at = mark.index;
    if (mark[0] === '"') {
      const end = endOfString(json, at);
      structural.lastIndex = end;
      const top = open.at(-1);
      if (!top?.members || top.key !== null) continue;
      top.key = keyText(json.slice(at, end));
      top.valueStart = json.indexOf(':', end) + 1;
    } else if (mark[0] === '{' || mark[0] === '[') {
      open.push({ members: mark[0] === '{' ? new Map() : null, key: null, valueStart: 0 });
    } else {
      endMember(at);
      if (mark[0] !== ',') open.pop();
    }
  }
  return replaced.length === 0 ? json : withNulls(json, replaced);
}

/** The spans lie apart or within each other. */
function withNulls(json: string, spans: readonly Span[]): string {
  let text = '';
  let end = 0;
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    if (from < end) continue;
    text += `${json.slice(end, from)}null`;
    end = to;
  }
  return text + json.slice(end);
}

/** The text of an object's last member of that name, or null. It is valid JSON, so only structure need be looked at. */
export function memberText(body: string, name: string): string | null {
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

/** The texts of an array's elements. It is valid JSON. */
export function elementTexts(json: string): string[] {
  const texts: string[] = [];
  let depth = 0;
  let start = 0;
  structural.lastIndex = 0;
  for (let mark = structural.exec(json); mark; mark = structural.exec(json)) {
    const at = mark.index;
    if (mark[0] === '"') structural.lastIndex = endOfString(json, at);
    else if (mark[0] === '{' || mark[0] === '[') {
      depth += 1;
      if (depth === 1) start = at + 1;
    } else {
      if (depth === 1) {
        texts.push(json.slice(start, at).trim());
        start = at + 1;
      }
      if (mark[0] !== ',') depth -= 1;
    }
  }
  // Between the brackets of an empty array is one empty text.
  return texts.length === 1 && texts[0] === '' ? [] : texts;
}

/** The index behind the closing quote of the string that begins at `start`. */
export function endOfString(body: string, start: number): number {
  stringEnd.lastIndex = start + 1;
  for (let mark = stringEnd.exec(body); mark; mark = stringEnd.exec(body)) {
    if (mark[0] === '"') return mark.index + 1;
    stringEnd.lastIndex = mark.index + 2;
  }
  return body.length;
}

/** The text that a string of JSON is. */
export function keyText(literal: string): unknown {
  return literal.includes('\\') ? JSON.parse(literal) : literal.slice(1, -1);
}
