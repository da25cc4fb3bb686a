// YAML as it stands in a file: what is wrong is reported with its place, numbers keep their digits.

import {
  type Document,
  LineCounter,
  type Node,
  type YAMLMap,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  parseAllDocuments,
} from 'yaml';
import { reportSyntax } from '../config/document.js';
import type { ConfigProblem, Position } from '../config/problem.js';
import { didYouMean } from '../config/suggestion.js';

/** A value of the file, or nothing at all. */
export type Value = Node | null;

/** The members of a map that may have only those keys. */
export type Members<Key extends string> = { readonly [key in Key]?: Node };

/** More levels than anybody's message has: an alias may lead back to itself. */
const MOST_LEVELS = 100;
/** Aliases of aliases can make a short file mean more than memory holds. */
const MOST_NODES = 100_000;
const JSON_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

/** The documents of one YAML file, and all that is found wrong with them. */
export class YamlFile {
  readonly problems: ConfigProblem[] = [];
  readonly documents: readonly Document[];
  readonly #file: string;
  readonly #lines = new LineCounter();
  #nodes = 0;

  constructor(file: string, text: string) {
    this.#file = file;
    const parsed = parseAllDocuments(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      stringKeys: true,
    });
    const documents = Array.isArray(parsed) ? parsed : [];
    const at = (offset: number): Position => this.#at(offset);
    const sound = documents.filter((document) =>
      reportSyntax(document, at, (position, _, message) => this.#add(position, message)),
    );
    // A document of comments only is none.
    this.documents = sound.filter(({ contents }) => !isEmpty(contents));
    if (documents.every(({ contents }) => isEmpty(contents)) && this.problems.length === 0)
      this.#add({ line: 1, column: 1 }, 'the file is empty');
  }

  /** Reports what is wrong with the value. */
  wrong(value: Value | Document, message: string): void {
    this.#add(this.place(value), message);
  }

  /** Where a value begins. */
  place(value: Value | Document): Position {
    return this.#at(value?.range?.[0] ?? 0);
  }

  /** The value itself where an alias stands for it. */
  resolved(document: Document, value: unknown): Value {
    if (!isNode(value)) return null;
    return isAlias(value) ? (value.resolve(document) ?? null) : value;
  }

  /** The members of a map; null, and a problem, when it is something else. Unknown keys are problems. */
  members<Key extends string>(
    document: Document,
    value: Value | Document,
    known: readonly Key[],
    what: string,
  ): Members<Key> | null {
    const map = 'contents' in (value ?? {}) ? document.contents : this.resolved(document, value);
    if (!isMap(map)) {
      this.wrong(value, `${what} must be a map of ${known.join(', ')}`);
      return null;
    }
    const members: { [key in Key]?: Node } = {};
    for (const [name, key, member] of this.entries(document, map)) {
      const match = known.find((one) => one === name);
      if (match === undefined) this.wrong(key, `unknown key${didYouMean(name, known)}`);
      else if (member !== null) members[match] = member;
    }
    return members;
  }

  /** Keys and values of a map. */
  entries(document: Document, map: YAMLMap): readonly (readonly [name: string, key: Value, value: Value])[] {
    return map.items.map(({ key, value }) => [
      isScalar(key) ? String(key.value) : '',
      isNode(key) ? key : null,
      this.resolved(document, value),
    ]);
  }

  /** The elements of a list; null, and a problem, when it is something else. */
  list(document: Document, value: Value, what: string): readonly Value[] | null {
    const list = this.resolved(document, value);
    if (isSeq(list)) return list.items.map((item) => this.resolved(document, item));
    this.wrong(value, `${what} must be a list`);
    return null;
  }

  /** A text; null, and a problem, when it is something else. */
  text(value: Value, what: string): string | null {
    if (isScalar(value) && typeof value.value === 'string') return value.value;
    this.wrong(value, `${what} must be text`);
    return null;
  }

  /** The value as JSON text, with the digits of its numbers as written; null, and a problem, when JSON has no such value. */
  json(document: Document, value: Value, level = 1): string | null {
    const node = this.resolved(document, value);
    this.#nodes += 1;
    if (this.#nodes > MOST_NODES) {
      if (this.#nodes === MOST_NODES + 1) this.wrong(value, `the file holds more than ${MOST_NODES} values`);
      return null;
    }
    if (level > MOST_LEVELS) {
      this.wrong(value, `is nested more than ${MOST_LEVELS} levels deep, or refers to itself`);
      return null;
    }
    if (isSeq(node)) {
      return joined('[', ']', node.items, (item) =>
        this.json(document, isNode(item) ? item : null, level + 1),
      );
    }
    if (isMap(node)) {
      return joined('{', '}', this.entries(document, node), ([name, , member]) => {
        const text = this.json(document, member, level + 1);
        return text === null ? null : `${JSON.stringify(name)}:${text}`;
      });
    }
    return node === null ? 'null' : this.#scalar(node);
  }

  #scalar(node: Node): string | null {
    const value: unknown = isScalar(node) ? node.value : undefined;
    if (typeof value === 'number') {
      const source = isScalar(node) ? (node.source ?? '') : '';
      if (JSON_NUMBER.test(source)) return source;
      if (Number.isFinite(value)) return JSON.stringify(value);
    }
    if (value === null || value === undefined) return 'null';
    if (typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
    this.wrong(node, 'JSON has no such value; put it in quotes if it is text');
    return null;
  }

  #at(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  }

  #add(position: Position, message: string): void {
    this.problems.push({ file: this.#file, ...position, path: '', message, severity: 'error' });
  }
}

function isEmpty(contents: unknown): boolean {
  return contents === null || (isScalar(contents) && contents.value === null);
}

/** The parts' texts within brackets; null as soon as one part has none. */
function joined<T>(
  open: string,
  close: string,
  parts: readonly T[],
  textOf: (part: T) => string | null,
): string | null {
  const texts: string[] = [];
  for (const part of parts) {
    const text = textOf(part);
    if (text === null) return null;
    texts.push(text);
  }
  return `${open}${texts.join(',')}${close}`;
}
