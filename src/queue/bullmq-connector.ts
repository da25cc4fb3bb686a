import { type Socket, createConnection } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect } from 'node:tls';
import { AbstractConnector } from 'ioredis';

/** ioredis's own default: a socket that has not ended by then is destroyed. */
const DISCONNECT_LIMIT_MS = 2_000;

/** Where a connection goes to. */
export interface RedisPlace {
  readonly host: string;
  readonly port: number;
  readonly family: number;
  /** Absent: in clear. */
  readonly tls?: ConnectionOptions;
}

/**
 * Connects as ioredis does by itself, but hears every error of a socket. ioredis hears the first: a second one, as the
 * server's alert after we have refused its certificate, would end the process.
 */
export function connectorTo({ tls, ...place }: RedisPlace): new () => AbstractConnector {
  return class extends AbstractConnector {
    constructor() {
      super(DISCONNECT_LIMIT_MS);
    }

    override async connect(): Promise<Socket | TLSSocket> {
      this.connecting = true;
      // Whoever asked for the connection may give it up in the same turn.
      await Promise.resolve();
      if (!this.connecting) throw new Error('Connection is closed.');
      const stream = tls ? connect({ ...place, ...tls }) : createConnection(place);
      stream.on('error', (error) => {
        this.firstError ??= error;
      });
      this.stream = stream;
      return stream;
    }
  };
}
