import { PipelineError } from '../errors.js';

/** The id of a request, as given. Throws `usage` for what is none. */
export function requestId(given: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(given)) return given.toLowerCase();
  throw new PipelineError('usage', 'a request is named by its id, as `maskline reveal` printed it');
}
