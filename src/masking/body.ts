import type { RejectionCode } from '../batch.js';

/** A message's fields as JSON.parse made them; look fields up as own properties only. */
export type Fields = Readonly<{ [name: string]: unknown }>;

/** Limits of one body: nesting (the object itself is level 1) and UTF-8 bytes. */
export interface BodyLimits {
  readonly maxDepth: number;
  readonly maxBody: number;
}

const BYTE_ORDER_MARK = 0xfeff;

/** The body's fields, or the code of what is wrong with it as a whole. The parser's own error quotes the body: it goes no further. */
export function parseBody(body: string, limits: BodyLimits): Fields | RejectionCode {
  if (Buffer.byteLength(body, 'utf8') > limits.maxBody) return 'too_large';
  let value: unknown;
  try {
    value = JSON.parse(body.charCodeAt(0) === BYTE_ORDER_MARK ? body.slice(1) : body);
  } catch {
    return 'not_json';
  }
  if (!isFields(value)) return 'not_object';
  return isDeeper(value, limits.maxDepth) ? 'too_deep' : value;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Level by level, so that no depth of nesting can exhaust the stack. */
function isDeeper(root: object, maxDepth: number): boolean {
  let level: object[] = [root];
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > maxDepth) return true;
    const next: object[] = [];
    for (const node of level) {
      for (const child of Object.values(node) as unknown[]) {
        if (typeof child === 'object' && child !== null) next.push(child);
      }
    }
    level = next;
  }
  return false;
}
