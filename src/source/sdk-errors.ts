/** Client errors of AWS that pass by themselves: throttles, clocks, credentials that the chain will renew. */
const PASSING = new Set([
  'RequestThrottled',
  'RequestThrottledException',
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'TooManyRequestsException',
  'KmsThrottled',
  'OverLimit',
  'SlowDown',
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'RequestExpired',
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'QueueDeletedRecently',
]);

/** By what name an error of the SDK, or of a socket below it, goes. */
export function errorName(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  // The SDK's check of bodies throws a plain Error; so do Node's sockets, told apart by their code.
  if (error.message.startsWith('Invalid MD5 checksum')) return 'MD5 mismatch';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null;
  return bareCode(error.name === 'Error' && code !== null ? code : error.name);
}

/** Without the prefix of the older protocol, as in AWS.SimpleQueueService.NonExistentQueue. */
export function bareCode(code: string): string {
  return code.slice(code.lastIndexOf('.') + 1);
}

/** The HTTP status of the answer that an error of the SDK stands for; null when there was none. */
export function httpStatus(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null;
  const { $metadata: metadata } = error;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return null;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : null;
}

/** Whether AWS has refused a call for a reason that does not pass by itself: rights, signatures, parameters. */
export function isRefused(error: unknown): boolean {
  const status = httpStatus(error);
  return status !== null && status >= 400 && status < 500 && status !== 429 && !PASSING.has(errorName(error));
}

/** Name and HTTP status of an error, for messages. */
export function answerOf(error: unknown): string {
  const status = httpStatus(error);
  return status === null ? errorName(error) : `${errorName(error)}, HTTP ${status}`;
}

/** The error as a cause. An answer that is not JSON is quoted by the parser's error, bodies included: it is not kept. */
export function causeOf(error: unknown): { readonly cause?: unknown } {
  return error instanceof SyntaxError ? {} : { cause: error };
}
