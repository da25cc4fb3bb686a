/**
 * Leaves the processes that this one starts out of the coverage: a deployment of many would spend much of its time on
 * it, and what they run is covered by the tests of its parts.
 */
export function leaveUnmeasured(): void {
  process.env['NODE_V8_COVERAGE'] = '';
}
