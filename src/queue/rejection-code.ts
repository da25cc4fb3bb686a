import { type RejectionCode, rejectionCodes } from '../batch.js';
import { corrupt, text } from './frame.js';

const CODES: ReadonlySet<string> = new Set(rejectionCodes);

function isCode(value: string): value is RejectionCode {
  return CODES.has(value) || /^refused_[0-9A-Z]{5}$/.test(value);
}

/** The code of a rejection in a frame. Throws `payload_corrupt`. */
export function readCode(value: unknown): RejectionCode {
  const code = text(value, 'the code of a rejection');
  if (!isCode(code)) throw corrupt('the code of a rejection');
  return code;
}
