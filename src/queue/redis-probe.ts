import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

const LIMIT_MS = 1_000;

/**
 * How the Redis at that place wants to be spoken to; null when it does not answer either way. Each side of such a
 * misunderstanding only waits for the other, so that it looks like an outage. Sends no secret.
 */
export async function wayToSpeak(host: string, port: number): Promise<'clear' | 'tls' | null> {
  const [isClear, isTls] = await Promise.all([
    answers(connect(port, host), 'data', (socket) => socket.write('PING\r\n')),
    // Whoever it is, is only to say that it speaks TLS.
    answers(connectTls({ port, host, rejectUnauthorized: false }), 'secureConnect', () => undefined),
  ]);
  if (isTls) return 'tls';
  return isClear ? 'clear' : null;
}

/** What keeps TLS from coming about with those options; null when nothing does, or it takes too long. */
export async function handshakeError(
  host: string,
  port: number,
  options: ConnectionOptions,
): Promise<Error | null> {
  const socket = connectTls({ ...options, host, port });
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.timeout(LIMIT_MS) });
    return null;
  } catch (error) {
    return error instanceof Error && error.name !== 'AbortError' ? error : null;
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}

async function answers<S extends Socket>(
  socket: S,
  event: string,
  ask: (socket: S) => unknown,
): Promise<boolean> {
  try {
    const answer = once(socket, event, { signal: AbortSignal.timeout(LIMIT_MS) });
    ask(socket);
    await answer;
    return true;
  } catch {
    return false;
  } finally {
    socket.on('error', () => undefined);
    socket.destroy();
  }
}
