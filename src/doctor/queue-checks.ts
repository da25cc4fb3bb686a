// The queues between the stages.

import { formatSize } from '../config/units.js';
import { PipelineError } from '../errors.js';
import { policies } from '../policy.js';
import { MIN_REDIS_VERSION, type RedisReport, isTooOld } from '../queue/bullmq-check.js';
import type { Facts } from './facts.js';
import { GOOD, type Verdict, error, unanswered, unseen, warning } from './finding.js';

const REDIS = 'the Redis of queue.url';

/** Judges the Redis, where it has answered. */
function ofRedis({ redis }: Facts, judge: (report: RedisReport) => Verdict): Verdict {
  if (redis === null) return GOOD;
  return redis instanceof PipelineError ? unanswered(REDIS, redis) : judge(redis);
}

/** Whether the queue's server answers, and takes writes. */
export function judgeQueueServer({ redis, queues }: Facts): Verdict {
  const failure = redis instanceof PipelineError ? redis : queues instanceof PipelineError ? queues : null;
  if (failure !== null) return error(failure.message, policies[failure.code].remedy);
  if (redis instanceof PipelineError || redis?.isPrimary !== false) return GOOD;
  return error(
    `${REDIS} is a replica, and takes no writes`,
    'let queue.url lead to the primary, or set queue.sentinel',
  );
}

/** Whether Redis keeps what it was given while it runs. */
export function judgeRedisPolicy(facts: Facts): Verdict {
  return ofRedis(facts, ({ maxmemoryPolicy: policy }) => {
    if (policy === null) return unseen(`the maxmemory-policy of ${REDIS}, which it does not tell this user`);
    if (policy === 'noeviction') return GOOD;
    return error(
      `${REDIS} has the maxmemory-policy ${policy}: it drops batches when memory runs short`,
      'redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf',
    );
  });
}

/** Whether BullMQ works on that version. */
export function judgeRedisVersion(facts: Facts): Verdict {
  return ofRedis(facts, ({ version }) => {
    if (version === null) return unseen(`the version of ${REDIS}, which it does not tell this user`);
    if (!isTooOld(version)) return GOOD;
    return error(
      `${REDIS} is version ${version}, and BullMQ needs ${MIN_REDIS_VERSION}`,
      `upgrade Redis to ${MIN_REDIS_VERSION} or newer, or take Valkey`,
    );
  });
}

/** Whether it says when it is full, and is not. */
export function judgeRedisMemory(facts: Facts): Verdict {
  const { highWater } = facts.config.queue;
  return ofRedis(facts, ({ maxmemory, usedMemory }) => {
    if (maxmemory === null || usedMemory === null) return unseen(`the memory of ${REDIS}`);
    if (maxmemory === 0) {
      return warning(
        `${REDIS} has no maxmemory: intake stops at ${highWater} of 1GiB whatever the machine has, and other users of that ` +
          'Redis can fill it until the system ends it',
        'redis-cli CONFIG SET maxmemory 1gb (less than the machine has), and the same in redis.conf',
      );
    }
    if (usedMemory < highWater * maxmemory) return GOOD;
    return error(
      `${REDIS} uses ${formatSize(usedMemory)} of its maxmemory of ${formatSize(maxmemory)}, more than queue.high_water ` +
        `(${highWater}) allows: nothing is received`,
      'redis-cli CONFIG SET maxmemory to more, or free what else is in that Redis',
    );
  });
}

/** Whether a restart of Redis costs anything. */
export function judgeRedisPersistence(facts: Facts): Verdict {
  return ofRedis(facts, ({ appendOnly }) => {
    if (appendOnly === null) return unseen(`the persistence of ${REDIS}, which it does not tell this user`);
    if (appendOnly) return GOOD;
    return warning(
      `${REDIS} keeps no append-only file: no message is lost with it, but after a restart all that was under way comes ` +
        'back from SQS, one receive dearer, and failed jobs are gone',
      'redis-cli CONFIG SET appendonly yes, and the same in redis.conf',
    );
  });
}
