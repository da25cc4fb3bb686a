import {
  type Alias,
  type Document,
  LineCounter,
  type Node,
  Scalar,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  parseDocument,
  visit,
} from 'yaml';
import type { Path, Position } from './problem.js';
import type { Reading } from './scalars.js';

/** A file's content, and where each part of it stands. */
export interface ConfigDocument {
  /** Plain data; empty and empty-interpolated values are undefined, as if their key were not there. */
  readonly data: unknown;
  /** Where the value (or the key) at `path` stands, or else the nearest thing above it that the file holds. */
  locate(path: Path, at: 'key' | 'value'): Position;
}

/** Takes what is wrong with the text itself. */
export type TextFinding = (position: Position, path: Path, message: string) => void;

/** Replaces what one scalar interpolates; null when it holds nothing of the kind. */
export type Interpolate = (text: string) => Reading<string> | null;

const START: Position = { line: 1, column: 1 };

// The parser's own messages quote the file, which may hold a password.
const SYNTAX: Readonly<{ [code: string]: string }> = {
  BAD_INDENT: 'the indentation does not fit, or a bracket is not closed',
  BLOCK_AS_IMPLICIT_KEY: 'the indentation does not fit, or a key has two colons',
  DUPLICATE_KEY: 'this key is given twice',
  MISSING_CHAR: 'something is missing here: a closing quote, a bracket, a comma, or the space after a colon',
  MULTILINE_IMPLICIT_KEY: 'a key must stand on one line',
  MULTIPLE_DOCS: 'the file must hold a single YAML document',
  TAB_AS_INDENT: 'indent with spaces, not with tabs',
  UNEXPECTED_TOKEN: 'this cannot stand here; within { } and [ ], values that hold ${…} need quotes',
};

/** Parses YAML 1.2 with merge keys, then interpolates. Null when the text is not fit to be looked at further. */
export function parseConfigText(
  text: string,
  interpolate: Interpolate,
  found: TextFinding,
): ConfigDocument | null {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    merge: true,
    stringKeys: true,
  });
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (!reportSyntax(document, at, found)) return null;
  if (document.contents === null || (isScalar(document.contents) && document.contents.source === '')) {
    found(START, [], 'the file is empty; `maskline init` writes one to start from');
    return null;
  }
  if (!resolveScalars(document, interpolate, at, found)) return null;
  try {
    return { data: document.toJS(), locate: (path, part) => at(offsetOf(document, path, part)) };
  } catch {
    found(START, [], 'the file refers to its anchors too often');
    return null;
  }
}

/** Reports what is no YAML, a finding a line at most, without a word of the file. False when the rest makes no sense. */
export function reportSyntax(
  document: Document,
  at: (offset: number) => Position,
  found: TextFinding,
): boolean {
  const seenLines = new Set<number>();
  for (const error of [...document.errors, ...document.warnings]) {
    const position = at(error.pos[0]);
    // One slip often breaks all that follows on its line.
    if (seenLines.has(position.line)) continue;
    seenLines.add(position.line);
    const fallback =
      error.code === 'TAG_RESOLVE_FAILED' ? 'YAML tags are not supported' : `not valid YAML (${error.code})`;
    found(position, [], SYNTAX[error.code] ?? fallback);
  }
  return document.errors.every((error) => error.code === 'DUPLICATE_KEY') && document.warnings.length === 0;
}

/** Interpolates every value in place. False when an alias makes the rest unfit to be read. */
function resolveScalars(
  document: Document,
  interpolate: Interpolate,
  at: (offset: number) => Position,
  found: TextFinding,
): boolean {
  let sound = true;
  visit(document, {
    Alias: (_key, alias, above) => {
      const wrong = aliasProblem(document, alias, above);
      if (wrong === null) return;
      sound = false;
      found(at(alias.range?.[0] ?? 0), pathOf(above), wrong);
    },
    Scalar: (key, scalar, above) => {
      if (key === 'key') return;
      if (scalar.value === null && scalar.source === '') scalar.value = undefined;
      if (typeof scalar.value !== 'string') return;
      const reading = interpolate(scalar.value);
      if (reading === null) return;
      // Empty means absent, so that an unset variable leaves a default in force.
      scalar.value = 'value' in reading && reading.value !== '' ? reading.value : undefined;
      if ('wrong' in reading) found(at(scalar.range?.[0] ?? 0), pathOf(above), reading.wrong);
    },
  });
  return sound;
}

type Above = readonly (Document | Node | { readonly key: unknown })[];

function aliasProblem(document: Document, alias: Alias, above: Above): string | null {
  const target = alias.resolve(document);
  if (target === undefined) return 'there is no anchor of this name above';
  return above.includes(target) ? 'the alias refers to something that it is part of' : null;
}

function pathOf(above: Above): Path {
  return above.flatMap((node, depth) => {
    if (isPair(node)) return [isScalar(node.key) ? String(node.key.value) : '?'];
    const next = above[depth + 1];
    return isSeq(node) && next !== undefined ? [String(node.items.indexOf(next))] : [];
  });
}

function offsetOf(document: Document, path: Path, part: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const [depth, name] of path.entries()) {
    const holder = isAlias(node) ? node.resolve(document) : node;
    if (isSeq(holder)) {
      node = holder.items[Number(name)];
      if (!isNode(node)) return offset;
      offset = node.range?.[0] ?? offset;
      continue;
    }
    const pair = isMap(holder)
      ? holder.items.find(({ key }) => isScalar(key) && String(key.value) === name)
      : undefined;
    if (pair === undefined) return offset;
    const keyOffset = isScalar(pair.key) ? (pair.key.range?.[0] ?? offset) : offset;
    const last = depth === path.length - 1;
    offset =
      last && part === 'value' && pair.value instanceof Scalar
        ? (pair.value.range?.[0] ?? keyOffset)
        : keyOffset;
    node = pair.value;
  }
  return offset;
}
