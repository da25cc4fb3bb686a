import { once } from 'node:events';
import { connect } from 'node:net';
import { PipelineError } from '../errors.js';

/** Saving a large data set takes its time. */
const ANSWER_LIMIT_MS = 30_000;

/**
 * One command to the Redis at a port of this machine whose answer is a single line, such as OK (RESP2). Throws
 * `redis_unavailable` when there is no answer, or an error.
 */
export async function redisCommand(port: number, ...words: readonly string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  const bulk = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  try {
    socket.write(`*${words.length}\r\n${bulk.join('')}`);
    const answer: readonly unknown[] = await once(socket, 'data', {
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    const [line = ''] = String(answer[0]).split('\r\n');
    if (/^[+:]/.test(line)) return line.slice(1);
    throw new PipelineError('redis_unavailable', `Redis refused ${words[0] ?? ''}`);
  } catch (cause) {
    if (cause instanceof PipelineError) throw cause;
    throw new PipelineError('redis_unavailable', `Redis did not answer ${words[0] ?? ''}`, { cause });
  } finally {
    socket.destroy();
  }
}
