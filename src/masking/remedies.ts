import type { RejectionCode } from '../batch.js';

type Refused = `refused_${string}`;

/** What a code means, and what to do so that a replay loads the record: sentences for who reads the quarantine. */
export interface Remedy {
  readonly meaning: string;
  readonly remedy: string;
}

const LOOK = 'look at one (`maskline quarantine show ID --unseal --reason TEXT`)';
const SENDER = 'the sender has to mend it and send it again; then purge the entry';

/** One for each code that masking gives. */
const remedies: { readonly [code in Exclude<RejectionCode, Refused>]: Remedy } = {
  not_json: {
    meaning: 'the body is no JSON',
    remedy: `${LOOK}; if it is wrapped or compressed, set source.envelope or source.encoding; else ${SENDER}`,
  },
  not_object: {
    meaning: 'the body is JSON, but no object',
    remedy: `${LOOK}; if the object lies within an envelope or a list, set source.envelope or source.records; else ${SENDER}`,
  },
  bad_envelope: {
    meaning:
      'the body is not as source.envelope, source.encoding or source.records names it, or it is compressed and damaged',
    remedy: `set these to what the queue is fed with, or to auto; if the body is damaged, ${SENDER}`,
  },
  too_deep: { meaning: 'the body is nested too deeply', remedy: 'raise limits.max_depth' },
  too_large: {
    meaning: 'the body is too large, or the message unpacks to too much or holds too many records',
    remedy: 'raise limits.max_body, limits.max_unpacked or limits.max_records',
  },
  object_gone: {
    meaning:
      'the object in S3 that the message points to is gone or archived, or another has taken its place',
    remedy: 'restore the object and have its event sent again; then purge the entry',
  },
  no_route: {
    meaning: 'no pipeline of the queue takes the record: its value at `route.from` is in no `route.equals`',
    remedy:
      'add the value to `route.equals` of this pipeline; where it is for another one, or one should be `route.default`, ' +
      'change that and have the event sent again; then purge the entry',
  },
  missing_field: {
    meaning: 'a required field is missing, null or empty',
    remedy:
      'correct `from` if the sender has renamed the field, or drop `required: true`, where the column takes NULL',
  },
  unknown_field: {
    meaning: 'the body has a field that no column takes',
    remedy: 'add a column for the field, or set on_unknown_field: drop',
  },
  wrong_type: {
    meaning: 'a value is not of the type of its column',
    remedy:
      'correct the `type` of the column, in the pipeline file and in the table (`maskline migrate plan`)',
  },
  out_of_range: {
    meaning: 'a number or date is beyond what its type holds',
    remedy: 'set a wider `type`, in the pipeline file and in the table (`maskline migrate plan`)',
  },
  bad_version: {
    meaning: 'a value is no version of two or three numbers below 1000',
    remedy: 'set `type: text` for the column, in the table too (`maskline migrate plan`)',
  },
  bad_ip: {
    meaning: 'a value is no IP address',
    remedy: 'drop `as: ip` (tokens of such values then differ from those with it)',
  },
  bad_text: {
    meaning:
      'a text holds what Postgres or a mask cannot take (NUL, lone surrogates, control characters), or is not what its mask is for',
    remedy: `${LOOK}; if the value is right, widen the mask's template, pattern or map; else ${SENDER}`,
  },
  too_long: {
    meaning: 'a value, or its token, is longer than its column',
    remedy: 'make the column longer in the pipeline file and in the table (`maskline migrate plan`)',
  },
  mask_failed: {
    meaning:
      'reading or masking a value failed: a custom mask threw, hung, or gave what is no text of its column',
    remedy:
      'mend the file that `mask.file` of the column names, after `maskline test` has shown it with a case, and replay; of any other mask, report it as a defect',
  },
  crashed_worker: {
    meaning: 'the record ended the worker that masked it',
    remedy: `${LOOK}; mend the mask that it crashes, or give workers more memory; replay it by name`,
  },
};

/** SQLSTATEs of rows (PostgreSQL documentation, appendix A) that have more to say than `refusedBySome`. */
const refusals: { readonly [sqlstate: string]: Remedy } = {
  '22001': { meaning: 'a value is too long for its column in the table', remedy: 'make that column longer' },
  '22003': { meaning: 'a number is beyond what its column in the table holds', remedy: 'widen that column' },
  '22P02': {
    meaning: 'a value is not of the type of its column in the table',
    remedy: 'change the type of that column (`maskline validate --connect` says to what)',
  },
  '23502': {
    meaning: 'NULL for a NOT NULL column',
    remedy: 'drop NOT NULL, or set `required: true` to reject such records before they are masked',
  },
  '23503': { meaning: 'the row that a foreign key names is missing', remedy: 'load that row first' },
  '23505': {
    meaning: 'the table has a row with that key already',
    remedy: 'purge the entry if that row will do; else remove it, or the constraint',
  },
  '23514': {
    meaning: 'a CHECK of the table, or the lack of a partition, refuses the row',
    remedy: 'mend the CHECK, or add the partition',
  },
  '23P01': { meaning: 'an exclusion constraint refuses the row', remedy: 'mend the constraint' },
  '42P01': {
    meaning: 'rows were masked for a table that the pipeline does not load now, or not in that place',
    remedy: 'add that table to `targets` again, or purge the entry',
  },
  '42703': {
    meaning: 'the row was masked with a column that the table does not have now',
    remedy: 'add that column again, or purge the entry',
  },
  '428C9': {
    meaning: 'the row was masked with a column that the table generates now',
    remedy: 'make it an ordinary column, or purge the entry',
  },
  P0001: { meaning: 'a trigger of the table refuses the row', remedy: 'mend the trigger' },
};
const refusedBySome: Remedy = {
  meaning: 'the table refuses the row',
  remedy:
    'mend the table; of a masked row no change of the pipeline file alters anything, since it is replayed as it is',
};

const SQLSTATE = /^refused_([0-9A-Z]{5})$/;

/** Codes that the quarantine knows, but for `refused_<sqlstate>`. */
export const rejectionCodes: readonly string[] = Object.keys(remedies);

/** Whether a text is the code of a rejection. */
export function isRejectionCode(text: string): text is RejectionCode {
  return isMaskingCode(text) || SQLSTATE.test(text);
}

/** What is to be said of a code; of one that is none, that the table refuses the row. */
export function remedyFor(code: string): Remedy {
  if (isMaskingCode(code)) return remedies[code];
  return refusals[SQLSTATE.exec(code)?.[1] ?? ''] ?? refusedBySome;
}

function isMaskingCode(text: string): text is keyof typeof remedies {
  return Object.hasOwn(remedies, text);
}
