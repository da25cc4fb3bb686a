import { hostname, userInfo } from 'node:os';

/** Who runs this process, as the system knows it: variables of the environment are for anyone to set. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // In containers, a user need not have a name.
    return String(process.getuid?.() ?? 'unknown');
  }
}

/** The same with the host, as audit rows have it: `user@host`. */
export function osUser(): string {
  return `${userName()}@${hostname()}`;
}
