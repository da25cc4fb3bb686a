import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Envelope } from '../batch.js';
import { errorCode } from '../config/interpolation.js';
import { PipelineError } from '../errors.js';
import { elementTexts } from '../masking/json-source.js';

/** A body and the line that it begins on, from 1. */
export interface SampleBody {
  readonly line: number;
  readonly body: string;
}

/** Message bodies of a file. */
export interface Sample {
  readonly bodies: readonly SampleBody[];
  /** Epoch ms: when the file was last written; of a stream, when it was read. */
  readonly modifiedAt: number;
  /** Whether the file goes on behind the limit, where nobody looked. */
  readonly isCut: boolean;
}

/** Standard input, in place of a file. */
const STANDARD_INPUT = '-';

/** Enough for the largest sample that anybody looks at, and nothing that a process could not hold. */
const MAX_BYTES = 64 * 2 ** 20;
const MAX_BODIES = 100_000;
const BYTE_ORDER_MARK = '\u{feff}';

/**
 * Reads message bodies: JSON Lines, or one JSON value over several lines, of which an array holds a body in each
 * element. What is no JSON is a body as well. Throws `usage` when the file can't be read.
 */
export async function readSample(path: string, stdin: NodeJS.ReadableStream): Promise<Sample> {
  const { text, isCut } = await readText(path, stdin);
  const modifiedAt = path === STANDARD_INPUT ? Date.now() : (await stat(path)).mtimeMs;
  const all = wholeBodies(text) ?? lineBodies(text, isCut);
  return {
    bodies: all.slice(0, MAX_BODIES),
    modifiedAt: Math.floor(modifiedAt),
    isCut: isCut || all.length > MAX_BODIES,
  };
}

/** The bodies as messages that were sent when the file was written. */
export function messagesOf({ bodies, modifiedAt }: Sample): readonly Envelope[] {
  return bodies.map(({ line, body }) => ({
    messageId: `line-${String(line)}`,
    body,
    sentAt: modifiedAt,
    receivedAt: modifiedAt,
    attributes: {},
  }));
}

async function readText(
  path: string,
  stdin: NodeJS.ReadableStream,
): Promise<{ readonly text: string; readonly isCut: boolean }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    const stream: NodeJS.ReadableStream = path === STANDARD_INPUT ? stdin : createReadStream(path);
    for await (const chunk of stream) {
      const part = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      chunks.push(part);
      bytes += part.length;
      if (bytes > MAX_BYTES) break;
    }
  } catch (error) {
    throw new PipelineError('usage', `the sample ${path} cannot be read (${errorCode(error)})`);
  }
  const all = Buffer.concat(chunks);
  const text = all.subarray(0, MAX_BYTES).toString('utf8');
  return { text: text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text, isCut: all.length > MAX_BYTES };
}

/** The bodies of a text that is one JSON object or array; null for any other text. */
function wholeBodies(text: string): readonly SampleBody[] | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  if (!Array.isArray(value)) return [{ line: 1, body: text.trim() }];
  const starts = text.indexOf('[') + 1;
  let at = starts;
  let line = lineBreaks(text.slice(0, at)) + 1;
  return elementTexts(text).map((element) => {
    const from = text.indexOf(element, at);
    line += lineBreaks(text.slice(at, from));
    const first = line;
    line += lineBreaks(element);
    at = from + element.length;
    return { line: first, body: element };
  });
}

function lineBodies(text: string, isCut: boolean): readonly SampleBody[] {
  const lines = text.split('\n');
  // The line that was cut off in its midst is no body.
  if (isCut) lines.pop();
  return lines.flatMap((line, index) => {
    const body = line.trim();
    return body === '' ? [] : [{ line: index + 1, body }];
  });
}

function lineBreaks(text: string): number {
  return text.split('\n').length - 1;
}
