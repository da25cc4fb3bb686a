// Imported before a program, this shifts its clock by 26 hours: past midnight, whatever the time of day. Timers,
// which count from the start of the process, go on as they do.

const SHIFT_MS = 26 * 3_600_000;
const RealDate = Date;

class ShiftedDate extends RealDate {
  constructor(...given: readonly unknown[]) {
    if (given.length === 0) super(RealDate.now() + SHIFT_MS);
    else super(...(given as [string]));
  }

  static override now(): number {
    return RealDate.now() + SHIFT_MS;
  }
}

globalThis.Date = ShiftedDate as DateConstructor;
