import type { Clock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import type { Piece, Pointers } from '../../src/source/parts.js';

/** What the next piece takes to come, at most: longer than a batch lingers, so that parts fall into several. */
const PIECE_MS = 3_000;
const PREFIX = 'in parts ';

/** The body of a message that comes in parts, each some bodies of records. */
export function partedBody(parts: readonly (readonly string[])[]): string {
  return `${PREFIX}${JSON.stringify(parts)}`;
}

/** Ids and bodies of the records of a message, part by part; null for a message that is one record. */
export function partsOfBody(messageId: string, body: string): readonly Piece[] | null {
  if (!body.startsWith(PREFIX)) return null;
  const parts = JSON.parse(body.slice(PREFIX.length)) as string[][];
  return parts.map((texts, part) =>
    texts.map((text, index) => ({ id: `${messageId}#${part}.${index}`, body: text })),
  );
}

/** Stands in for what messages point to: it comes piece by piece, in its own time. */
export function fakePointers(clock: Clock): Pointers {
  return {
    ready: async () => undefined,
    fetch: async (message) => message,
    follow: ({ envelope }, halt) => {
      const pieces = partsOfBody(envelope.messageId, envelope.body);
      return pieces === null ? null : inTime(pieces, clock, halt);
    },
  };
}

async function* inTime(pieces: readonly Piece[], clock: Clock, halt: AbortSignal): AsyncGenerator<Piece> {
  for (const piece of pieces) {
    await clock.sleep(clock.random() * PIECE_MS, halt);
    if (halt.aborted) throw new PipelineError('canceled', 'nobody waits for the rest');
    yield piece;
  }
}
