import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { basicAuth } from 'hono/basic-auth';

/** What a browser or a scraper must send where HTTP is not on a loopback address. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

const LOOPBACK_V4 = /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/;

/** Whether only this machine can reach the address: 127.0.0.0/8 or ::1 (RFC 1122, RFC 4291), or localhost. */
export function isLoopback(host: string): boolean {
  const bare = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || LOOPBACK_V4.test(bare);
}

/**
 * Guards what is behind it: open on a loopback address, else basic auth; without credentials configured nobody gets
 * in. A request to a loopback address under a foreign Host name (a proxy, or a page that rebinds DNS) is not local.
 */
export function guard(options: {
  readonly host: string;
  readonly auth: Credentials | null;
}): MiddlewareHandler {
  const isLocalServer = isLoopback(options.host);
  const authenticate = options.auth ? requireCredentials(options.auth) : refuse;
  return async (context, next) => {
    if (isLocalServer && isLoopback(new URL(context.req.url).hostname)) return next();
    return authenticate(context, next);
  };
}

function requireCredentials(auth: Credentials): MiddlewareHandler {
  const user = digest(auth.user);
  const password = digest(auth.password);
  return basicAuth({
    realm: 'maskline',
    // Digests have one length, and both are always compared: time tells neither lengths nor which of the two is wrong.
    verifyUser: (givenUser, givenPassword) => {
      const isUser = timingSafeEqual(digest(givenUser), user);
      const isPassword = timingSafeEqual(digest(givenPassword), password);
      return isUser && isPassword;
    },
  });
}

const refuse: MiddlewareHandler = (context) => {
  const remedy = 'set MASKLINE_ADMIN_USER and MASKLINE_ADMIN_PASSWORD, or bind to 127.0.0.1';
  return Promise.resolve(context.text(`closed: no credentials are configured; ${remedy}\n`, 403));
};

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
