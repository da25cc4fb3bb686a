import type { SqsServer } from '../embedded/sqs.js';
import { type LoginEvent, badBodies, loginEvents, seededRandom } from '../embedded/login-events.js';

/** What was sent to the demo's queue. */
export interface Sent {
  /** Message ids of the valid events, in order. */
  readonly validIds: readonly string[];
  /** Some of the events, to be shown beside their rows. */
  readonly samples: readonly LoginEvent[];
}

const SAMPLES = 3;
/** The same made-up people at every demo. */
const SEED = 1;

/** Sends valid events and bad bodies, mixed. */
export async function sendEvents(
  sqs: SqsServer,
  queueName: string,
  counts: { readonly rows: number; readonly bad: number },
): Promise<Sent> {
  const random = seededRandom(SEED);
  const valid = [...loginEvents(counts.rows, random)];
  const bad = [...badBodies(counts.bad, random)];
  const messages = valid.map((event) => ({ body: JSON.stringify(event), isValid: true }));
  for (const body of bad)
    messages.splice(Math.floor(random() * (messages.length + 1)), 0, { body, isValid: false });
  const ids = await sqs.send(queueName, messages);
  return {
    validIds: ids.filter((_, index) => messages[index]?.isValid),
    samples: valid.slice(0, SAMPLES),
  };
}
