// Values that stand for none, such as `unknown` or `0.0.0.0`.

import { canonicalText, trimAscii } from './canonical.js';
import { IP_BYTES } from './column.js';
import { type Decimal, compareDecimals, parseDecimal } from './decimal.js';
import { writeIp } from './ip.js';
import type { ColumnSpec } from './methods.js';
import type { Normalized } from './refusal.js';

/** Whether a value stands for none. */
export type IsSentinel = (value: unknown) => boolean;

/**
 * Compares with a column's sentinels as the column compares values: addresses as addresses where it takes these,
 * numbers by their worth, everything else as canonical text. Null when the column has no sentinels.
 */
export function sentinelTest(column: ColumnSpec): IsSentinel | null {
  const { sentinels = [], mask } = column;
  if (sentinels.length === 0) return null;
  const lower = 'lower' in mask && mask.lower;
  const texts = new Set(sentinels.map((text) => canonicalText(trimAscii(text), lower)));
  const addresses = new Set(takesAddresses(column) ? sentinels.flatMap((text) => addressOf(text) ?? []) : []);
  const numbers = sentinels.flatMap((text) => parseDecimal(text) ?? []);
  return (value) => {
    if (typeof value === 'number') return isOneOf(numbers, parseDecimal(String(value)));
    if (typeof value !== 'string') return false;
    const text = trimAscii(value);
    const canonical = canonicalText(text, lower);
    if (canonical !== null && texts.has(canonical)) return true;
    if (addresses.size > 0) {
      const address = addressOf(text);
      return address !== null && addresses.has(address);
    }
    return takesNumbers(column) && isOneOf(numbers, parseDecimal(text));
  };
}

/** The value, or null for one that stands for none, or such elements of a list; each is counted. */
export function withoutSentinels(value: unknown, isSentinel: IsSentinel, normalized: Normalized): unknown {
  if (Array.isArray(value))
    return value.map((item: unknown) => withoutSentinels(item, isSentinel, normalized));
  if (!isSentinel(value)) return value;
  normalized.sentinel_to_null += 1;
  return null;
}

function takesAddresses({ mask, type }: ColumnSpec): boolean {
  switch (mask.method) {
    case 'siv':
    case 'hmac':
    case 'vault':
      return mask.as === 'ip';
    case 'ip-truncate':
    case 'ipcrypt-det':
    case 'ipcrypt-pfx':
      return true;
    case 'generalize':
      return 'to' in mask && mask.to === 'ip_version';
    default:
      return mask.method === 'keep' && type === 'inet';
  }
}

function takesNumbers({ mask, type }: ColumnSpec): boolean {
  return (
    mask.method === 'bucket' ||
    (mask.method === 'keep' && (type === 'integer' || type === 'bigint' || type === 'numeric'))
  );
}

/** The 16 bytes of an address, as text to compare; null for what is none. */
function addressOf(text: string): string | null {
  const bytes = Buffer.alloc(IP_BYTES);
  return writeIp(text, bytes, 0) ? bytes.toString('latin1') : null;
}

function isOneOf(numbers: readonly Decimal[], number: Decimal | null): boolean {
  return number !== null && numbers.some((sentinel) => compareDecimals(sentinel, number) === 0);
}
