import type { Opening } from '../../src/source/unwrap.js';

const LIMITS = { maxRecords: 10_000, maxUnpackedBytes: 4 * 1024 * 1024 };

/** Bodies as they come, each of them one record. */
export const AS_IT_IS: Opening = { envelope: 'none', encoding: 'none', records: 'one', ...LIMITS };

/** What a pipeline file that says nothing means. */
export const AUTO: Opening = { envelope: 'auto', encoding: 'auto', records: 'auto', ...LIMITS };
