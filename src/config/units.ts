const MS_PER = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const BYTES_PER = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** A duration as the file writes it: a whole number and one unit. The source of a regular expression. */
export const durationPattern = '^[0-9]+(ms|s|m|h|d)$';

/** A size as the file writes it: a whole number and one binary unit. The source of a regular expression. */
export const sizePattern = '^[0-9]+(B|KiB|MiB|GiB)$';

/** Milliseconds of a text such as `500ms`, `90s`, `15m`, `2h` or `7d`; null when it is none. */
export function durationMs(text: string): number | null {
  return amount(text, durationPattern, MS_PER);
}

/** Bytes of a text such as `512B`, `64KiB`, `1MiB` or `2GiB`; null when it is none. */
export function sizeBytes(text: string): number | null {
  return amount(text, sizePattern, BYTES_PER);
}

/** The shortest exact way to write so many milliseconds, for messages: 90000 is `90s`. */
export function formatDuration(ms: number): string {
  return shortest(ms, MS_PER);
}

/** The shortest exact way to write so many bytes, for messages: 65536 is `64KiB`. */
export function formatSize(bytes: number): string {
  return shortest(bytes, BYTES_PER);
}

function amount(text: string, pattern: string, units: Readonly<{ [unit: string]: number }>): number | null {
  const factor = units[new RegExp(pattern).exec(text)?.[1] ?? ''];
  if (factor === undefined) return null;
  const total = Number.parseInt(text, 10) * factor;
  return Number.isSafeInteger(total) ? total : null;
}

function shortest(total: number, units: Readonly<{ [unit: string]: number }>): string {
  const fitting = Object.entries(units).filter(([, factor]) => total % factor === 0);
  const [unit, factor] = fitting.at(total === 0 ? 0 : -1) ?? ['', 1];
  return `${total / factor}${unit}`;
}
