/** Where a configured queue is. Whatever is null is left to the configuration or the SDK. */
export interface QueueAddress {
  /** Null: it must be asked for, by name. */
  readonly url: string | null;
  readonly name: string;
  /** The account that owns the queue, where the address names one. */
  readonly account: string | null;
  readonly region: string | null;
  /** Origin of a URL that isn't AWS's public one: an emulator, a VPC endpoint, FIPS. */
  readonly endpoint: string | null;
}

/** arn:aws:sqs:eu-west-1:123456789012:name, in any partition. */
const ARN = /^arn:[a-z0-9-]+:sqs:([a-z0-9-]+):(\d{12}):([A-Za-z0-9_.-]{1,80})$/;
/** SQS's public hosts name their region; all others are taken as endpoints of their own. */
const PUBLIC_HOST = /^sqs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/;

/** Reads a queue's URL, ARN or name. A region that it names is the queue's, whatever else is configured. */
export function queueAddress(queue: string): QueueAddress {
  const [, region, account, name] = ARN.exec(queue) ?? [];
  if (region !== undefined && account !== undefined && name !== undefined) {
    return { url: null, name, account, region, endpoint: null };
  }
  if (!/^https?:\/\//i.test(queue) || !URL.canParse(queue)) {
    return { url: null, name: queue, account: null, region: null, endpoint: null };
  }
  const url = new URL(queue);
  const publicRegion = PUBLIC_HOST.exec(url.hostname)?.[1] ?? null;
  return {
    url: queue,
    name: url.pathname.slice(url.pathname.lastIndexOf('/') + 1),
    account: null,
    region: publicRegion,
    endpoint: publicRegion === null ? url.origin : null,
  };
}
