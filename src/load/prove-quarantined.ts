import type { ClientBase } from 'pg';
import type { ProofFindings } from './prove-findings.js';
import { eachRow } from './prove-snapshot.js';

interface Unmatched {
  readonly batch_id: string;
  readonly record_id: string;
  /** Where it is. */
  readonly place: 'ledger' | 'quarantine';
}

// One pass over the ledger: it has no index by batch, which every load would pay for.
const UNMATCHED = `
  with entry as (
    select e.batch_id, e.record_id from maskline.ledger e
     where e.pipeline = $1 and e.batch_id = any($2::uuid[]) and e.outcome = 'quarantined'),
  kept as (
    select q.batch_id, q.record_id, q.sent_at from maskline.quarantine q
     where q.pipeline = $1 and q.batch_id = any($2::uuid[]))
  select coalesce(e.batch_id, q.batch_id) as batch_id, coalesce(e.record_id, q.record_id) as record_id,
         case when e.record_id is null then 'quarantine' else 'ledger' end as place
    from entry e full join kept q on q.batch_id = e.batch_id and q.record_id = e.record_id
   where (e.record_id is null and q.sent_at >= $3)
      or (q.record_id is null
          and not exists (select from maskline.purged p where p.pipeline = $1 and p.batch_id = e.batch_id))`;

/**
 * Names the quarantined records of those batches that only one of ledger and quarantine has; where some of a batch were
 * purged, which ones is not known.
 */
export async function proveQuarantined(
  client: ClientBase,
  pipeline: string,
  ledgerFrom: string,
  batchIds: readonly string[],
  findings: ProofFindings,
): Promise<void> {
  if (batchIds.length === 0) return;
  const values = [pipeline, batchIds, ledgerFrom];
  for await (const { place, batch_id, record_id } of eachRow<Unmatched>(client, UNMATCHED, values)) {
    const record = `record ${record_id} of batch ${batch_id}`;
    if (place === 'ledger') {
      const what = `${record} was quarantined, and has no entry in quarantine`;
      findings.add({ kind: 'quarantine_entry_missing', batch_id, record_id, what });
    } else {
      const what = `${record} is in quarantine, and the ledger does not have it as quarantined`;
      findings.add({ kind: 'ledger_entry_missing', batch_id, record_id, what });
    }
  }
}
