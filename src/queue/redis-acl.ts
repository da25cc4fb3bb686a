/**
 * The commands that a Redis user of maskline needs, as rules of an ACL (Redis documentation, "ACL"); the keys are
 * `~PREFIX:*`. They are those of BullMQ's scripts, by type where it uses most of a type, and of our own questions. INFO
 * tells the version, the eviction policy and how full the memory is.
 */
export const REDIS_ACL_COMMANDS =
  '-@all +@hash +@list +@set +@sortedset +@stream +get +set +incr +incrby +del +unlink +exists +type +rename ' +
  '+persist +pexpire +pexpireat +pttl +time +eval +evalsha +multi +exec +ping +hello +select +quit +client|setname ' +
  '-@dangerous +info';
