import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { Dice } from '../../src/proof/dice.js';
import { indexOfEvent, marksOf, messageOf } from '../../src/proof/messages.js';
import { Outcomes } from '../../src/proof/oracle.js';
import { type Theatre, armLife, drawFault } from '../../src/proof/plan.js';
import { parseFailpoints } from '../../src/proof/failpoint-syntax.js';
import { openMasterKeys, sivToken } from '../../src/proof/token-oracle.js';
import { keyringOracle, tokenOracle } from '../support/oracle.js';

describe('tokens as the oracle recomputes them', () => {
  test('are those of another implementation with other ciphers, for values of every length around a block', () => {
    const master = randomBytes(32);
    for (let length = 1; length <= 70; length += 1) {
      const value = 'äb'.repeat(length).slice(0, length);
      assert.equal(
        sivToken(master, 3, 'device', Buffer.from(value)),
        tokenOracle(master, 3, 'siv', 'device', 'text', value),
        `length ${length}`,
      );
    }
    const address = '2001:db8:1234:5678::ab:cd';
    const bytes = Buffer.from('20010db8123456780000000000ab00cd', 'hex');
    assert.equal(sivToken(master, 1, 'ip', bytes), tokenOracle(master, 1, 'siv', 'ip', 'ip', address));
  });

  test('come from keyrings that another implementation wrote, and from no other KEK', () => {
    const masters = new Map([
      [1, randomBytes(32)],
      [2, randomBytes(32)],
    ]);
    const kek = randomBytes(32).toString('base64');
    const ring = keyringOracle(masters, kek);
    assert.deepEqual(openMasterKeys(ring, kek), masters);
    assert.throws(() => openMasterKeys(ring, randomBytes(32).toString('base64')));
  });
});

describe('made-up messages', () => {
  const marks = marksOf(5);
  const all = Array.from({ length: 2_000 }, (_, index) => messageOf(5, marks, index));

  test('are the same for the same seed, and others for another', () => {
    assert.deepEqual(messageOf(5, marksOf(5), 77), all[77]);
    assert.notEqual(messageOf(6, marksOf(6), 77).body, all[77]?.body);
  });

  test('can be told apart, and about one in fifty is invalid', () => {
    assert.equal(new Set(all.map(({ eventId }) => eventId)).size, all.length);
    assert.equal(new Set(all.map(({ address }) => address.toString('hex'))).size, all.length);
    const invalid = all.filter(({ isValid }) => !isValid).length;
    assert.ok(invalid > 15 && invalid < 80, `${invalid} of ${all.length}`);
    for (const [index, { eventId }] of all.entries()) assert.equal(indexOfEvent(marks, eventId), index);
    assert.equal(indexOfEvent(marks, 'somebody-else-7'), null);
  });

  test('carry their marks, and the address that their bytes say', () => {
    for (const { body, isValid, address } of all) {
      assert.ok(body.includes(marks.secret));
      if (!isValid) continue;
      const { ip } = JSON.parse(body) as { ip: string };
      // WHATWG's parser writes an address in one way only.
      const groups = address.toString('hex').match(/.{4}/g) ?? [];
      assert.equal(new URL(`http://[${ip}]/`).hostname, new URL(`http://[${groups.join(':')}]/`).hostname);
    }
  });
});

describe('the count of outcomes', () => {
  const marks = marksOf(9);
  const sent = { seed: 9, marks, ids: Array.from({ length: 500 }, (_, index) => `id-${index}`) };
  const right = (): Outcomes => {
    const outcomes = new Outcomes(sent);
    sent.ids.forEach((_, index) => {
      const { isValid } = messageOf(9, marks, index);
      outcomes.count(isValid ? outcomes.target : outcomes.quarantine, index);
    });
    return outcomes;
  };
  const valid = sent.ids.findIndex((_, index) => messageOf(9, marks, index).isValid);

  test('finds nothing where each message is where it belongs, once', () => {
    assert.deepEqual(right().sum(), { lost: 0, twice: 0, misplaced: 0, strays: 0, wrong: 0 });
  });

  test('finds what is lost, double, misplaced or of nobody', () => {
    const lost = right();
    lost.target[valid] = 0;
    assert.deepEqual(lost.sum(), { lost: 1, twice: 0, misplaced: 0, strays: 0, wrong: 0 });
    const twice = right();
    twice.count(twice.target, valid);
    assert.deepEqual(twice.sum(), { lost: 0, twice: 1, misplaced: 0, strays: 0, wrong: 0 });
    const misplaced = right();
    misplaced.target[valid] = 0;
    misplaced.count(misplaced.quarantine, valid);
    assert.deepEqual(misplaced.sum(), { lost: 0, twice: 0, misplaced: 1, strays: 0, wrong: 0 });
    const stray = right();
    stray.count(stray.target, null);
    stray.count(stray.quarantine, 500);
    assert.deepEqual(stray.sum(), { lost: 0, twice: 0, misplaced: 0, strays: 2, wrong: 0 });
  });
});

describe('the plan', () => {
  const theatre: Theatre = {
    sizes: { ingest: 2, transform: 3, load: 2 },
    dependencies: ['postgres', 'redis', 'sqs'],
    isShort: false,
  };
  const faults = (seed: number, of: Theatre): readonly string[] => {
    const dice = new Dice(seed);
    return Array.from({ length: 400 }, () => JSON.stringify(drawFault(dice, of)));
  };

  test('is the same for the same seed, and has every kind of fault', () => {
    assert.deepEqual(faults(3, theatre), faults(3, theatre));
    assert.notDeepEqual(faults(3, theatre), faults(4, theatre));
    const kinds = new Set(faults(3, theatre).flatMap((fault) => fault.match(/"kind":"\w+"/g) ?? []));
    assert.equal(kinds.size, 16, [...kinds].join());
  });

  test('touches no server where there is none to be touched, and no Redis where there is none', () => {
    const alone = faults(3, { ...theatre, dependencies: [] });
    assert.ok(alone.every((fault) => /"kind":"(kill|freeze)"/.test(fault)));
    const without = faults(3, { ...theatre, dependencies: ['postgres', 'sqs'] });
    assert.ok(without.every((fault) => !fault.includes('redis')));
  });

  test('arms only points that there are; loaders alone, between COMMIT and ack, under `committed`', () => {
    const dice = new Dice(1);
    for (let n = 0; n < 300; n += 1) {
      for (const role of ['ingest', 'transform', 'load'] as const) {
        parseFailpoints(armLife(dice, role, 'storm'));
        const armed = armLife(dice, role, 'committed');
        assert.match(armed, role === 'load' ? /^load\.committed=crash@at:[123]$/ : /^$/);
      }
    }
  });
});
