/**
 * Defects that the simulation must find, or it is not good enough. All of them are planted in the fakes and wrappers
 * around the code under test, none in the code itself; the text says what they would be in it.
 */
export const plantedBugs = {
  ack_before_commit: 'the ingester acks as soon as the batch is formed',
  check_outside_transaction:
    'the loader asks the ledger before its transaction, and enters what it did not find',
  no_ledger: 'the loader neither asks the ledger nor enters anything',
  ledger_ahead: 'the ledger is committed in a transaction of its own, before the rows',
  loading_day_in_key: "the ledger's key holds the day of loading",
  released_in_ledger: 'a batch that is let go enters the ledger',
  release_before_fate: 'messages are released before their batch has the fate `released`',
  fate_not_exclusive: 'the loader does not look at the fate, and the ingester overwrites it',
  no_heartbeat: 'visibility is never extended',
  swallowed_id: 'a kept failed job is never retried and never seen as failed',
  wipe_unseen: 'a batch that no queue knows any more counts as live',
  wrong_receipts: "the receipts of another batch are spent with a batch's fate",
  held_acked: 'what is held for the dead-letter queue is acked with the rest of its batch',
  acked_after_first_part: 'a message that comes in parts is acked once the first of them is committed',
  released_part_forgotten: 'of a message that comes in parts, only the fate of the last counts',
  group_split: 'what one receive returned of a FIFO group is spread over batches',
  later_ones_loaded: 'of a FIFO group that is to be held only the rejected message is',
  fate_in_its_own_transaction: 'the loader writes the fate only after its transaction',
} as const;

/** Name of a planted defect. */
export type Planted = keyof typeof plantedBugs;

/** Looks like a defect and is none: an entry of DeleteMessageBatch that failed is taken for deleted. Its message comes again, and the ledger knows it. */
export const benignBugs = {
  failed_deletes_ignored: 'failed entries of a delete are taken for deleted',
} as const;

/** Name of a planted defect that does no harm. */
export type Benign = keyof typeof benignBugs;
