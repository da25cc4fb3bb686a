/** One thing wrong, or doubtful, in a configuration file. Line and column count from 1; `path` is dotted. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
  /** An error stops the start; a warning stops `validate --strict` only. */
  readonly severity: 'error' | 'warning';
}

/** Where something stands in a file, from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Keys from the root of the file. */
export type Path = readonly string[];

/** Takes what the checks find, and places it at the value of `path` unless told that its key is meant. */
export interface Findings {
  error(path: Path, message: string, part?: 'key'): void;
  warn(path: Path, message: string): void;
  /** Keeps silent about errors at `path` from now on: they follow from something that was reported. */
  excuse(path: Path): void;
}

/** `maskline.yaml:12:7 pipelines.a.batch.linger: must be …`. */
export function formatProblem(problem: ConfigProblem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}`;
  return problem.path === '' ? `${place} ${problem.message}` : `${place} ${problem.path}: ${problem.message}`;
}

/** In the order of the file; errors before warnings at one place. */
export function sortProblems(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  return problems.toSorted(
    (a, b) => a.line - b.line || a.column - b.column || a.severity.localeCompare(b.severity, 'en'),
  );
}
