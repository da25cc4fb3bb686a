import type { z } from 'zod';
import { jsonSchema } from './json-schema.js';
import type { Findings, Path } from './problem.js';
import { REQUIRED } from './scalars.js';
import { didYouMean, suggest } from './suggestion.js';

// Keys that maskline means to know, but that this version refuses.
const LATER_KEYS: Readonly<{ [path: string]: string }> = {
  'queue.cluster': 'Redis Cluster is not supported by this version of maskline',
};

/**
 * Checks one part of the file against its schema and reports all that is wrong with it, `at` being where the part
 * stands in the file. What is wrong is then taken for absent, so that the rest can be checked further; null when
 * that leaves too little.
 */
export function readPart<S extends z.ZodType>(
  schema: S,
  data: unknown,
  at: Path,
  findings: Findings,
): z.output<S> | null {
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  const bad = reportIssues(result.error.issues, data, at, findings);
  const rest = schema.safeParse(without(data, new Set(bad.map(pathKey)), at));
  return rest.success ? rest.data : null;
}

type Issue = z.core.$ZodIssue;

/** Reports the issues and returns the paths that they are about. */
function reportIssues(
  issues: readonly Issue[],
  data: unknown,
  at: Path,
  findings: Findings,
): readonly Path[] {
  const bad: Path[] = [];
  // First, so that a misspelled key is not reported as a missing one as well.
  for (const issue of issues) {
    if (issue.code !== 'unrecognized_keys') continue;
    const parent = [...at, ...issue.path.map(String)];
    for (const key of issue.keys) {
      reportUnknownKey(parent, key, findings);
      bad.push([...parent, key]);
    }
  }
  for (const issue of issues) {
    const path = issue.path.map(String);
    const value = valueAt(data, path);
    const full = [...at, ...path];
    if (issue.code === 'unrecognized_keys') continue;
    if (value !== undefined) bad.push(full);
    if (issue.code === 'invalid_union') {
      // Unions are of a single value and a map, in this order.
      const branch = issue.errors.at(isMapping(value) ? 1 : 0) ?? [];
      reportIssues(branch, value, full, findings);
    } else findings.error(full, sentence(issue, value));
  }
  return bad;
}

function pathKey(path: Path): string {
  return path.join('\0');
}

/** A copy of `data`, which stands at `at`, without what stands at the paths of `bad`. */
function without(data: unknown, bad: ReadonlySet<string>, at: Path): unknown {
  if (bad.has(pathKey(at))) return undefined;
  if (!isMapping(data)) return data;
  const kept = Object.keys(data).filter((key) => !bad.has(pathKey([...at, key])));
  return Object.fromEntries(kept.map((key) => [key, without(data[key], bad, [...at, key])]));
}

function reportUnknownKey(parent: Path, key: string, findings: Findings): void {
  const known = knownKeys(parent);
  const later = LATER_KEYS[[...parent, key].join('.')];
  findings.error([...parent, key], later ?? `unknown key${didYouMean(key, known)}`, 'key');
  const meant = suggest(key, known);
  if (meant !== null) findings.excuse([...parent, meant]);
}

function sentence(issue: Issue, value: unknown): string {
  if (issue.code === 'custom') return issue.message;
  if (value === undefined) return REQUIRED;
  return value === null ? 'is empty' : 'must be a map of keys and values';
}

function isMapping(value: unknown): value is Readonly<{ [key: string]: unknown }> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The entries of a map; none of anything else. */
export function entriesOf(value: unknown): readonly (readonly [string, unknown])[] {
  return isMapping(value) ? Object.entries(value) : [];
}

/** What stands at `path`, or undefined. */
export function valueAt(data: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) => (isMapping(value) && Object.hasOwn(value, key) ? value[key] : undefined),
    data,
  );
}

/** The keys that the schema has at `path`. */
function knownKeys(path: Path): readonly string[] {
  let node: unknown = jsonSchema();
  for (const key of path) {
    const holder = mapBranch(node);
    node =
      valueAt(holder, ['properties', key]) ??
      valueAt(holder, ['additionalProperties']) ??
      valueAt(holder, ['items']);
  }
  return entriesOf(valueAt(mapBranch(node), ['properties'])).map(([key]) => key);
}

function mapBranch(node: unknown): unknown {
  const branches = valueAt(node, ['anyOf']);
  return Array.isArray(branches)
    ? branches.find((branch) => isMapping(valueAt(branch, ['properties'])))
    : node;
}
