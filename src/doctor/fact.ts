import { type ErrorCode, PipelineError, asPipelineError } from '../errors.js';
import type { Fact } from './facts.js';

/** Longer than any answer takes that is of use; what is away has failed by then. */
const ASK_LIMIT_MS = 15_000;

/** What was asked, or why there is no answer: also when it takes too long, which then counts as `away`. Never rejects. */
export async function fact<T>(what: string, away: ErrorCode, ask: () => Promise<T>): Promise<Fact<T>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<PipelineError>((resolve) => {
    const error = new PipelineError(away, `${what} gave no answer within ${ASK_LIMIT_MS / 1_000} s`);
    timer = setTimeout(() => resolve(error), ASK_LIMIT_MS);
  });
  const asked = ask().catch((thrown: unknown) => asPipelineError(thrown));
  const answer = await Promise.race([asked, late]);
  clearTimeout(timer);
  return answer;
}
