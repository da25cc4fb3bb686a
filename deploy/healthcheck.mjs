// The image's health check: whether the process of this container is alive. Not whether all that it needs answers:
// an outage elsewhere ends by itself, and restarting would only lose what is in hand. That is /readyz.
const { HOST = '', PORT = '' } = process.env;
/** A loop that turns answers at once; Docker itself gives up a little later. */
const LIMIT_MS = 2_000;
// An address that stands for all of them is also reached by loopback.
const host = ['', '0.0.0.0', '::'].includes(HOST) ? '127.0.0.1' : HOST;

try {
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${PORT || '9090'}/livez`;
  const { status } = await fetch(url, { signal: AbortSignal.timeout(LIMIT_MS) });
  console.log(`livez: ${status}`);
  process.exitCode = status === 200 ? 0 : 1;
} catch (error) {
  console.log(`livez: ${error.cause?.code ?? error.name}`);
  process.exitCode = 1;
}
