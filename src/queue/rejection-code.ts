import type { RejectionCode } from '../batch.js';
import { corrupt, text } from './frame.js';

const CODES: { readonly [code in Exclude<RejectionCode, `refused_${string}`>]: true } = {
  not_json: true,
  not_object: true,
  bad_envelope: true,
  too_deep: true,
  too_large: true,
  object_gone: true,
  no_route: true,
  missing_field: true,
  unknown_field: true,
  wrong_type: true,
  out_of_range: true,
  bad_version: true,
  bad_ip: true,
  bad_text: true,
  too_long: true,
  mask_failed: true,
  crashed_worker: true,
};

function isCode(value: string): value is RejectionCode {
  return Object.hasOwn(CODES, value) || /^refused_[0-9A-Z]{5}$/.test(value);
}

/** The code of a rejection in a frame. Throws `payload_corrupt`. */
export function readCode(value: unknown): RejectionCode {
  const code = text(value, 'the code of a rejection');
  if (!isCode(code)) throw corrupt('the code of a rejection');
  return code;
}
