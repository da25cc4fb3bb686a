import type { Fate, Receipt, RunReport } from '../../src/batch.js';
import type { Host } from './host.js';
import type { Scheduler } from './scheduler.js';

/** What must become of a message's record. */
export type Expected = 'target' | 'quarantine' | 'dead_letters';

/** A record as sent; `content` is what a row or an entry of it must hold. */
export interface SentRecord {
  readonly id: string;
  readonly expected: Expected;
  readonly content: string;
}

/** A message as sent. The id of its only record is its own. */
export interface SentMessage {
  readonly id: string;
  readonly records: readonly SentRecord[];
  /** Of a FIFO queue's message. */
  readonly groupId: string | null;
}

/** What became of a receipt: the places of its parts in batches, and whether the last of them is among these. */
interface Held {
  readonly places: { readonly batchId: string; readonly index: number }[];
  isWhole: boolean;
}

/** A committed row, of the target or of the quarantine. */
export interface Settled {
  readonly recordId: string;
  readonly batchId: string;
  readonly content: string;
}

/** What the database holds, committed. */
export interface Committed {
  readonly target: readonly Settled[];
  readonly quarantine: readonly Settled[];
  readonly loads: ReadonlyMap<string, Fate & { readonly runId: string }>;
}

interface Delivery {
  readonly id: string;
  readonly host: Host;
  /** SQS left the message visible. */
  readonly twice: boolean;
  state: 'on_its_way' | 'held' | 'spent' | 'lapsed';
}

/**
 * Watches every call, and says what must never be. It believes nothing that the code under test says of itself: it
 * looks at SQS, and at what the database has committed.
 */
export class Oracle {
  readonly violations: string[] = [];
  /** How often a message came to what only those in parts can come to. */
  readonly moments = { parted_in_batches: 0, parted_acked: 0, parted_released: 0, parted_broken_off: 0 };
  readonly #scheduler: Scheduler;
  readonly #committed: Committed;
  readonly #visibilityMs: number;
  readonly #sent = new Map<string, SentMessage>();
  /** Of each record, its message's group and place in the order of sending. */
  readonly #messageOf = new Map<string, { readonly groupId: string | null; readonly place: number }>();
  readonly #deliveries = new Map<string, Delivery>();
  readonly #latest = new Map<string, string>();
  /** How many deliveries of a message, on their way, have left it visible. */
  readonly #twice = new Map<string, number>();
  readonly #held = new Map<string, Held>();
  readonly #told = new Map<string, string>();
  /** Of each FIFO group, where in the order of sending its last commit has come to. */
  readonly #reached = new Map<string, number>();
  readonly #settled = new Set<string>();
  #runs = 0;
  #followed = 0;

  constructor(scheduler: Scheduler, committed: Committed, visibilityMs: number) {
    this.#scheduler = scheduler;
    this.#committed = committed;
    this.#visibilityMs = visibilityMs;
  }

  /** Runs that ended and claimed to be complete. */
  get runs(): number {
    return this.#runs;
  }

  /** Commits of a FIFO group that came after another of the same group. */
  get followed(): number {
    return this.#followed;
  }

  violated(rule: string): void {
    this.violations.push(rule);
    this.#scheduler.note(`VIOLATION ${rule}`);
  }

  sent(message: SentMessage): void {
    const place = this.#sent.size;
    this.#sent.set(message.id, message);
    for (const { id } of message.records) this.#messageOf.set(id, { groupId: message.groupId, place });
  }

  /** The next time this message is handed out it stays visible. */
  handsOutTwice(id: string): void {
    this.#twice.set(id, (this.#twice.get(id) ?? 0) + 1);
  }

  /** SQS hands a message to a process. That may happen to what another holds only if something kept it from its heartbeat. */
  handedOut(id: string, handle: string, host: Host): void {
    const latest = this.#deliveries.get(this.#latest.get(id) ?? '');
    if (latest?.state === 'held' && latest.host.alive && !latest.twice && this.#wasFree(latest.host)) {
      this.violated(`message ${id} was handed out again though ${latest.host.name} holds it`);
    }
    const twice = this.#twice.get(id) ?? 0;
    this.#twice.set(id, Math.max(0, twice - 1));
    this.#deliveries.set(handle, { id, host, twice: twice > 0, state: 'on_its_way' });
    this.#latest.set(id, handle);
  }

