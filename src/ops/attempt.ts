import { type ErrorCode, asPipelineError } from '../errors.js';

/** What came of asking a dependency: its answer, or why there is none. */
export type Answer<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly code: ErrorCode | 'timeout' };

/** Asks, and waits at most `timeoutMs`; never rejects. What answers later is ignored. */
export async function attempt<T>(ask: () => Promise<T>, timeoutMs: number): Promise<Answer<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Answer<T>>((resolve) => {
    timer = setTimeout(() => resolve({ ok: false, code: 'timeout' }), timeoutMs);
  });
  const asked = async (): Promise<Answer<T>> => {
    try {
      return { ok: true, value: await ask() };
    } catch (error) {
      return { ok: false, code: asPipelineError(error).code };
    }
  };
  const answer = await Promise.race([asked(), late]);
  clearTimeout(timer);
  return answer;
}
