/** A host and its port. */
export interface Host {
  readonly host: string;
  readonly port: number;
}

/** Where Sentinels listen unless told otherwise. */
export const DEFAULT_SENTINEL_PORT = 26_379;

const WRONG = 'must be a list such as ["sentinel-1:26379", "sentinel-2:26379"]';

/** Reads a list of hosts, or a text that separates them by commas; a text in return says what is wrong. */
export function parseHosts(value: unknown): readonly Host[] | string {
  if (value === undefined) return 'required';
  const items: readonly unknown[] =
    typeof value === 'string' ? value.split(',') : Array.isArray(value) ? value : [];
  const hosts = items.map((item) => (typeof item === 'string' ? parseHost(item.trim()) : null));
  const sound = hosts.filter((host) => host !== null);
  return sound.length === 0 || sound.length < hosts.length ? WRONG : sound;
}

/** `host`, `host:port`, `[address]:port`. */
function parseHost(text: string): Host | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:@/[\]]+))(?::(\d{1,5}))?$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) return null;
  return { host, port: Number(match?.[3] ?? DEFAULT_SENTINEL_PORT) };
}
