/** What a derived key is for, and its length in bytes. */
export const keyBytes = {
  hmac: 32,
  siv: 64,
  vault: 32,
  seal: 32,
  ff1: 32,
  'ipcrypt-det': 16,
  'ipcrypt-pfx': 32,
  'date-shift': 32,
} as const;

/** A method that keys are derived for. */
export type KeyMethod = keyof typeof keyBytes;

/** One key of each kid: its method, and its domain, or purpose for `seal`. */
export interface KeyScope {
  readonly method: KeyMethod;
  readonly domain: string;
}

/** The domain of the `hmac` key that subjects of the vault are found by. */
export const SUBJECT_DOMAIN = 'maskline/subject';

/** Whether keys are derived for a method of that name. */
export function isKeyMethod(name: unknown): name is KeyMethod {
  return typeof name === 'string' && Object.hasOwn(keyBytes, name);
}

/** A derived key among those of a keyring. Kids have no spaces, and methods neither. */
export function keyName({ method, domain }: KeyScope, kid: number): string {
  return `${method} ${String(kid)} ${domain}`;
}
