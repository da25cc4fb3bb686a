import { html } from 'hono/html';

/** A piece of a page; what is put into one by `html` is escaped, unless it is such a piece itself. */
export type Html = ReturnType<typeof html>;

/** What is not known. */
export const UNKNOWN = '–';

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
] as const;

/** A whole number with separators, or a dash for one that is not known. */
export function number(count: number | null): string {
  return count === null ? UNKNOWN : count.toLocaleString('en-US');
}

/** `1 row`, `2 rows`. */
export function plural(count: number, noun: string, ending = 's'): string {
  return `${number(count)} ${noun}${count === 1 ? '' : ending}`;
}

/** A size in its largest unit that it has one of. */
export function size(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const [unit, of] = bytes < 1_024 ** 2 ? ['KiB', 1_024] : ['MiB', 1_024 ** 2];
  return `${(bytes / of).toFixed(bytes < 10 * of ? 1 : 0)} ${unit}`;
}

/** A length of time in its largest unit that it has two of, or else the next smaller one. */
export function duration(seconds: number): string {
  const [unit, of] = UNITS.find((one) => seconds >= 2 * one[1]) ?? ['s', 1];
  return `${Math.round(seconds / of)} ${unit}`;
}

/** A moment as people say it: `12 s ago`, `in 3 min`; the exact one shows on hovering. Times are ISO 8601 or epoch ms. */
export function moment(at: string | number | null, now: number): Html {
  if (at === null) return html`${UNKNOWN}`;
  const date = new Date(at);
  const seconds = (now - date.getTime()) / 1000;
  const iso = date.toISOString();
  const words = seconds < 0 ? `in ${duration(-seconds)}` : seconds < 1 ? 'now' : `${duration(seconds)} ago`;
  return html`<time datetime="${iso}" title="${iso}">${words}</time>`;
}

/** A time of today and how long it is ago: `13:32:15 UTC (9 s ago)`. */
export function sinceText(at: number, now: number): Html {
  return html`${new Date(at).toISOString().slice(11, 19)} UTC (${moment(at, now)})`;
}

/** With a capital letter. */
export function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** A text of ours in which commands stand between backticks. */
export function prose(text: string): Html {
  const parts = text.split('`');
  return html`${parts.map((part, index) => (index % 2 === 1 ? command(part) : part))}`;
}

/** A command, to be copied; it breaks between its words only: `-p` in two lines is two things. */
export function command(text: string): Html {
  const words = text.split(' ').map((word, index) => html`${index > 0 && ' '}<span>${word}</span>`);
  return html`<code>${words}</code>`;
}