  arrived(handle: string): void {
    this.#setState(handle, 'held');
  }

  /** SQS says that the visibility of this receipt has run out. */
  lapsed(handle: string): void {
    const delivery = this.#deliveries.get(handle);
    if (delivery?.state === 'held') delivery.state = 'lapsed';
  }

  /** A process makes the message visible, and no claim to it any more. */
  givenBack(handle: string): void {
    this.#setState(handle, 'spent');
  }

  isHeld(handle: string): boolean {
    return this.#deliveries.get(handle)?.state === 'held';
  }

  /** A run takes charge of receipts, one for each message of the batch. */
  holds(batchId: string, receipts: readonly Receipt[]): void {
    for (const [index, { handle, more }] of receipts.entries()) {
      const held = this.#held.get(handle) ?? { places: [], isWhole: false };
      held.places.push({ batchId, index });
      held.isWhole = more !== true;
      this.#held.set(handle, held);
      if (held.places.at(-2)?.batchId !== batchId && held.places.length > 1)
        this.moments.parted_in_batches += 1;
    }
  }

  /** The ingester is about to ack or release: the fates of the batches that hold of the message must allow it. */
  spends(how: 'ack' | 'release', receipts: readonly Receipt[]): void {
    for (const { handle, messageId } of receipts) {
      const { places, isWhole } = this.#held.get(handle) ?? { places: [], isWhole: false };
      const fates = places.map(({ batchId, index }) => {
        const fate = this.#committed.loads.get(batchId);
        return fate?.state === 'committed' && fate.held.includes(index) ? 'released' : fate?.state;
      });
      const isReleased = fates.includes('released') || !isWhole;
      const isAllowed = fates.every((fate) => fate !== undefined) && isReleased === (how === 'release');
      if (!isAllowed || places.length === 0)
        this.violated(`${how} of message ${messageId}, whose batches have the fates ${fates.join(', ')}`);
      this.#setState(handle, 'spent');
      if (!isWhole) this.moments.parted_broken_off += 1;
      else if (places.length > 1) this.moments[how === 'ack' ? 'parted_acked' : 'parted_released'] += 1;
    }
  }

