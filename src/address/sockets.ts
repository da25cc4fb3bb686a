import { Socket } from 'node:net';

/** For a server to answer a goodbye. */
const GOODBYE_LIMIT_MS = 1_000;

/** The sockets of one client, so that one whose server has fallen silent keeps no process from ending. */
export class Sockets {
  readonly #open = new Set<Socket>();

  /** A new one, not connected yet. */
  readonly open = (): Socket => {
    const socket = new Socket();
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    return socket;
  };

  /** The client has said goodbye on all of them: those on which nobody answers in a second are closed. */
  hangUp(): void {
    const close = (): void => this.#open.forEach((socket) => socket.destroy());
    setTimeout(close, GOODBYE_LIMIT_MS).unref();
  }
}
