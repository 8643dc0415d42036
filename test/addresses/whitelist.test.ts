import assert from 'node:assert/strict';
import { isIPv6, SocketAddress } from 'node:net';
import fc from 'fast-check';
import { formatAddress, networkOf, parseAddress } from '../../src/addresses/addresses.js';
import { MOST_ENTRIES, Whitelist, whitelistProblems } from '../../src/addresses/whitelist.js';

const of = (...ips: string[]) => new Whitelist(ips.map((ip) => ({ ip })));

describe('A whitelist', () => {
  it('that is empty lets everybody in', () => {
    for (const peer of ['192.0.2.1', '2001:db8::1', 'nonsense']) {
      assert.equal(of().allows(peer), true);
    }
  });

  for (const [entry, inside, outside] of [
    ['192.0.2.1', ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201'], ['192.0.2.2', '::192.0.2.1', '']],
    ['192.0.2.0/24', ['192.0.2.0', '192.0.2.255'], ['192.0.1.255', '192.0.3.0', '2001:db8::1']],
    ['10.0.0.0/9', ['10.127.255.255'], ['10.128.0.0']],
    ['0.0.0.0/0', ['1.2.3.4', '::ffff:1.2.3.4'], ['2001:db8::1', '::1']],
    ['2001:db8::/33', ['2001:db8:7fff::1', '2001:DB8::'], ['2001:db8:8000::', '192.0.2.1']],
    ['::/0', ['::1', 'fe80::1%eth0'], ['1.2.3.4', '::ffff:1.2.3.4']],
    ['::ffff:10.0.0.0/104', ['10.9.9.9'], ['11.0.0.0']],
    ['::1', ['::1', '0:0:0:0:0:0:0:1'], ['::2', '127.0.0.1']],
  ] as const) {
    it(`with ${entry} knows who is in it`, () => {
      assert.deepEqual(whitelistProblems([{ ip: entry }]), []);
      for (const peer of inside) {
        assert.equal(of('198.51.100.9', entry).allows(peer), true, peer);
      }
      for (const peer of outside) {
        assert.equal(of('198.51.100.9', entry).allows(peer), false, peer);
      }
    });
  }

  it('says what is wrong with each entry', () => {
    const problems = whitelistProblems([
      { ip: '192.0.2.1', description: 'good' },
      { ip: '10.1.2.3/8' },
      { ip: '192.0.2.0/33' },
      { ip: 'fe80::1%eth0' },
      { ip: 'example.com' },
      { ip: '192.0.2.1/' },
      { ip: '010.0.0.1' },
      {},
      null,
      { ip: '2001:db8::1/32' },
    ]);
    assert.equal(problems.length, 9);
    assert.match(
      problems[0] as string,
      /^whitelist\[1\]\.ip .*write 10\.0\.0\.0\/8 for the network or 10\.1\.2\.3 /,
    );
    assert.match(problems[1] as string, /at most 32/);
    assert.match(problems[8] as string, /write 2001:db8::\/32 /);
    assert.deepEqual(whitelistProblems(undefined), []);
    assert.equal(whitelistProblems('x').length, 1);
    assert.equal(whitelistProblems(Array(MOST_ENTRIES + 1).fill({ ip: '::1' })).length, 1);
    assert.throws(() => of('10.1.2.3/8'), RangeError);
  });
});

describe('Addresses', () => {
  it('are read and written as Node does it', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
    const sparse = fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(fc.oneof(bytes, sparse), (list) => {
        const address = { bytes: Uint8Array.from(list), family: 6 as const };
        const text = formatAddress(address);
        assert.ok(isIPv6(text), text);
        assert.deepEqual(parseAddress(text)?.bytes, address.bytes);
        const nodes = new SocketAddress({ address: text, family: 'ipv6' }).address;
        assert.deepEqual(parseAddress(nodes)?.bytes, address.bytes);
      }),
    );
    assert.equal(networkOf('2001:db8:1:2:3:4:5:6%eth0'), '2001:db8:1:2::');
    assert.equal(networkOf('::ffff:192.0.2.1'), '192.0.2.1');
  });
});
