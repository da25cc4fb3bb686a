import { type SqsCall, SqsFaultProxy } from '../../src/proof/sqs-fault-proxy.js';

/** The proxy that misbehaves on demand; it notes every call. */
export class NotingSqsProxy extends SqsFaultProxy {
  readonly calls: readonly SqsCall[];

  constructor(upstreamPort: number) {
    const calls: SqsCall[] = [];
    super(upstreamPort, { onCall: (call) => calls.push(call) });
    this.calls = calls;
  }

  /** Calls of one action. */
  of(action: string): readonly SqsCall[] {
    return this.calls.filter((call) => call.action === action);
  }
}
