import type { Receipt } from '../batch.js';

/** A message whose every share is settled. */
export interface DueMessage {
  readonly receipt: Receipt;
  /** Null: it is to be deleted. */
  readonly releaseAfterMs: number | null;
  /** The pipelines that had a share. */
  readonly pipelines: readonly string[];
}

interface SharedMessage {
  readonly receipt: Receipt;
  readonly pipelines: Set<string>;
  readonly bringer: object;
  /** Shares that are not settled. */
  open: number;
  /** Whether its last part has come. */
  isWhole: boolean;
  releaseAfterMs: number | null;
}

/**
 * Messages of which several pipelines may have a share: each is due when all shares are settled and its last part has
 * come. One share that is given back gives back the message; the ledgers of the others know theirs then.
 */
export class SharedMessages {
  readonly #messages = new Map<string, SharedMessage>();

  /** A message came, or a part of it; all parts of one are brought by one. */
  came({ more = false, ...receipt }: Receipt, bringer: object): void {
    const known = this.#messages.get(receipt.handle);
    if (known !== undefined) known.isWhole ||= !more;
    else {
      const rest = { bringer, pipelines: new Set<string>(), open: 0, releaseAfterMs: null };
      this.#messages.set(receipt.handle, { ...rest, receipt, isWhole: !more });
    }
  }

  /** A pipeline has a share that is to be settled. */
  begin(handle: string, pipeline: string): void {
    const message = this.#messages.get(handle);
    if (message === undefined) return;
    message.open += 1;
    message.pipelines.add(pipeline);
  }

  /** A share was settled. */
  end(handle: string): void {
    const message = this.#messages.get(handle);
    if (message !== undefined) message.open -= 1;
  }

  /** The message is to be received again, after the longest delay that was asked for. */
  giveBack(handle: string, afterMs: number): void {
    const message = this.#messages.get(handle);
    if (message !== undefined) message.releaseAfterMs = Math.max(message.releaseAfterMs ?? 0, afterMs);
  }

  /** It brings no more: messages of which it has not brought the last part are given back. Returns what is due by that. */
  breakOff(bringer: object): readonly DueMessage[] {
    return [...this.#messages].flatMap(([handle, message]) => {
      if (message.isWhole || message.bringer !== bringer) return [];
      message.isWhole = true;
      message.releaseAfterMs ??= 0;
      return this.due(handle);
    });
  }

  /** The message if it is due, once; it is not known any more then. */
  due(handle: string): readonly DueMessage[] {
    const message = this.#messages.get(handle);
    if (message === undefined || message.open > 0 || !message.isWhole) return [];
    this.#messages.delete(handle);
    const { receipt, pipelines, releaseAfterMs } = message;
    return [{ receipt, releaseAfterMs, pipelines: [...pipelines] }];
  }
}