  /** SQS has deleted a message for good: its records must be committed. */
  deleted(id: string): void {
    for (const record of this.#sent.get(id)?.records ?? [])
      if (!this.#settled.has(record.id))
        this.violated(`message ${id} was deleted, and its record is nowhere`);
  }

  /** Rows are committed, in this order: those of a FIFO group come in the order of sending, and after all before. */
  settled(target: readonly Settled[], quarantine: readonly Settled[]): void {
    const groups = new Map<string, { readonly rows: number[]; readonly all: number[] }>();
    for (const [list, rows] of [
      ['rows', target],
      ['all', quarantine],
    ] as const) {
      for (const { recordId } of rows) {
        this.#settled.add(recordId);
        const sent = this.#messageOf.get(recordId);
        const groupId = sent?.groupId ?? null;
        if (sent === undefined || groupId === null) continue;
        const group = groups.get(groupId) ?? { rows: [], all: [] };
        groups.set(groupId, group);
        group[list].push(sent.place);
      }
    }
    for (const [groupId, { rows, all }] of groups) {
      const reached = this.#reached.get(groupId);
      if (reached !== undefined) this.#followed += 1;
      // Records of one message may be in several batches; between these there is no order.
      const isSorted = rows.every((at, index) => index === 0 || at >= (rows[index - 1] ?? at));
      if (!isSorted || Math.min(...rows, ...all) < (reached ?? -1))
        this.violated(`messages of ${groupId} were committed out of order`);
      this.#reached.set(groupId, Math.max(reached ?? -1, ...rows, ...all));
    }
  }

  /** A fate is written. */
  decided(batchId: string, was: string | undefined): void {
    if (was !== undefined) this.violated(`the fate of batch ${batchId} was ${was}, and was decided again`);
  }

  /** An ingester learns a fate: it must be what everybody learns, ever. */
  told(fate: Fate): void {
    const text = JSON.stringify(fate);
    const before = this.#told.get(fate.batchId);
    if (before !== undefined && before !== text) this.violated(`batch ${fate.batchId} was told two fates`);
    this.#told.set(fate.batchId, text);
    const row = this.#committed.loads.get(fate.batchId);
    if (row?.state !== fate.state)
      this.violated(`batch ${fate.batchId} was told a fate that is not on record`);
  }

  /** A run ended that claims to be complete. */
  completed(report: RunReport): void {
    this.#runs += 1;
    const { loaded, duplicates, quarantined, released } = report;
    if (report.received !== loaded + duplicates + quarantined + released)
      this.violated(`run ${report.runId} does not add up`);
    const sum = { received: 0, loaded: 0, duplicates: 0, quarantined: 0, released: 0 };
    let hasReleased = false;
    for (const row of this.#committed.loads.values()) {
      if (row.runId !== report.runId) continue;
      if (row.state === 'released') hasReleased = true;
      for (const outcome of outcomes) sum[outcome] += row[outcome];
    }
    if (outcomes.some((outcome) => sum[outcome] !== report[outcome]))
      this.violated(`run ${report.runId} reports other numbers than its batches have`);
    if (report.state === 'succeeded' && hasReleased)
      this.violated(`run ${report.runId} succeeded though a batch was let go`);
  }

  /** All is over: every record is where it belongs, once, and the numbers of the batches are those of the tables. */
  ended(left: readonly string[], deadLetters: readonly string[]): void {
    const { target, quarantine, loads } = this.#committed;
    for (const id of left) this.violated(`message ${id} is still in the queue`);
    const rows = { target: byRecord(target), quarantine: byRecord(quarantine) };
    for (const message of this.#sent.values()) {
      const deaths = deadLetters.filter((dead) => dead === message.id).length;
      for (const record of message.records) this.#check(record, rows, deaths);
    }
    const all = [...loads.values()];
    const total = (outcome: 'loaded' | 'quarantined'): number =>
      all.reduce((sum, fate) => sum + fate[outcome], 0);
    if (total('loaded') !== target.length)
      this.violated('the batches loaded other numbers than the target holds');
    if (total('quarantined') !== quarantine.length)
      this.violated('the batches quarantined other numbers than the quarantine holds');
  }

  #check(
    { id, expected, content }: SentRecord,
    { target, quarantine }: { readonly target: ContentsById; readonly quarantine: ContentsById },
    deaths: number,
  ): void {
    const places: readonly (readonly [Expected, readonly string[]])[] = [
      ['target', target.get(id) ?? []],
      ['quarantine', quarantine.get(id) ?? []],
      ['dead_letters', Array.from({ length: deaths }, () => content)],
    ];
    const found = places.flatMap(([place, contents]) => contents.map((text) => ({ place, text })));
    const isRight = found.length === 1 && found[0]?.place === expected && found[0].text === content;
    if (isRight) return;
    // SQS counts receives, whoever's fault they were: a good record of a queue with a redrive policy may end there too.
    const isWornOut = expected !== 'dead_letters' && deaths > 0;
    if (
      isWornOut &&
      found.every(({ place, text }) => place === 'dead_letters' || (place === expected && text === content))
    ) {
      if (found.length <= 2) return;
    }
    const where = found.map(({ place }) => place).join(', ') || 'nowhere';
    this.violated(`record ${id} belongs in ${expected} once, and is in: ${where}`);
  }

  #wasFree(host: Host): boolean {
    return this.#scheduler.now() - host.troubledAt > this.#visibilityMs;
  }

  #setState(handle: string, state: Delivery['state']): void {
    const delivery = this.#deliveries.get(handle);
    if (delivery) delivery.state = state;
  }
}

const outcomes = ['received', 'loaded', 'duplicates', 'quarantined', 'released'] as const;

type ContentsById = ReadonlyMap<string, readonly string[]>;

function byRecord(rows: readonly Settled[]): ContentsById {
  const contents = new Map<string, string[]>();
  for (const { recordId, content } of rows) {
    const known = contents.get(recordId);
    if (known) known.push(content);
    else contents.set(recordId, [content]);
  }
  return contents;
}
